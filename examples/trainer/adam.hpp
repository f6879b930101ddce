#pragma once

#include <cmath>
#include <cstddef>
#include <numbers>
#include <vector>

#include "parameter.hpp"

namespace trainer {

/// Up in a straight line over the first `warm_up` steps, then down along half a cosine to a
/// twentieth of the peak.
inline double learning_rate(std::size_t step, std::size_t steps, std::size_t warm_up, double peak) {
    if (step < warm_up) return peak * static_cast<double>(step + 1) / static_cast<double>(warm_up);
    const double done = static_cast<double>(step - warm_up) / static_cast<double>(steps - warm_up);
    return peak * (0.05 + 0.95 * 0.5 * (1 + std::cos(std::numbers::pi * done)));
}

/// Adam (arXiv 1412.6980) over a list of parameters.
template <class Scalar>
class adam {
  public:
    explicit adam(std::vector<parameter<Scalar>*> parameters) : parameters_(std::move(parameters)) {
        for (const parameter<Scalar>* p : parameters_) {
            mean_.emplace_back(p->value.size(), Scalar(0));
            square_.emplace_back(p->value.size(), Scalar(0));
        }
    }

    /// One step down the gradients.
    void step(double rate) {
        constexpr double keep_mean = 0.9, keep_square = 0.98;
        ++steps_;
        const double count = static_cast<double>(steps_);
        const auto scale = static_cast<Scalar>(rate / (1 - std::pow(keep_mean, count)));
        const auto correct = static_cast<Scalar>(1 / (1 - std::pow(keep_square, count)));
        const auto a = static_cast<Scalar>(keep_mean), b = static_cast<Scalar>(keep_square);
        const auto least = static_cast<Scalar>(1e-9);
        for (std::size_t i = 0; i < parameters_.size(); ++i) {
            Scalar* value = parameters_[i]->value.data();
            const Scalar* gradient = parameters_[i]->gradient.data();
            Scalar* mean = mean_[i].data();
            Scalar* square = square_[i].data();
            for (std::size_t j = 0; j < mean_[i].size(); ++j) {
                mean[j] = a * mean[j] + (1 - a) * gradient[j];
                square[j] = b * square[j] + (1 - b) * gradient[j] * gradient[j];
                value[j] -= scale * mean[j] / (std::sqrt(square[j] * correct) + least);
            }
        }
    }

  private:
    std::vector<parameter<Scalar>*> parameters_;
    std::vector<std::vector<Scalar>> mean_, square_;
    std::size_t steps_ = 0;
};

}  // namespace trainer
