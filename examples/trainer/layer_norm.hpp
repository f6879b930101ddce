#pragma once

#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

#include "parameter.hpp"

namespace trainer {

/// Each row to mean 0 and variance 1, then times a gain and plus a bias a column.
template <class Scalar>
struct layer_norm {
    parameter<Scalar> gain;  ///< [1, d]
    parameter<Scalar> bias;  ///< [1, d]

    layer_norm(const std::string& name, std::size_t width, double first_gain = 1)
        : gain(parameter<Scalar>::constant(name + ".gain", 1, width, first_gain)),
          bias(parameter<Scalar>::constant(name + ".bias", 1, width, 0)) {}

    void forward(matrix_view<const Scalar> x, matrix_view<Scalar> y) {
        const std::size_t width = x.cols;
        const auto d = static_cast<Scalar>(width);
        const auto z = shaped(normal_, x.rows, width);
        inverse_deviation_.resize(x.rows);
        const Scalar* g = gain.value.data();
        const Scalar* b = bias.value.data();
        for (std::size_t t = 0; t < x.rows; ++t) {
            const auto row = x.row(t);
            Scalar mean = 0;
            for (const Scalar v : row) mean += v;
            mean /= d;
            Scalar variance = 0;
            for (const Scalar v : row) variance += (v - mean) * (v - mean);
            const Scalar inverse = Scalar(1) / std::sqrt(variance / d + Scalar(1e-5));
            inverse_deviation_[t] = inverse;
            Scalar* zt = z.row(t).data();
            Scalar* yt = y.row(t).data();
            for (std::size_t j = 0; j < width; ++j) {
                zt[j] = (row[j] - mean) * inverse;
                yt[j] = zt[j] * g[j] + b[j];
            }
        }
    }

    /// Adds the gradient of the last forward pass's x to `grad_x`: the residual path is there
    /// already.
    void backward(matrix_view<const Scalar> grad_y, matrix_view<Scalar> grad_x) {
        const std::size_t width = grad_y.cols;
        const auto d = static_cast<Scalar>(width);
        const Scalar* g = gain.value.data();
        Scalar* grad_gain = gain.gradient.data();
        Scalar* grad_bias = bias.gradient.data();
        for (std::size_t t = 0; t < grad_y.rows; ++t) {
            const Scalar* dy = grad_y.row(t).data();
            const Scalar* z = in(normal_).row(t).data();
            Scalar* dx = grad_x.row(t).data();
            Scalar mean = 0, along = 0;
            for (std::size_t j = 0; j < width; ++j) {
                grad_gain[j] += dy[j] * z[j];
                grad_bias[j] += dy[j];
                mean += dy[j] * g[j];
                along += dy[j] * g[j] * z[j];
            }
            mean /= d;
            along /= d;
            for (std::size_t j = 0; j < width; ++j)
                dx[j] += (dy[j] * g[j] - mean - z[j] * along) * inverse_deviation_[t];
        }
    }

    void list(std::vector<parameter<Scalar>*>& to) {
        to.push_back(&gain);
        to.push_back(&bias);
    }

  private:
    matrix<Scalar> normal_;  // [T, d], before gain and bias
    std::vector<Scalar> inverse_deviation_;
};

}  // namespace trainer
