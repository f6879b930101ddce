#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "linear.hpp"

namespace trainer {

/// One expert: y = relu(x W_1 + b_1)^2 W_2 + b_2, on whatever rows came to it, none included.
/// The squared ReLU (arXiv 2109.08668) costs no exponential.
template <class Scalar>
struct feed_forward {
    linear<Scalar> widen;
    linear<Scalar> narrow;

    feed_forward(const std::string& name, std::size_t width, std::size_t inner, double gain_in,
                 double gain_out, std::uint64_t seed)
        : widen(name + ".widen", width, inner, gain_in, seed),
          narrow(name + ".narrow", inner, width, gain_out, seed) {}

    void forward(matrix_view<const Scalar> x, matrix_view<Scalar> y) {
        const std::size_t inner = widen.bias.value.size();
        const auto a = shaped(positive_, x.rows, inner);
        const auto s = shaped(squared_, x.rows, inner);
        widen.forward(x, a);
        Scalar* positive = a.data;
        Scalar* squared = s.data;
        for (std::size_t i = 0; i < x.rows * inner; ++i) {
            positive[i] = positive[i] > 0 ? positive[i] : Scalar(0);
            squared[i] = positive[i] * positive[i];
        }
        narrow.forward(in(squared_), y);
    }

    /// With the x of the last forward pass; writes the gradient of x.
    void backward(matrix_view<const Scalar> x, matrix_view<const Scalar> grad_y,
                  matrix_view<Scalar> grad_x) {
        const std::size_t inner = widen.bias.value.size();
        const auto grad = shaped(grad_, x.rows, inner);
        narrow.backward(in(squared_), grad_y, grad);
        const Scalar* positive = positive_.data();
        for (std::size_t i = 0; i < x.rows * inner; ++i) grad.data[i] *= Scalar(2) * positive[i];
        widen.backward(x, in(grad_), grad_x);
    }

    void list(std::vector<parameter<Scalar>*>& to) {
        widen.list(to);
        narrow.list(to);
    }

  private:
    matrix<Scalar> positive_, squared_, grad_;  // [T, inner]
};

}  // namespace trainer
