#pragma once

#include <cstddef>
#include <span>
#include <type_traits>

namespace locmoe::inline v0 {

/// Rows of numbers that somebody else owns: `[rows, cols]`, each row contiguous, rows `row_stride`
/// elements apart. `matrix_view<const E>` reads, `matrix_view<E>` writes.
template <class E>
struct matrix_view {
    using value_type = std::remove_const_t<E>;  ///< the element, without const

    E* data = nullptr;           ///< where row 0 begins
    std::size_t rows = 0;        ///< how many rows
    std::size_t cols = 0;        ///< numbers in a row
    std::size_t row_stride = 0;  ///< elements from one row's start to the next one's

    constexpr matrix_view() = default;
    /// Rows that follow one another without a gap.
    constexpr matrix_view(E* first, std::size_t row_count, std::size_t col_count)
        : matrix_view(first, row_count, col_count, col_count) {}
    /// Rows `stride` elements apart. Nothing is checked.
    constexpr matrix_view(E* first, std::size_t row_count, std::size_t col_count,
                          std::size_t stride)
        : data(first), rows(row_count), cols(col_count), row_stride(stride) {}

    /// A reading view of the same numbers.
    constexpr operator matrix_view<const E>() const
        requires(!std::is_const_v<E>)
    {
        return {data, rows, cols, row_stride};
    }

    /// Row i, not checked.
    constexpr std::span<E> row(std::size_t i) const { return {data + i * row_stride, cols}; }
    /// Number j of row i, neither checked.
    constexpr E& operator()(std::size_t i, std::size_t j) const { return data[i * row_stride + j]; }
};

}  // namespace locmoe
