#include "locmoe/adapt/torch.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>

#include <ATen/ATen.h>

#include "locmoe/core/element.hpp"
#include "locmoe/core/error.hpp"
#include "locmoe/tensor/tensor_traits.hpp"

#include "catch.hpp"
#include "random_cases.hpp"

namespace {

using namespace locmoe;

std::string refusal(const at::Tensor& t) {
    try {
        (void)as_matrix<float>(t);
    } catch (const argument_error& e) {
        return e.what();
    }
    return "";
}

}  // namespace

TEST_CASE("A view of a LibTorch tensor shows its rows or says which strides stand against it") {
    random_cases::generator g(3);
    std::size_t accepted = 0, refused = 0;
    for (int trial = 0; trial < 300; ++trial) {
        const auto size = [&] { return static_cast<std::int64_t>(1 + g.up_to(3)); };
        at::Tensor t = at::rand({size(), size(), size() + 1, size() + 1});
        if (g.chance(0.3)) t = t.transpose(0, 1);
        if (g.chance(0.2)) t = t.transpose(2, 3);
        if (g.chance(0.3)) t = t.slice(3, 1);
        if (g.chance(0.3)) t = t.select(0, 0);
        const std::string why = refusal(t);
        if (!why.empty()) {
            CHECK(why.find("strides of the at::Tensor") != std::string::npos);
            ++refused;
            continue;
        }
        ++accepted;
        const auto view = as_matrix<const float>(t);
        const at::Tensor rows = t.reshape({-1, t.size(-1)});
        REQUIRE(view.rows == static_cast<std::size_t>(rows.size(0)));
        REQUIRE(view.cols == static_cast<std::size_t>(rows.size(1)));
        for (std::int64_t i = 0; i < rows.size(0); ++i)
            for (std::int64_t j = 0; j < rows.size(1); ++j)
                CHECK(view(static_cast<std::size_t>(i), static_cast<std::size_t>(j)) ==
                      rows[i][j].item<float>());
    }
    CHECK(accepted > 50);
    CHECK(refused > 50);
}

TEST_CASE("What is written through the view is in the LibTorch tensor") {
    const at::Tensor t = at::zeros({2, 3, 4});
    writable_view_of(as_matrix<float>(t))(5, 1) = 7.0f;
    CHECK(t[1][2][1].item<float>() == 7.0f);
    CHECK(as_matrix<float>(at::zeros({0, 4})).cols == 4);
}

TEST_CASE("Each LibTorch dtype is the element of its name and no other") {
    const auto check = []<class E>(E, at::ScalarType type) {
        const at::Tensor t = at::ones({2, 3}, type);
        CHECK(as_matrix<E>(t).rows == 2);
        CHECK(visit_matrix(t, [](auto view) {
            static_assert(writable_token_tensor<decltype(view)>);
            return std::is_same_v<typename decltype(view)::value_type, E>;
        }));
        if (type != at::kFloat) CHECK_THROWS_AS(as_matrix<float>(t), argument_error);
    };
    check(float(), at::kFloat);
    check(double(), at::kDouble);
    check(at::BFloat16(), at::kBFloat16);
    check(at::Half(), at::kHalf);
    check(std::int32_t(), at::kInt);
    check(std::int64_t(), at::kLong);
    CHECK(float(as_matrix<bf16>(at::full({1, 1}, 1.5, at::kBFloat16))(0, 0)) == 1.5f);
    CHECK(float(as_matrix<fp16>(at::full({1, 1}, 1.5, at::kHalf))(0, 0)) == 1.5f);
}

TEST_CASE("What a LibTorch tensor is refused for is said") {
    CHECK(refusal(at::Tensor()) ==
          "locmoe: as_matrix: at::Tensor: expected one that is defined, got an undefined one");
    CHECK(refusal(at::empty({2, 3}, at::device(at::kMeta))) ==
          "locmoe: as_matrix: device of the at::Tensor: expected cpu, got meta");
    CHECK(refusal(at::ones({2, 3}).to_sparse()) ==
          "locmoe: as_matrix: layout of the at::Tensor: expected strided, got another: call "
          "to_dense() first");
    CHECK(refusal(at::ones({2, 3}, at::kBool)) ==
          "locmoe: as_matrix: dtype of the at::Tensor: expected f32, got Bool");
    CHECK(refusal(at::ones({3})) ==
          "locmoe: as_matrix: dimensions of the at::Tensor: expected 2 or more, [..., d], got 1");
    CHECK(refusal(at::ones({2, 3}).t()) ==
          "locmoe: as_matrix: strides of the at::Tensor: expected 1 in the last dimension, got [1, "
          "3] for the shape [3, 2]");
    CHECK(refusal(at::ones({3}).expand({2, 3})) ==
          "locmoe: as_matrix: strides of the at::Tensor: expected at least d = 3 from row to row, "
          "got [0, 1] for the shape [2, 3]");
    const at::Tensor negated = at::imag(at::complex(at::ones({2, 3}), at::ones({2, 3})).conj());
    CHECK(refusal(negated).find("call resolve_neg() first") != std::string::npos);
    CHECK_THROWS_WITH(visit_matrix(at::ones({2, 3}, at::kByte), [](auto) {}),
                      "locmoe: visit_matrix: dtype of the at::Tensor: expected f32, f64, bf16, "
                      "fp16, i32 or i64, got Byte");
}
