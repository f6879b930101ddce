#pragma once

#include <concepts>
#include <cstddef>
#include <span>
#include <vector>

#include "locmoe/core/matrix_view.hpp"
#include "locmoe/routing/softmax.hpp"

namespace locmoe {

/// Turns a token's logits `[n]` into scores, in place, and d loss / d scores into d loss / d
/// logits, in place. For a router's own losses it also says what a token's distribution over the
/// experts is: `mean` is that distribution's mean over the rows `[T, n]` of scores, and
/// `add_mean_gradient` adds to d loss / d scores of one token what comes from `own` `[n]`, d loss /
/// d its distribution.
template <class Score, class Real>
concept score_function = requires(const Score& score, std::span<Real> written,
                                  std::span<const Real> read, matrix_view<const Real> table) {
    { score.forward(written) } -> std::same_as<void>;
    { score.backward(read, written) } -> std::same_as<void>;
    { score.mean(table) } -> std::same_as<std::vector<double>>;
    { score.add_mean_gradient(read, read, written) } -> std::same_as<void>;
};

/// exp(z_i) / sum_j exp(z_j): positive, of sum 1, the same where one number is added to all logits.
struct softmax_score {
    template <class Real>
    void forward(std::span<Real> row) const {
        softmax_row(row);
    }

    template <class Real>
    void backward(std::span<const Real> scores, std::span<Real> gradient) const {
        softmax_backward_row(scores, gradient);
    }

    template <class Real>
    std::vector<double> mean(matrix_view<const Real> scores) const {
        return mean_probabilities(scores);
    }

    template <class Real>
    void add_mean_gradient(std::span<const Real>, std::span<const Real> own,
                           std::span<Real> gradient) const {
        for (std::size_t i = 0; i < own.size(); ++i) gradient[i] += own[i];
    }
};

/// 1 / (1 + exp(-z_i)), each expert for itself (DeepSeek-V3, arXiv 2412.19437, eq. 15; BASE). A
/// token's distribution for the losses is its scores over their sum (DeepSeek-V3, eq. 19).
struct sigmoid_score {
    template <class Real>
    void forward(std::span<Real> row) const {
        detail::row_exp(row.data(), Real(-1), Real(0), row.size());
        for (Real& z : row) z = Real(1) / (Real(1) + z);
    }

    template <class Real>
    void backward(std::span<const Real> scores, std::span<Real> gradient) const {
        for (std::size_t i = 0; i < scores.size(); ++i)
            gradient[i] *= scores[i] * (Real(1) - scores[i]);
    }

    template <class Real>
    std::vector<double> mean(matrix_view<const Real> scores) const {
        std::vector<double> mean(scores.cols, 0.0);
        for (std::size_t t = 0; t < scores.rows; ++t) {
            const auto row = scores.row(t);
            const Real sum = detail::row_sum<Real>(row.data(), row.size());
            const Real share = sum > Real(0) ? Real(1) / sum : Real(0);
            for (std::size_t i = 0; i < row.size(); ++i)
                mean[i] += static_cast<double>(row[i] * share);
        }
        for (double& p : mean)
            if (scores.rows != 0) p /= static_cast<double>(scores.rows);
        return mean;
    }

    template <class Real>
    void add_mean_gradient(std::span<const Real> scores, std::span<const Real> own,
                           std::span<Real> gradient) const {
        const Real sum = detail::row_sum<Real>(scores.data(), scores.size());
        if (!(sum > Real(0))) return;
        const Real mean = detail::row_dot(scores.data(), own.data(), own.size()) / sum;
        for (std::size_t i = 0; i < own.size(); ++i) gradient[i] += (own[i] - mean) / sum;
    }
};

}  // namespace locmoe
