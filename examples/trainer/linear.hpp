#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>

#include "blas.hpp"
#include "parameter.hpp"

namespace trainer {

/// y = x W + b: `[T, in]` to `[T, out]`. `gain` scales the usual start, deviation 1 / sqrt(in).
template <class Scalar>
struct linear {
    parameter<Scalar> weight;  ///< [in, out]
    parameter<Scalar> bias;    ///< [1, out]

    linear(const std::string& name, std::size_t inputs, std::size_t outputs, double gain,
           std::uint64_t seed)
        : weight(parameter<Scalar>::normal(name + ".weight", inputs, outputs,
                                           gain / std::sqrt(static_cast<double>(inputs)), seed)),
          bias(parameter<Scalar>::constant(name + ".bias", 1, outputs, 0)) {}

    void forward(matrix_view<const Scalar> x, matrix_view<Scalar> y) const {
        for (std::size_t t = 0; t < y.rows; ++t) copy(in(bias.value), rows_of(y, t, 1));
        multiply_add(plain(x), plain(in(weight.value)), y);
    }

    /// Adds to the parameters' gradients and writes that of x.
    void backward(matrix_view<const Scalar> x, matrix_view<const Scalar> grad_y,
                  matrix_view<Scalar> grad_x) {
        multiply_add(transposed(x), plain(grad_y), out(weight.gradient));
        for (std::size_t t = 0; t < grad_y.rows; ++t)
            add(out(bias.gradient), rows_of(grad_y, t, 1));
        multiply(plain(grad_y), transposed(in(weight.value)), grad_x);
    }

    void list(std::vector<parameter<Scalar>*>& to) {
        to.push_back(&weight);
        to.push_back(&bias);
    }
};

}  // namespace trainer
