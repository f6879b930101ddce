#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "catch.hpp"
#include "parameter.hpp"

namespace trainer_tests {

using trainer::in;
using trainer::matrix;
using trainer::matrix_view;
using trainer::out;

inline matrix<double> random_matrix(std::size_t rows, std::size_t cols, std::uint64_t seed) {
    matrix<double> m({rows, cols});
    trainer::generator draw(seed);
    for (double& x : m) x = draw.normal();
    return m;
}

/// sum_ij a_ij b_ij: the loss of the layer tests, whose gradient with respect to a is b.
inline double inner(const matrix<double>& a, const matrix<double>& b) {
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) sum += a.data()[i] * b.data()[i];
    return sum;
}

/// Compares d loss / d x_i with central differences for some `checked` of the numbers.
inline void check_gradient(const std::string& what, std::span<double> x,
                           std::span<const double> gradient, const std::function<double()>& loss,
                           std::size_t checked = 40, double step = 1e-5) {
    REQUIRE(x.size() == gradient.size());
    trainer::generator draw(trainer::seed_for(7, what));
    for (std::size_t k = 0; k < checked && k < x.size(); ++k) {
        const std::size_t i = x.size() <= checked ? k : draw.below(x.size());
        const double kept = x[i];
        x[i] = kept + step;
        const double above = loss();
        x[i] = kept - step;
        const double below = loss();
        x[i] = kept;
        const double difference = (above - below) / (2 * step);
        INFO(what << " [" << i << "]: " << gradient[i] << " against " << difference);
        CHECK(std::abs(gradient[i] - difference) <=
              1e-7 + 1e-5 * std::max(std::abs(gradient[i]), std::abs(difference)));
    }
}

/// The same for every parameter of a layer, whose gradients the backward pass has filled.
inline void check_parameters(const std::vector<trainer::parameter<double>*>& parameters,
                             const std::function<double()>& loss) {
    for (trainer::parameter<double>* p : parameters) {
        const std::vector<double> gradient(p->gradient.begin(), p->gradient.end());
        check_gradient(p->name, p->values(), gradient, loss);
    }
}

}  // namespace trainer_tests
