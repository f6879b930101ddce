#if __has_include(<Eigen/Core>)

#include "locmoe/adapt/eigen.hpp"

#include <bit>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "locmoe/core/element.hpp"
#include "locmoe/core/error.hpp"
#include "locmoe/exec/executor.hpp"
#include "locmoe/exec/in_process.hpp"
#include "locmoe/plan/direct.hpp"
#include "locmoe/tensor/standard.hpp"

#include "catch.hpp"
#include "random_cases.hpp"

namespace {

using namespace locmoe;

template <class E>
using rows_of = Eigen::Matrix<E, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
template <class E>
using array_of = Eigen::Array<E, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

rows_of<float> numbered(Eigen::Index rows, Eigen::Index cols) {
    rows_of<float> m(rows, cols);
    for (Eigen::Index i = 0; i < rows; ++i)
        for (Eigen::Index j = 0; j < cols; ++j) m(i, j) = static_cast<float>(100 * i + j);
    return m;
}

/// The view names the very numbers that Eigen finds at (i, j).
template <class Tensor>
void check_same_numbers(const Tensor& t) {
    const auto view = view_of(t);
    REQUIRE(view.rows == static_cast<std::size_t>(t.rows()));
    REQUIRE(view.cols == static_cast<std::size_t>(t.cols()));
    for (std::size_t i = 0; i < view.rows; ++i)
        for (std::size_t j = 0; j < view.cols; ++j)
            CHECK(&view(i, j) ==
                  &t.coeffRef(static_cast<Eigen::Index>(i), static_cast<Eigen::Index>(j)));
}

template <class E>
float squared_back(E value) {
    return static_cast<float>(value) * static_cast<float>(value);
}

}  // namespace

TEST_CASE("Row-major Eigen types in memory are token tensors and no others") {
    static_assert(writable_token_tensor<rows_of<float>>);
    static_assert(writable_token_tensor<array_of<double>>);
    static_assert(writable_token_tensor<rows_of<Eigen::bfloat16>>);
    static_assert(writable_token_tensor<rows_of<Eigen::half>>);
    static_assert(writable_token_tensor<Eigen::Matrix<float, 3, 4, Eigen::RowMajor>>);
    static_assert(writable_token_tensor<Eigen::Map<rows_of<float>>>);
    static_assert(writable_token_tensor<Eigen::Ref<rows_of<float>>>);
    static_assert(token_tensor<const rows_of<float>>);
    static_assert(!writable_token_tensor<const rows_of<float>>);
    static_assert(token_tensor<Eigen::Map<const rows_of<float>>>);
    static_assert(!writable_token_tensor<Eigen::Map<const rows_of<float>>>);
    static_assert(!writable_token_tensor<Eigen::Ref<const rows_of<float>>>);

    static_assert(!token_tensor<Eigen::MatrixXf>);
    static_assert(!token_tensor<Eigen::ArrayXXd>);
    static_assert(!token_tensor<Eigen::VectorXf>);
    static_assert(!token_tensor<Eigen::Map<Eigen::MatrixXf>>);
    static_assert(!token_tensor<rows_of<bool>>);
    static_assert(!token_tensor<Eigen::Map<rows_of<float>, 0, Eigen::InnerStride<2>>>);
    using sum = decltype(rows_of<float>() + rows_of<float>());
    static_assert(!token_tensor<sum>);
    SUCCEED();
}

TEST_CASE("Each kind of Eigen tensor shows the rows it holds") {
    rows_of<float> m = numbered(5, 6);
    check_same_numbers(m);
    CHECK(view_of(m).row_stride == 6);
    check_same_numbers(numbered(1, 3));
    check_same_numbers(numbered(3, 1));
    check_same_numbers(numbered(0, 3));

    array_of<float> a = m.array();
    check_same_numbers(a);

    auto some_rows = m.middleRows(1, 3);
    check_same_numbers(some_rows);
    auto some_cols = m.block(1, 2, 3, 2);
    check_same_numbers(some_cols);
    CHECK(view_of(some_cols).row_stride == 6);
    writable_view_of(some_cols)(0, 0) = -1.0f;
    CHECK(m(1, 2) == -1.0f);

    Eigen::Ref<rows_of<float>> ref = m;
    check_same_numbers(ref);

    Eigen::MatrixXf columns(3, 4);
    auto turned = columns.transpose();  // its rows are the columns that lie together
    check_same_numbers(turned);
}

TEST_CASE("The outer stride of a Map is the row stride") {
    std::vector<float> memory(4 * 10);
    using strided = Eigen::Map<rows_of<float>, 0, Eigen::OuterStride<>>;
    strided m(memory.data(), 4, 7, Eigen::OuterStride<>(10));
    check_same_numbers(m);
    CHECK(view_of(m).row_stride == 10);
    writable_view_of(strided(memory.data(), 4, 7, Eigen::OuterStride<>(10)))(3, 6) = 5.0f;
    CHECK(memory[36] == 5.0f);
}

TEST_CASE("Strides that scatter or overlap rows are refused with a clear line") {
    std::vector<float> memory(40);
    using any_stride = Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>;
    using strided = Eigen::Map<rows_of<float>, 0, any_stride>;
    static_assert(writable_token_tensor<strided>);
    check_same_numbers(strided(memory.data(), 3, 4, any_stride(5, 1)));
    check_same_numbers(strided(memory.data(), 3, 1, any_stride(5, 7)));
    CHECK_THROWS_WITH(view_of(strided(memory.data(), 3, 4, any_stride(12, 2))),
                      "locmoe: tensor_traits: inner stride of an Eigen tensor: expected 1, got 2");
    CHECK_THROWS_WITH(view_of(strided(memory.data(), 3, 4, any_stride(2, 1))),
                      "locmoe: tensor_traits: outer stride of an Eigen tensor: expected at least "
                      "4, its columns, got 2");
}

TEST_CASE("The 16-bit types of Eigen have the bits of bf16 and fp16") {
    for (std::uint32_t upper = 0; upper < 0x10000; upper += 7) {
        const float value = std::bit_cast<float>((upper << 16) + 0x4321u);
        if (value != value) continue;
        CHECK(element_traits<Eigen::bfloat16>::store(value).value == bf16(value).bits);
        CHECK(element_traits<Eigen::half>::store(value).x == fp16(value).bits);
    }
}

TEST_CASE("Eigen tensors travel and come back summed as plain vectors do") {
    const auto travels = []<class E>(E) {
        run_in_process(3, [](in_process_backend& backend) {
            const auto job = random_cases::job_on(3, 21);
            const assignment& kept = job.assigned[static_cast<std::size_t>(backend.rank())];
            executor ex(backend, job.nodes, job.placement);
            const exchange_plan plan = ex.plan(kept, direct{});
            const auto tokens = static_cast<Eigen::Index>(kept.token_count);
            const auto rows = static_cast<Eigen::Index>(plan.expert_row_count());

            rows_of<E> x = numbered(tokens, 4).cast<E>();
            rows_of<E> arrived(rows, 4), back(tokens, 4);
            ex.dispatch(plan, x, arrived);
            arrived = arrived.unaryExpr([](E v) { return E(squared_back(v)); });
            ex.combine(plan, arrived, std::vector<float>(), back);

            std::vector<float> flat(static_cast<std::size_t>(x.size()));
            for (Eigen::Index i = 0; i < x.size(); ++i)
                flat[static_cast<std::size_t>(i)] = static_cast<float>(x.data()[i]);
            std::vector<float> flat_arrived(static_cast<std::size_t>(arrived.size()));
            std::vector<float> flat_back(flat.size());
            ex.dispatch(plan, as_matrix(flat, 4), as_matrix(flat_arrived, 4));
            for (float& v : flat_arrived) v = static_cast<float>(E(squared_back(v)));
            ex.combine(plan, as_matrix(flat_arrived, 4), std::vector<float>(),
                       as_matrix(flat_back, 4));
            for (std::size_t i = 0; i < flat.size(); ++i)
                if (static_cast<float>(back.data()[i]) != static_cast<float>(E(flat_back[i])))
                    throw std::runtime_error("rank " + std::to_string(backend.rank()) +
                                             " got another sum");
        });
    };
    travels(0.0f);
    travels(0.0);
    travels(Eigen::bfloat16(0.0f));
    travels(Eigen::half(0.0f));
    SUCCEED();
}

#endif
