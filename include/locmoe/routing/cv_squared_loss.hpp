#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "locmoe/core/error.hpp"
#include "locmoe/core/ids.hpp"
#include "locmoe/routing/detail/loss_check.hpp"
#include "locmoe/routing/routing.hpp"

namespace locmoe::inline v0 {

/// How strong the loss is.
struct cv_squared_options {
    double weight = 0.1;  ///< >= 0; Shazeer's w_importance and w_load
};

/// weight CV(x)^2 of one number an expert, Shazeer et al. 2017 (arXiv 1701.06538): over
/// `importance` it is their eq. 6 and 7, over `noisy_load` their eq. 10 and 11. CV is the
/// population's deviation over its mean, so that CV^2 = n sum x^2 / (sum x)^2 - 1: 0 where all are
/// alike, n - 1 where one has it all; taken as 0, with gradient 0, where the sum is 0. For the
/// whole job, sum x over the ranks first; each rank's gradient is then that of the job's loss.
class cv_squared_loss {
  public:
    /// Throws argument_error unless the weight is finite and >= 0.
    explicit cv_squared_loss(cv_squared_options options = {}) : options_(options) {
        detail::check_coefficient("cv_squared_loss", "weight", options.weight);
    }

    /// Of one number an expert, `x` `[n]`.
    double value(std::span<const double> x) const {
        const sums s(x);
        if (s.first == 0) return 0;
        return options_.weight *
               (static_cast<double>(x.size()) * s.second / (s.first * s.first) - 1);
    }

    /// Adds `scale` times d value / d x_i to `grad` `[n]`. Throws argument_error where its length
    /// differs from that of x.
    void add_gradient(std::span<const double> x, double scale, std::span<double> grad) const {
        detail::check_length("cv_squared_loss", "grad", x.size(), grad.size());
        const sums s(x);
        if (s.first == 0) return;
        const double slope =
            2 * scale * options_.weight * static_cast<double>(x.size()) / (s.first * s.first);
        for (std::size_t i = 0; i < x.size(); ++i) grad[i] += slope * (x[i] - s.second / s.first);
    }

  private:
    struct sums {
        double first = 0;
        double second = 0;  // of the squares
        explicit sums(std::span<const double> x) {
            for (const double v : x) {
                first += v;
                second += v * v;
            }
        }
    };

    cv_squared_options options_;
};

/// Importance `[n]`: the sum of the weights that an expert got (Shazeer's eq. 6). Its derivative
/// with respect to a token's weight is 1 at the expert chosen, so d loss / d weight(t, slot) is the
/// loss's gradient at chosen(t, slot). Throws argument_error where an expert is none of the n or
/// there is not one weight a choice.
template <class Real>
std::vector<double> importance(const basic_routing<Real>& decided, rank_id rank = no_rank) {
    using detail::concat;
    detail::check_length("importance", "decided.weights", decided.chosen.size(),
                         decided.weights.size(), rank);
    std::vector<double> sum(decided.expert_count, 0.0);
    for (std::size_t i = 0; i < decided.chosen.size(); ++i) {
        const expert_id e = decided.chosen[i];
        if (e == no_expert) continue;
        if (e < 0 || static_cast<std::size_t>(e) >= sum.size())
            detail::throw_argument("importance",
                                   concat("expert of token ", i / decided.choice_count),
                                   concat("0 to n - 1 with n = ", sum.size()), concat(e), rank);
        sum[static_cast<std::size_t>(e)] += static_cast<double>(decided.weights[i]);
    }
    return sum;
}

}  // namespace locmoe
