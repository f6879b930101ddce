#pragma once

#include <cstddef>
#include <type_traits>

#include "locmoe/core/element.hpp"
#include "locmoe/core/matrix_view.hpp"

namespace locmoe::inline v0 {

/// Token rows as the exchange sees them: bytes, with what the numbers are kept beside. All floors
/// above the tensors work on this one type, so that a user's tensor type costs nothing up there.
/// `Byte` is `std::byte` for rows that are written, `const std::byte` for rows that are read.
template <class Byte>
struct basic_token_rows {
    Byte* data = nullptr;        ///< where row 0 begins
    std::size_t rows = 0;        ///< how many rows
    std::size_t row_bytes = 0;   ///< bytes of one row, without what lies between rows
    std::size_t row_stride = 0;  ///< bytes from one row's start to the next one's
    element_type type = element_type::f32;  ///< what the numbers in the rows are

    /// Where row i begins, not checked.
    constexpr Byte* row(std::size_t i) const { return data + i * row_stride; }
    constexpr std::size_t cols() const { return row_bytes / element_bytes(type); }  ///< numbers
    constexpr bool contiguous() const { return row_stride == row_bytes; }  ///< rows without gaps

    /// The same rows, for reading alone.
    constexpr operator basic_token_rows<const std::byte>() const
        requires(!std::is_const_v<Byte>)
    {
        return {data, rows, row_bytes, row_stride, type};
    }
};

using token_rows = basic_token_rows<std::byte>;              ///< rows to be written
using const_token_rows = basic_token_rows<const std::byte>;  ///< rows to be read

/// The same numbers, seen as bytes.
template <class E>
    requires element<std::remove_const_t<E>>
auto as_token_rows(matrix_view<E> view) {
    using value = std::remove_const_t<E>;
    using byte = std::conditional_t<std::is_const_v<E>, const std::byte, std::byte>;
    return basic_token_rows<byte>{reinterpret_cast<byte*>(view.data), view.rows,
                                  view.cols * sizeof(value), view.row_stride * sizeof(value),
                                  element_traits<value>::type};
}

}  // namespace locmoe
