#pragma once

#include <version>

#ifdef __cpp_lib_mdspan  // C++23; without it this header is empty

#include <cstddef>
#include <mdspan>
#include <type_traits>

#include "locmoe/core/error.hpp"
#include "locmoe/tensor/tensor_traits.hpp"

namespace locmoe::inline v0 {

/// `std::mdspan` of two dimensions `[T, d]`, row-major or strided. Throws argument_error where the
/// strides leave columns apart or rows overlapping.
template <class E, class Extents, class Layout>
    requires(Extents::rank() == 2 && Layout::template mapping<Extents>::is_always_strided())
struct tensor_traits<std::mdspan<E, Extents, Layout>> {
    using tensor = std::mdspan<E, Extents, Layout>;  ///< the tensor type described here
    using value_type = std::remove_const_t<E>;       ///< the element, without const

    /// T.
    static std::size_t rows(const tensor& t) { return static_cast<std::size_t>(t.extent(0)); }
    /// d.
    static std::size_t cols(const tensor& t) { return static_cast<std::size_t>(t.extent(1)); }

    /// In elements; d where there is no second row to be apart from. This is what throws.
    static std::size_t row_stride(const tensor& t) {
        if (cols(t) > 1 && t.stride(1) != 1)
            detail::throw_argument("tensor_traits", "stride(1) of an mdspan", "1",
                                   detail::concat(t.stride(1)));
        if (rows(t) <= 1) return cols(t);
        const auto between = static_cast<std::size_t>(t.stride(0));
        if (between < cols(t))
            detail::throw_argument("tensor_traits", "stride(0) of an mdspan",
                                   detail::concat("at least d = ", cols(t)),
                                   detail::concat(between));
        return between;
    }

    static E* data(const tensor& t) { return t.data_handle(); }  ///< where row 0 begins
};

/// Columns together: no token tensor.
template <class E, class Extents>
struct tensor_traits<std::mdspan<E, Extents, std::layout_left>> {
    using scattered_rows = void;  ///< makes the error say why
};

}  // namespace locmoe

#endif
