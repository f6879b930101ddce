#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "locmoe/core/error.hpp"
#include "locmoe/core/ids.hpp"
#include "locmoe/routing/detail/loss_check.hpp"
#include "locmoe/routing/expert_groups.hpp"
#include "locmoe/routing/routing.hpp"

namespace locmoe::inline v0 {

/// How many of this rank's tokens go to each group of experts, a token once however many of its
/// experts stand there: `[D]`. It sums over ranks. Throws argument_error where an expert is none of
/// the groups'.
template <class Real>
std::vector<std::int64_t> count_visits(const basic_routing<Real>& decided,
                                       const expert_groups& groups, rank_id rank = no_rank) {
    using detail::concat;
    std::vector<std::int64_t> visits(groups.group_count(), 0);
    std::vector<std::size_t> last(groups.group_count(), 0);  // token + 1 that came here last
    for (std::size_t i = 0; i < decided.chosen.size(); ++i) {
        const expert_id e = decided.chosen[i];
        if (e == no_expert) continue;
        const std::size_t token = i / decided.choice_count;
        if (e < 0 || static_cast<std::size_t>(e) >= groups.expert_count())
            detail::throw_argument("count_visits", concat("expert of token ", token),
                                   concat("0 to n - 1 with n = ", groups.expert_count()), concat(e),
                                   rank);
        const std::size_t g = groups.group_of(static_cast<std::size_t>(e));
        if (last[g] == token + 1) continue;
        last[g] = token + 1;
        ++visits[g];
    }
    return visits;
}

/// How strong the loss is, and to how many groups a token goes.
struct communication_balance_options {
    double alpha = 0.02;           ///< >= 0; DeepSeek-V2's own value
    std::size_t groups_per_token;  ///< M, the most groups that a token is sent to; at least 1
};

/// The communication balance loss of DeepSeek-V2 (arXiv 2405.04434, eq. 29 to 31):
/// alpha sum_g f''_g P''_g, f''_g = D visits_g / (M T) without a gradient, P''_g the sum of the
/// group's mean probabilities. alpha where every token goes to M groups and all groups receive
/// alike. Without tokens it is 0.
class communication_balance_loss {
  public:
    /// Throws argument_error unless alpha is finite and >= 0 and M at least 1.
    explicit communication_balance_loss(communication_balance_options options) : options_(options) {
        detail::check_coefficient("communication_balance_loss", "alpha", options.alpha);
        if (options.groups_per_token == 0)
            detail::throw_argument("communication_balance_loss", "groups_per_token", "at least 1",
                                   "0");
    }

    /// `mean` is P `[n]` of this rank; `visits` `[D]` of `count_visits` and `tokens`, T, of this
    /// rank or both summed over all. Throws argument_error where lengths are not those of `groups`.
    double value(std::span<const double> mean, std::span<const std::int64_t> visits,
                 std::int64_t tokens, const expert_groups& groups, rank_id rank = no_rank) const {
        detail::check_length("communication_balance_loss", "mean", groups.expert_count(),
                             mean.size(), rank);
        check_visits(visits, groups, rank);
        double sum = 0;
        for (std::size_t i = 0; i < mean.size(); ++i)
            sum += slope(visits[groups.group_of(i)], tokens, groups) * mean[i];
        return sum;
    }

    /// Adds `scale` times d value / d P_i to `grad_mean` `[n]`; d value / d probability of expert i
    /// is that divided by this rank's T, for every token alike.
    void add_gradient(std::span<const std::int64_t> visits, std::int64_t tokens,
                      const expert_groups& groups, double scale, std::span<double> grad_mean,
                      rank_id rank = no_rank) const {
        detail::check_length("communication_balance_loss", "grad_mean", groups.expert_count(),
                             grad_mean.size(), rank);
        check_visits(visits, groups, rank);
        for (std::size_t i = 0; i < grad_mean.size(); ++i)
            grad_mean[i] += scale * slope(visits[groups.group_of(i)], tokens, groups);
    }

  private:
    static void check_visits(std::span<const std::int64_t> visits, const expert_groups& groups,
                             rank_id rank) {
        if (visits.size() != groups.group_count())
            detail::throw_argument("communication_balance_loss", "visits",
                                   detail::concat("D = ", groups.group_count(), " counts"),
                                   detail::concat(visits.size()), rank);
    }

    double slope(std::int64_t visits, std::int64_t tokens, const expert_groups& groups) const {
        if (tokens <= 0) return 0;
        return options_.alpha * static_cast<double>(groups.group_count()) *
               static_cast<double>(visits) /
               (static_cast<double>(options_.groups_per_token) * static_cast<double>(tokens));
    }

    communication_balance_options options_;
};

}  // namespace locmoe
