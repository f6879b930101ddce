#include "locmoe/tensor/mdspan.hpp"

#ifdef __cpp_lib_mdspan

#include <array>
#include <cstddef>
#include <vector>

#include "locmoe/core/error.hpp"

#include "catch.hpp"

namespace {

using namespace locmoe;

using matrix = std::mdspan<float, std::dextents<std::size_t, 2>>;
using strided = std::mdspan<float, std::dextents<int, 2>, std::layout_stride>;

strided with_strides(std::vector<float>& memory, int rows, int cols, int row, int col) {
    return strided(memory.data(), {std::dextents<int, 2>(rows, cols), std::array<int, 2>{row, col}});
}

}  // namespace

TEST_CASE("An mdspan of two dimensions is a token tensor unless its columns lie together") {
    static_assert(writable_token_tensor<matrix>);
    static_assert(writable_token_tensor<strided>);
    static_assert(writable_token_tensor<std::mdspan<double, std::extents<int, 3, 4>>>);
    static_assert(token_tensor<std::mdspan<const float, std::dextents<int, 2>>>);
    static_assert(!writable_token_tensor<std::mdspan<const float, std::dextents<int, 2>>>);
    static_assert(!token_tensor<std::mdspan<float, std::dextents<int, 3>>>);
    static_assert(!token_tensor<std::mdspan<float, std::dextents<int, 2>, std::layout_left>>);
    SUCCEED();
}

TEST_CASE("An mdspan shows the rows it names and passes its stride on") {
    std::vector<float> memory(40);
    for (std::size_t i = 0; i < memory.size(); ++i) memory[i] = static_cast<float>(i);
    const auto whole = view_of(matrix(memory.data(), 5, 8));
    CHECK(whole.rows == 5);
    CHECK(whole.cols == 8);
    CHECK(whole(2, 3) == 19.0f);

    const auto part = writable_view_of(with_strides(memory, 4, 6, 8, 1));
    CHECK(part.row_stride == 8);
    part(1, 5) = -1.0f;
    CHECK(memory[13] == -1.0f);
    CHECK(view_of(with_strides(memory, 4, 1, 8, 3)).row_stride == 8);
    CHECK(view_of(with_strides(memory, 1, 6, 1, 1)).row_stride == 6);
}

TEST_CASE("An mdspan whose rows are scattered or overlap is refused with a clear line") {
    std::vector<float> memory(40);
    CHECK_THROWS_WITH(view_of(with_strides(memory, 4, 3, 9, 2)),
                      "locmoe: tensor_traits: stride(1) of an mdspan: expected 1, got 2");
    CHECK_THROWS_WITH(view_of(with_strides(memory, 4, 3, 2, 1)),
                      "locmoe: tensor_traits: stride(0) of an mdspan: expected at least d = 3, got "
                      "2");
}

#endif
