#pragma once

#include <cstddef>

#include "locmoe/adapt/xtensor.hpp"
#include "locmoe/core/matrix_view.hpp"
#include "locmoe/tensor/standard.hpp"

namespace trainer {

using locmoe::matrix_view;

/// The trainer's tensors: `[rows, cols]`, row-major.
template <class Scalar>
using matrix = xt::xtensor<Scalar, 2>;

/// The same numbers for reading, and for writing.
template <class Scalar>
matrix_view<const Scalar> in(const matrix<Scalar>& m) {
    return locmoe::view_of(m);
}
template <class Scalar>
matrix_view<Scalar> out(matrix<Scalar>& m) {
    return locmoe::writable_view_of(m);
}

/// Some columns of the rows `first` to `first + count` - 1.
template <class Element>
matrix_view<Element> block(matrix_view<Element> m, std::size_t first, std::size_t count,
                           std::size_t first_col, std::size_t cols) {
    return {m.data + first * m.row_stride + first_col, count, cols, m.row_stride};
}

template <class Element>
matrix_view<Element> rows_of(matrix_view<Element> m, std::size_t first, std::size_t count) {
    return block(m, first, count, 0, m.cols);
}

/// `[rows, cols]` with unspecified numbers; keeps its memory where the shape stays.
template <class Scalar>
matrix_view<Scalar> shaped(matrix<Scalar>& m, std::size_t rows, std::size_t cols) {
    m.resize({rows, cols});
    return out(m);
}

template <class Scalar>
void fill(matrix_view<Scalar> m, Scalar value) {
    for (std::size_t i = 0; i < m.rows; ++i)
        for (Scalar& x : m.row(i)) x = value;
}

/// sum += term
template <class Scalar>
void add(matrix_view<Scalar> sum, matrix_view<const Scalar> term) {
    for (std::size_t i = 0; i < sum.rows; ++i) {
        Scalar* s = sum.row(i).data();
        const Scalar* t = term.row(i).data();
        for (std::size_t j = 0; j < sum.cols; ++j) s[j] += t[j];
    }
}

template <class Scalar>
void copy(matrix_view<const Scalar> from, matrix_view<Scalar> to) {
    for (std::size_t i = 0; i < from.rows; ++i) {
        const Scalar* f = from.row(i).data();
        Scalar* t = to.row(i).data();
        for (std::size_t j = 0; j < from.cols; ++j) t[j] = f[j];
    }
}

}  // namespace trainer
