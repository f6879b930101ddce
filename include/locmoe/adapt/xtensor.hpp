#pragma once

#include <cstddef>
#include <type_traits>

// xtensor 0.26 moved its headers into folders.
#if __has_include(<xtensor/containers/xtensor.hpp>)
#include <xtensor/containers/xadapt.hpp>
#include <xtensor/containers/xarray.hpp>
#include <xtensor/containers/xfixed.hpp>
#include <xtensor/containers/xtensor.hpp>
#include <xtensor/views/xview.hpp>
#else
#include <xtensor/xadapt.hpp>
#include <xtensor/xarray.hpp>
#include <xtensor/xfixed.hpp>
#include <xtensor/xtensor.hpp>
#include <xtensor/xview.hpp>
#endif

#include "locmoe/core/error.hpp"
#include "locmoe/tensor/tensor_traits.hpp"

namespace locmoe::inline v0 {

namespace detail {

/// Token rows of anything of xtensor's that has shape, strides and data: `[T, d]`, each row
/// contiguous. Throws argument_error where it has not two dimensions or is laid out otherwise.
template <class Tensor>
struct xtensor_rows {
    using value_type = std::remove_const_t<typename Tensor::value_type>;

    static std::size_t rows(const Tensor& t) { return size(t, 0); }
    static std::size_t cols(const Tensor& t) { return size(t, 1); }

    static std::size_t row_stride(const Tensor& t) {
        const std::size_t row_count = rows(t);
        const std::size_t col_count = cols(t);
        // xtensor gives a dimension of one element the stride 0.
        if (row_count <= 1 && (col_count <= 1 || stride(t, 1) == 1)) return col_count;
        const std::ptrdiff_t between = stride(t, 0);
        if ((col_count > 1 && stride(t, 1) != 1) ||
            between < static_cast<std::ptrdiff_t>(col_count))
            throw_argument("tensor_traits", "layout of an xtensor", "row-major",
                           concat("strides ", between, " and ", stride(t, 1)));
        return static_cast<std::size_t>(between);
    }

    static auto data(const Tensor& t) { return t.data() + t.data_offset(); }
    static auto data(Tensor& t) { return t.data() + t.data_offset(); }

  private:
    static std::size_t size(const Tensor& t, std::size_t dimension) {
        if (t.dimension() != 2)
            throw_argument("tensor_traits", "xtensor", "2 dimensions [T, d]",
                           concat(t.dimension()));
        return static_cast<std::size_t>(t.shape()[dimension]);
    }

    static std::ptrdiff_t stride(const Tensor& t, std::size_t dimension) {
        return static_cast<std::ptrdiff_t>(t.strides()[dimension]);
    }
};

/// Known at compile time to have its columns, not its rows, together.
template <xt::layout_type Layout>
inline constexpr bool may_be_row_major = Layout != xt::layout_type::column_major;

}  // namespace detail

/// Column-major containers: no token tensors, and the error says so.
template <class T>
    requires(T::static_layout == xt::layout_type::column_major)
struct tensor_traits<T> {
    /// Makes errors say that rows are scattered.
    using scattered_rows = void;
};

/// `xt::xtensor<T, 2>`.
template <class Storage, xt::layout_type Layout, class Tag>
requires detail::may_be_row_major<Layout>
struct tensor_traits<xt::xtensor_container<Storage, 2, Layout, Tag>>
    : detail::xtensor_rows<xt::xtensor_container<Storage, 2, Layout, Tag>> {
};

/// `xt::adapt(pointer or container, {T, d})`.
template <class Storage, xt::layout_type Layout, class Tag>
requires detail::may_be_row_major<Layout>
struct tensor_traits<xt::xtensor_adaptor<Storage, 2, Layout, Tag>>
    : detail::xtensor_rows<xt::xtensor_adaptor<Storage, 2, Layout, Tag>> {
};

/// `xt::xarray<T>`; its number of dimensions is checked when it is used.
template <class Storage, xt::layout_type Layout, class Shape, class Tag>
requires detail::may_be_row_major<Layout>
struct tensor_traits<xt::xarray_container<Storage, Layout, Shape, Tag>>
    : detail::xtensor_rows<xt::xarray_container<Storage, Layout, Shape, Tag>> {
};

/// `xt::xtensor_fixed<T, xt::xshape<rows, cols>>`.
template <class Storage, std::size_t Rows, std::size_t Cols, xt::layout_type Layout, bool Sharable,
          class Tag>
requires detail::may_be_row_major<Layout>
struct tensor_traits<
    xt::xfixed_container<Storage, xt::fixed_shape<Rows, Cols>, Layout, Sharable, Tag>>
    : detail::xtensor_rows<
          xt::xfixed_container<Storage, xt::fixed_shape<Rows, Cols>, Layout, Sharable, Tag>> {
};

/// `xt::view(t, xt::range(a, b), xt::all())` and other views with strides into one block of memory.
template <class Expression, class... Slices>
requires(xt::xview<Expression, Slices...>::is_strided_view) struct tensor_traits<
    xt::xview<Expression, Slices...>> : detail::xtensor_rows<xt::xview<Expression, Slices...>> {
};

}  // namespace locmoe
