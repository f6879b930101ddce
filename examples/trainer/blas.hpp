#pragma once

#include <limits>
#include <string>
#include <type_traits>

#include <cblas.h>

#include "locmoe/core/error.hpp"

#include "matrix.hpp"

// OpenBLAS's own calls, null where the BLAS is another one.
extern "C" {
[[gnu::weak]] void openblas_set_num_threads(int);
[[gnu::weak]] char* openblas_get_corename();
}

namespace trainer {

/// The factor as it is, or transposed.
enum class form { plain, transposed };

template <class Scalar>
struct factor {
    matrix_view<const Scalar> m;
    form as = form::plain;

    std::size_t rows() const { return as == form::plain ? m.rows : m.cols; }
    std::size_t cols() const { return as == form::plain ? m.cols : m.rows; }
};

template <class Scalar>
factor<std::remove_const_t<Scalar>> plain(matrix_view<Scalar> m) {
    return {m, form::plain};
}
template <class Scalar>
factor<std::remove_const_t<Scalar>> transposed(matrix_view<Scalar> m) {
    return {m, form::transposed};
}

namespace detail {
inline int blas_int(std::size_t n) {
    if (n > static_cast<std::size_t>(std::numeric_limits<int>::max()))
        throw locmoe::argument_error("trainer: a matrix is too large for BLAS");
    return static_cast<int>(n);
}

inline CBLAS_TRANSPOSE blas_form(form as) {
    return as == form::plain ? CblasNoTrans : CblasTrans;
}
}  // namespace detail

/// sum = keep * sum + scale * a b
template <class Scalar>
void multiply(Scalar scale, factor<Scalar> a, factor<Scalar> b, Scalar keep,
              matrix_view<Scalar> sum) {
    if (a.rows() != sum.rows || b.cols() != sum.cols || a.cols() != b.rows())
        throw locmoe::argument_error("trainer: multiply: shapes do not fit");
    if (sum.rows == 0 || sum.cols == 0) return;
    using detail::blas_form;
    using detail::blas_int;
    const int m = blas_int(sum.rows), n = blas_int(sum.cols), k = blas_int(a.cols());
    const auto stride = [](const auto& view) {
        return blas_int(view.row_stride == 0 ? 1 : view.row_stride);
    };
    if constexpr (std::is_same_v<Scalar, float>)
        cblas_sgemm(CblasRowMajor, blas_form(a.as), blas_form(b.as), m, n, k, scale, a.m.data,
                    stride(a.m), b.m.data, stride(b.m), keep, sum.data, stride(sum));
    else
        cblas_dgemm(CblasRowMajor, blas_form(a.as), blas_form(b.as), m, n, k, scale, a.m.data,
                    stride(a.m), b.m.data, stride(b.m), keep, sum.data, stride(sum));
}

/// product = a b
template <class Scalar>
void multiply(factor<Scalar> a, factor<Scalar> b, matrix_view<Scalar> product) {
    multiply(Scalar(1), a, b, Scalar(0), product);
}

/// sum += a b
template <class Scalar>
void multiply_add(factor<Scalar> a, factor<Scalar> b, matrix_view<Scalar> sum) {
    multiply(Scalar(1), a, b, Scalar(1), sum);
}

/// The ranks are the parallelism: each product runs on the thread that asks for it.
inline void use_one_blas_thread() {
    if (openblas_set_num_threads != nullptr) openblas_set_num_threads(1);
}

/// Which processor OpenBLAS takes this one for; empty where the BLAS is another one.
inline std::string blas_core() {
    return openblas_get_corename != nullptr ? openblas_get_corename() : "";
}

}  // namespace trainer
