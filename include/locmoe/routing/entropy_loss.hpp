#pragma once

#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <vector>

#include "locmoe/core/error.hpp"
#include "locmoe/core/ids.hpp"
#include "locmoe/core/matrix_view.hpp"
#include "locmoe/routing/detail/check.hpp"
#include "locmoe/routing/detail/loss_check.hpp"
#include "locmoe/routing/softmax.hpp"

namespace locmoe::inline v0 {

/// Entropy in nats, -sum p_i log p_i, with 0 log 0 = 0.
template <class Real>
double entropy(std::span<const Real> p) {
    double sum = 0;
    for (const Real v : p) {
        const auto x = static_cast<double>(v);
        if (x > 0) sum -= x * std::log(x);
    }
    return sum;
}

/// How strong each of the two entropies is.
struct entropy_options {
    double token = 0.01;  ///< finite; above 0 sharpens each token's choice, below 0 softens it
    double batch = 0;     ///< finite; above 0 evens out the experts' mean probabilities
};

/// token mean_t H(p_t) - batch H(mean_t p_t), H the entropy. With both coefficients equal it is
/// minus the mutual information of tokens and experts, Mod-Squad's loss (Chen et al. 2022,
/// arXiv 2212.08066) for one task. Of this rank's tokens; without tokens it is 0.
class entropy_loss {
  public:
    /// Throws argument_error unless both coefficients are finite.
    explicit entropy_loss(entropy_options options = {}) : options_(options) {
        if (!detail::is_finite(options.token) || !detail::is_finite(options.batch))
            detail::throw_argument("entropy_loss", "coefficients", "finite numbers",
                                   detail::concat(options.token, " and ", options.batch));
    }

    /// From probabilities `[T, n]`, rows of sum 1.
    template <class Real>
    double value(matrix_view<Real> probabilities) const {
        if (probabilities.rows == 0) return 0;
        double sum = 0;
        for (std::size_t t = 0; t < probabilities.rows; ++t)
            sum += entropy(std::span<const Real>(probabilities.row(t)));
        const std::vector<double> mean = mean_probabilities(probabilities);
        return options_.token * sum / static_cast<double>(probabilities.rows) -
               options_.batch * entropy(std::span<const double>(mean));
    }

    /// Adds `scale` times d value / d logits to `grad_logits` `[T, n]`, where the probabilities are
    /// their softmax: p_i / T (g_i - sum_j p_j g_j) with g_i = batch log mean_i - token log p_i.
    /// The slope in p is infinite at p = 0, the one in the logits is 0 there.
    template <class View, class Real>
    void add_gradient(const View& probabilities, double scale, matrix_view<Real> grad_logits,
                      rank_id rank = no_rank) const {
        detail::check_shape("entropy_loss", "grad_logits", grad_logits, probabilities.rows,
                            probabilities.cols, rank);
        const std::vector<double> mean = mean_probabilities(probabilities);
        std::vector<double> g(mean.size());
        for (std::size_t t = 0; t < probabilities.rows; ++t) {
            double level = 0;
            for (std::size_t i = 0; i < g.size(); ++i) {
                const auto p = static_cast<double>(probabilities(t, i));
                g[i] = options_.batch * log_of(mean[i]) - options_.token * log_of(p);
                level += p * g[i];
            }
            for (std::size_t i = 0; i < g.size(); ++i)
                grad_logits(t, i) +=
                    static_cast<Real>(scale * static_cast<double>(probabilities(t, i)) *
                                      (g[i] - level) / static_cast<double>(probabilities.rows));
        }
    }

  private:
    static double log_of(double p) {
        const double least = std::numeric_limits<double>::min();
        return std::log(p > least ? p : least);
    }

    entropy_options options_;
};

}  // namespace locmoe
