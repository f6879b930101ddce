#pragma once

#include <concepts>
#include <cstddef>
#include <span>
#include <vector>

#include "locmoe/core/matrix_view.hpp"
#include "locmoe/routing/detail/row_exp.hpp"
#include "locmoe/routing/detail/row_math.hpp"
#include "locmoe/routing/detail/widest.hpp"
#include "locmoe/routing/softmax.hpp"

namespace locmoe::inline v0 {

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
    /// `softmax_row`, in place.
    template <class Real>
    void forward(std::span<Real> row) const {
        softmax_row(row);
    }

    /// `softmax_backward_row`, in place.
    template <class Real>
    void backward(std::span<const Real> scores, std::span<Real> gradient) const {
        softmax_backward_row(scores, gradient);
    }

    /// The mean `[n]` of the rows, each of which is a distribution.
    template <class Real>
    std::vector<double> mean(matrix_view<const Real> scores) const {
        return mean_probabilities(scores);
    }

    /// Adds `own` as it is: a score is the probability itself.
    template <class Real>
    void add_mean_gradient(std::span<const Real>, std::span<const Real> own,
                           std::span<Real> gradient) const {
        for (std::size_t i = 0; i < own.size(); ++i) gradient[i] += own[i];
    }
};

namespace detail {

template <class Real>
[[gnu::always_inline]] inline void sigmoid_in_place(Real* row, std::size_t count) {
    row_exp(row, Real(-1), Real(0), count);
    std::size_t j = 0;
    for (; j + sum_parts <= count; j += sum_parts)
        for (std::size_t p = 0; p < sum_parts; ++p) row[j + p] = Real(1) / (Real(1) + row[j + p]);
    for (; j < count; ++j) row[j] = Real(1) / (Real(1) + row[j]);
}

/// Adds a row's shares in its sum to `sum` `[count]`.
template <class Real>
[[gnu::always_inline]] inline void add_shares(double* sum, const Real* row, std::size_t count) {
    const Real whole = row_sum<Real>(row, count);
    add_row(sum, row, whole > Real(0) ? Real(1) / whole : Real(0), count);
}

}  // namespace detail

/// 1 / (1 + exp(-z_i)), each expert for itself (DeepSeek-V3, arXiv 2412.19437, eq. 15; BASE). A
/// token's distribution for the losses is its scores over their sum (DeepSeek-V3, eq. 19).
struct sigmoid_score {
    /// The sigmoid of each, in place.
    template <class Real>
    void forward(std::span<Real> row) const {
        detail::widest_fused<detail::sigmoid_in_place<Real>>(row.data(), row.size());
    }

    /// From d loss / d scores to d loss / d logits, in place: times s (1 - s).
    template <class Real>
    void backward(std::span<const Real> scores, std::span<Real> gradient) const {
        for (std::size_t i = 0; i < scores.size(); ++i)
            gradient[i] *= scores[i] * (Real(1) - scores[i]);
    }

    /// The mean `[n]` of the rows over their sums; a row of zeros counts as zeros.
    template <class Real>
    std::vector<double> mean(matrix_view<const Real> scores) const {
        std::vector<double> mean(scores.cols, 0.0);
        for (std::size_t t = 0; t < scores.rows; ++t) {
            const auto row = scores.row(t);
            detail::widest<detail::add_shares<Real>>(mean.data(), row.data(), row.size());
        }
        for (double& p : mean)
            if (scores.rows != 0) p /= static_cast<double>(scores.rows);
        return mean;
    }

    /// Adds what comes through the division by the sum; nothing in a row of zeros.
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
