#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <type_traits>
#include <vector>

#include "locmoe/core/error.hpp"
#include "locmoe/tensor/tensor_traits.hpp"

namespace locmoe::inline v0 {

/// A view is a tensor itself.
template <class E>
struct tensor_traits<matrix_view<E>> {
    using value_type = std::remove_const_t<E>;  ///< the element, without const
    static std::size_t rows(const matrix_view<E>& m) { return m.rows; }              ///< T
    static std::size_t cols(const matrix_view<E>& m) { return m.cols; }              ///< d
    static std::size_t row_stride(const matrix_view<E>& m) { return m.row_stride; }  ///< elements
    static E* data(const matrix_view<E>& m) { return m.data; }  ///< where row 0 begins
};

/// One array a token: `std::vector<std::array<float, d>>` is `[T, d]`.
template <class E, std::size_t D, class Allocator>
struct tensor_traits<std::vector<std::array<E, D>, Allocator>> {
    using tensor = std::vector<std::array<E, D>, Allocator>;  ///< the tensor type described here
    using value_type = E;                                     ///< the number type of the arrays
    static std::size_t rows(const tensor& t) { return t.size(); }  ///< T
    static std::size_t cols(const tensor&) { return D; }           ///< d, the same for all
    static std::size_t row_stride(const tensor&) { return D; }     ///< d
    /// Null where there is no token.
    static const E* data(const tensor& t) { return t.empty() ? nullptr : t.front().data(); }
    /// For writing; null where there is no token.
    static E* data(tensor& t) { return t.empty() ? nullptr : t.front().data(); }
};

/// One array a token, owned elsewhere.
template <class E, std::size_t D>
struct tensor_traits<std::span<std::array<E, D>>> {
    using tensor = std::span<std::array<E, D>>;  ///< the tensor type described here
    using value_type = E;                        ///< the number type of the arrays
    static std::size_t rows(const tensor& t) { return t.size(); }  ///< T
    static std::size_t cols(const tensor&) { return D; }           ///< d, the same for all
    static std::size_t row_stride(const tensor&) { return D; }     ///< d
    /// For writing; null where there is no token.
    static E* data(const tensor& t) { return t.empty() ? nullptr : t.front().data(); }
};

/// The same, to be read alone.
template <class E, std::size_t D>
struct tensor_traits<std::span<const std::array<E, D>>> {
    using tensor = std::span<const std::array<E, D>>;  ///< the tensor type described here
    using value_type = E;                              ///< the number type of the arrays
    static std::size_t rows(const tensor& t) { return t.size(); }  ///< T
    static std::size_t cols(const tensor&) { return D; }           ///< d, the same for all
    static std::size_t row_stride(const tensor&) { return D; }     ///< d
    /// Null where there is no token.
    static const E* data(const tensor& t) { return t.empty() ? nullptr : t.front().data(); }
};

/// A flat vector or span as `[size / cols, cols]`. Throws argument_error where cols does not divide
/// the size.
template <class E>
matrix_view<E> as_matrix(std::span<E> flat, std::size_t cols) {
    if (cols == 0 ? !flat.empty() : flat.size() % cols != 0)
        detail::throw_argument("as_matrix", "flat",
                               detail::concat("a multiple of ", cols, " elements"),
                               detail::concat(flat.size()));
    return {flat.data(), cols == 0 ? 0 : flat.size() / cols, cols};
}

/// The vector's numbers, for writing. Throws as it does for a span.
template <class E>
matrix_view<E> as_matrix(std::vector<E>& flat, std::size_t cols) {
    return as_matrix(std::span<E>(flat), cols);
}

/// The vector's numbers, for reading. Throws as it does for a span.
template <class E>
matrix_view<const E> as_matrix(const std::vector<E>& flat, std::size_t cols) {
    return as_matrix(std::span<const E>(flat), cols);
}

}  // namespace locmoe
