#pragma once

#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

#include "locmoe/core/error.hpp"
#include "locmoe/core/ids.hpp"
#include "locmoe/core/matrix_view.hpp"
#include "locmoe/routing/detail/check.hpp"
#include "locmoe/routing/detail/loss_check.hpp"

namespace locmoe::inline v0 {

/// What noisy top-k gating made of one batch, each `[T, n]`: clean logits, the deviation of the
/// noise (> 0), and the noisy logits that the choice was made from.
template <class Real>
struct noisy_logits {
    matrix_view<const Real> clean;      ///< without noise
    matrix_view<const Real> deviation;  ///< of the noise, above 0
    matrix_view<const Real> noisy;      ///< what the choice was made from
};

/// Where d loss / d noisy_logits goes, each `[T, n]`, added to. The noisy logits depend on clean
/// ones and deviations in turn, which is the gate's to carry on.
template <class Real>
struct noisy_logits_gradient {
    matrix_view<Real> clean;      ///< d loss / d clean logits
    matrix_view<Real> deviation;  ///< d loss / d deviations
    matrix_view<Real> noisy;      ///< d loss / d noisy logits
};

namespace detail {

/// The k best of a row and the one behind them, the lowest id among equals first.
template <class Real>
class top_threshold {
  public:
    top_threshold(std::span<const Real> row, std::size_t k) : k_(k) {
        for (std::size_t i = 0; i < row.size(); ++i) {
            if (best_.size() == k + 1 && !(row[i] > row[best_.back()])) continue;
            if (best_.size() == k + 1) best_.pop_back();
            std::size_t at = best_.size();
            best_.push_back(i);
            for (; at > 0 && row[i] > row[best_[at - 1]]; --at) best_[at] = best_[at - 1];
            best_[at] = i;
        }
    }

    /// The expert whose noisy logit i must pass to be among the k: the k-th best of the others.
    std::size_t rival_of(std::size_t i) const {
        for (std::size_t j = 0; j < k_; ++j)
            if (best_[j] == i) return best_[k_];
        return best_[k_ - 1];
    }

  private:
    std::size_t k_;
    std::vector<std::size_t> best_;
};

template <class Real>
void check_noisy(const noisy_logits<Real>& logits, std::size_t k, rank_id rank) {
    const std::size_t n = logits.clean.cols;
    check_shape("noisy_load", "deviation", logits.deviation, logits.clean.rows, n, rank);
    check_shape("noisy_load", "noisy", logits.noisy, logits.clean.rows, n, rank);
    if (k == 0) throw_argument("noisy_load", "k", "at least 1", "0", rank);
    for (std::size_t t = 0; t < logits.clean.rows; ++t)
        for (std::size_t i = 0; i < n; ++i) {
            if (!(logits.deviation(t, i) > 0))
                throw_argument("noisy_load", concat("deviation of token ", t), "above 0",
                               concat(logits.deviation(t, i)), rank);
            if (logits.noisy(t, i) != logits.noisy(t, i) ||
                logits.clean(t, i) != logits.clean(t, i))
                throw_argument("noisy_load", concat("logits of token ", t), "numbers", "nan", rank);
        }
}

/// `visit(t, i, rival, u)` for each token and expert: u = (clean_i - noisy_rival) / deviation_i.
template <class Real, class Visit>
void visit_chances(const noisy_logits<Real>& logits, std::size_t k, const Visit& visit) {
    for (std::size_t t = 0; t < logits.clean.rows; ++t) {
        const auto noisy = logits.noisy.row(t);
        const top_threshold<Real> threshold(noisy, k);
        for (std::size_t i = 0; i < noisy.size(); ++i) {
            const std::size_t rival = threshold.rival_of(i);
            visit(t, i, rival,
                  (static_cast<double>(logits.clean(t, i)) - static_cast<double>(noisy[rival])) /
                      static_cast<double>(logits.deviation(t, i)));
        }
    }
}

}  // namespace detail

/// Shazeer's smooth estimator of the load (2017, eq. 8 to 10), `[n]`: the sum over tokens of the
/// chance that fresh noise on expert i alone puts it among the k best,
/// Phi((clean_i - k-th best noisy logit of the others) / deviation_i). With k >= n each chance
/// is 1. It sums over ranks. Throws argument_error where shapes differ, k is 0, a logit is NaN or a
/// deviation is not above 0, naming token and `rank`.
template <class Real>
std::vector<double> noisy_load(const noisy_logits<Real>& logits, std::size_t k,
                               rank_id rank = no_rank) {
    detail::check_noisy(logits, k, rank);
    const std::size_t n = logits.clean.cols;
    if (k >= n) return std::vector<double>(n, static_cast<double>(logits.clean.rows));
    std::vector<double> load(n, 0.0);
    detail::visit_chances(logits, k, [&](std::size_t, std::size_t i, std::size_t, double u) {
        load[i] += 0.5 * std::erfc(-u / std::sqrt(2.0));
    });
    return load;
}

/// Adds d loss / d noisy_logits, given `grad_load` `[n]`, d loss / d noisy_load. Exact but where
/// two noisy logits are equal.
template <class Real>
void noisy_load_backward(const noisy_logits<Real>& logits, std::size_t k,
                         std::span<const double> grad_load,
                         const noisy_logits_gradient<Real>& gradient, rank_id rank = no_rank) {
    detail::check_noisy(logits, k, rank);
    const std::size_t n = logits.clean.cols;
    detail::check_length("noisy_load_backward", "grad_load", n, grad_load.size(), rank);
    const matrix_view<Real> parts[] = {gradient.clean, gradient.deviation, gradient.noisy};
    for (const auto& g : parts)  // nvcc cannot take the list here
        detail::check_shape("noisy_load_backward", "gradient", g, logits.clean.rows, n, rank);
    if (k >= n) return;
    constexpr double inverse_sqrt_2_pi = 0.39894228040143267794;
    detail::visit_chances(
        logits, k, [&](std::size_t t, std::size_t i, std::size_t rival, double u) {
            const double slope = grad_load[i] * inverse_sqrt_2_pi * std::exp(-u * u / 2) /
                                 static_cast<double>(logits.deviation(t, i));
            gradient.clean(t, i) += static_cast<Real>(slope);
            gradient.noisy(t, rival) -= static_cast<Real>(slope);
            gradient.deviation(t, i) -= static_cast<Real>(slope * u);
        });
}

}  // namespace locmoe
