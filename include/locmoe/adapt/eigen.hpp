#pragma once

#include <concepts>
#include <cstddef>

#include <Eigen/Core>

#include "locmoe/core/element.hpp"
#include "locmoe/core/error.hpp"
#include "locmoe/tensor/tensor_traits.hpp"

namespace locmoe::inline v0 {

/// Travels as bf16, is added up in float.
template <>
struct element_traits<Eigen::bfloat16>
    : detail::plain_element<Eigen::bfloat16, element_type::bf16, float> {};
/// Travels as fp16, is added up in float.
template <>
struct element_traits<Eigen::half>
    : detail::plain_element<Eigen::half, element_type::fp16, float> {};

namespace detail {

/// Anything of Eigen's that lies in memory: Matrix, Array, Map, Ref, Block, but no sum or product.
template <class T>
concept eigen_in_memory = std::derived_from<T, Eigen::DenseBase<T>> &&
                          (T::Flags & Eigen::DirectAccessBit) != 0;

/// Known at compile time to have its rows, not its columns, together.
template <class T>
inline constexpr bool eigen_rows_contiguous =
    T::IsRowMajor && (T::InnerStrideAtCompileTime == 1 ||
                      T::InnerStrideAtCompileTime == Eigen::Dynamic);

}  // namespace detail

/// Row-major matrices and arrays `[T, d]`, and maps, refs and blocks of such: `Eigen::Matrix<float,
/// Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>`, `x.topRows(n)`, or a `Map` with an
/// `OuterStride`, which becomes the row stride. Throws argument_error where an inner stride that is
/// known at run time alone is not 1, or rows overlap.
template <detail::eigen_in_memory T>
    requires detail::eigen_rows_contiguous<T>
struct tensor_traits<T> {
    /// The number type of the matrix, const or not.
    using value_type = typename T::Scalar;

    /// T, the rows of the matrix.
    static std::size_t rows(const T& t) { return static_cast<std::size_t>(t.rows()); }
    /// d, its columns.
    static std::size_t cols(const T& t) { return static_cast<std::size_t>(t.cols()); }

    /// The outer stride, at least d; d where there is one row at most. Throws argument_error as
    /// above.
    static std::size_t row_stride(const T& t) {
        using detail::concat;
        if (t.cols() > 1 && t.innerStride() != 1)
            detail::throw_argument("tensor_traits", "inner stride of an Eigen tensor", "1",
                                   concat(t.innerStride()));
        if (t.rows() <= 1) return cols(t);
        if (t.outerStride() < t.cols())
            detail::throw_argument("tensor_traits", "outer stride of an Eigen tensor",
                                   concat("at least ", t.cols(), ", its columns"),
                                   concat(t.outerStride()));
        return static_cast<std::size_t>(t.outerStride());
    }

    /// Row 0, to be read.
    static auto data(const T& t) { return t.data(); }
    /// Row 0, to be written, unless the memory of a map or block is const.
    static auto data(T& t) { return t.data(); }
};

/// Eigen's default, column-major, scatters a token's numbers: no token tensor.
template <detail::eigen_in_memory T>
    requires(!detail::eigen_rows_contiguous<T>)
struct tensor_traits<T> {
    /// Makes errors say that rows are scattered.
    using scattered_rows = void;
};

}  // namespace locmoe
