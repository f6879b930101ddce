#if __has_include(<xtensor/containers/xtensor.hpp>) || __has_include(<xtensor/xtensor.hpp>)

#include "locmoe/adapt/xtensor.hpp"

#include <string>
#include <vector>

#include "locmoe/core/element.hpp"
#include "locmoe/core/error.hpp"

#include "catch.hpp"

namespace {

using namespace locmoe;

template <class Tensor>
void number(Tensor& t) {
    for (std::size_t i = 0; i < t.shape()[0]; ++i)
        for (std::size_t j = 0; j < t.shape()[1]; ++j)
            t(i, j) = static_cast<typename Tensor::value_type>(100 * i + j);
}

template <class View>
void check_numbers(const View& view, std::size_t rows, std::size_t cols) {
    REQUIRE(view.rows == rows);
    REQUIRE(view.cols == cols);
    REQUIRE(view.row_stride >= cols);
    for (std::size_t i = 0; i < rows; ++i)
        for (std::size_t j = 0; j < cols; ++j) CHECK(double(view(i, j)) == double(100 * i + j));
}

std::string message_of_rows(const xt::xarray<float>& t) {
    try {
        (void)view_of(t);
    } catch (const argument_error& e) {
        return e.what();
    }
    return "";
}

}  // namespace

TEST_CASE("xtensor's containers are token tensors and their column-major twins are not") {
    static_assert(writable_token_tensor<xt::xtensor<float, 2>>);
    static_assert(writable_token_tensor<xt::xtensor<double, 2>>);
    static_assert(writable_token_tensor<xt::xtensor<bf16, 2>>);
    static_assert(writable_token_tensor<xt::xarray<float>>);
    static_assert(writable_token_tensor<xt::xtensor_fixed<float, xt::xshape<3, 4>>>);
    static_assert(token_tensor<const xt::xtensor<float, 2>>);
    static_assert(!writable_token_tensor<const xt::xtensor<float, 2>>);
    static_assert(!token_tensor<xt::xtensor<float, 2, xt::layout_type::column_major>>);
    static_assert(!token_tensor<xt::xarray<float, xt::layout_type::column_major>>);
    static_assert(!token_tensor<xt::xtensor<float, 3>>);
    static_assert(!token_tensor<xt::xtensor<bool, 2>>);
    SUCCEED();
}

TEST_CASE("Each kind of xtensor shows the rows it holds") {
    xt::xtensor<float, 2> fixed_rank({5, 3});
    number(fixed_rank);
    check_numbers(view_of(fixed_rank), 5, 3);

    xt::xarray<double> any_rank = xt::zeros<double>({4, 7});
    number(any_rank);
    check_numbers(view_of(any_rank), 4, 7);

    xt::xtensor_fixed<float, xt::xshape<2, 6>> fixed_shape;
    number(fixed_shape);
    check_numbers(view_of(fixed_shape), 2, 6);

    std::vector<float> flat(12);
    auto adapted = xt::adapt(flat, std::array<std::size_t, 2>{3, 4});
    number(adapted);
    check_numbers(view_of(adapted), 3, 4);
    CHECK(view_of(adapted).data == flat.data());
}

TEST_CASE("Tensors of one row, one column or none have a stride that fits their columns") {
    for (const std::size_t rows : {0u, 1u, 2u})
        for (const std::size_t cols : {0u, 1u, 2u}) {
            xt::xtensor<float, 2> t({rows, cols});
            number(t);
            check_numbers(view_of(t), rows, cols);
        }
}

TEST_CASE("What is written through the view is in the xtensor") {
    xt::xtensor<float, 2> t = xt::zeros<float>({3, 2});
    writable_view_of(t)(2, 1) = 5.0f;
    CHECK(t(2, 1) == 5.0f);
}

TEST_CASE("Views of whole rows and of column ranges keep the stride of the tensor below") {
    xt::xtensor<float, 2> t({6, 8});
    number(t);
    const auto some_rows = xt::view(t, xt::range(2, 5), xt::all());
    CHECK(view_of(some_rows).row(0).data() == &t(2, 0));
    CHECK(view_of(some_rows).rows == 3);

    auto some_cols = xt::view(t, xt::range(1, 4), xt::range(2, 5));
    const auto view = view_of(some_cols);
    CHECK(view.row_stride == 8);
    CHECK(view.cols == 3);
    CHECK(view(2, 1) == 303.0f);
    writable_view_of(some_cols)(0, 0) = -1.0f;
    CHECK(t(1, 2) == -1.0f);

    const xt::xtensor<float, 2>& fixed = t;
    auto reading = xt::view(fixed, xt::range(0, 2), xt::all());
    static_assert(token_tensor<decltype(reading)>);
    static_assert(!writable_token_tensor<decltype(reading)>);
}

TEST_CASE("A wrong number of dimensions and a wrong layout are refused with a clear line") {
    const xt::xarray<float> cube = xt::zeros<float>({2, 3, 4});
    CHECK(message_of_rows(cube) ==
          "locmoe: tensor_traits: xtensor: expected 2 dimensions [T, d], got 3");
    const xt::xarray<float> line = xt::zeros<float>({4});
    CHECK(message_of_rows(line) ==
          "locmoe: tensor_traits: xtensor: expected 2 dimensions [T, d], got 1");

    xt::xtensor<float, 2, xt::layout_type::dynamic> either({4, 3}, xt::layout_type::column_major);
    CHECK_THROWS_AS(view_of(either), argument_error);
    either.resize({4, 3}, xt::layout_type::row_major);
    CHECK(view_of(either).row_stride == 3);

    xt::xtensor<float, 2> t({4, 6});
    const auto every_second = xt::view(t, xt::all(), xt::range(0, 6, 2));
    CHECK_THROWS_AS(view_of(every_second), argument_error);
    const auto backwards = xt::view(t, xt::range(3, xt::placeholders::_, -1), xt::all());
    CHECK_THROWS_AS(view_of(backwards), argument_error);
}

#endif
