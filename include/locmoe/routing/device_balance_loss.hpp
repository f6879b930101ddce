#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "locmoe/core/ids.hpp"
#include "locmoe/routing/detail/loss_check.hpp"
#include "locmoe/routing/expert_groups.hpp"
#include "locmoe/topology/expert_placement.hpp"

namespace locmoe::inline v0 {

/// One group for each rank that holds an expert, in the order of the ranks: DeepSeek's devices.
inline expert_groups groups_by_rank(const expert_placement& placement) {
    std::vector<std::size_t> group_of(placement.expert_count());
    std::size_t group = 0;
    for (std::size_t r = 0; r < placement.rank_count(); ++r) {
        const auto experts = placement.experts_of(static_cast<rank_id>(r));
        for (const expert_id e : experts) group_of[static_cast<std::size_t>(e)] = group;
        if (!experts.empty()) ++group;
    }
    return expert_groups::from_group_of_expert(std::move(group_of));
}

/// How strong the loss is.
struct device_balance_options {
    double alpha = 0.05;  ///< >= 0; DeepSeek-V2's own value
};

/// The device-level balance loss of DeepSeek-V2 (arXiv 2405.04434, eq. 26 to 28):
/// alpha sum_g f'_g P'_g over the groups g of experts, f'_g the mean over the group of
/// f_i = n load_i / sum of the load, without a gradient, and P'_g the sum of the group's mean
/// probabilities. alpha where all groups share alike, whatever happens inside them. With one expert
/// a group it is their expert-level loss (eq. 23 to 25), `auxiliary_loss`. Without load it is 0.
class device_balance_loss {
  public:
    /// Throws argument_error unless alpha is finite and >= 0.
    explicit device_balance_loss(device_balance_options options = {}) : options_(options) {
        detail::check_coefficient("device_balance_loss", "alpha", options.alpha);
    }

    /// `mean` is P `[n]`, as `mean_probabilities` gives it; `load` `[n]`, of this rank or summed
    /// over all. Throws argument_error where a length is not that of `groups`.
    double value(std::span<const double> mean, std::span<const std::int64_t> load,
                 const expert_groups& groups, rank_id rank = no_rank) const {
        detail::check_length("device_balance_loss", "mean", groups.expert_count(), mean.size(),
                             rank);
        const std::vector<double> slope = slopes(load, groups, rank);
        double sum = 0;
        for (std::size_t i = 0; i < mean.size(); ++i) sum += slope[groups.group_of(i)] * mean[i];
        return sum;
    }

    /// Adds `scale` times d value / d P_i to `grad_mean` `[n]`; d value / d probability of expert i
    /// is that divided by T, for every token alike.
    void add_gradient(std::span<const std::int64_t> load, const expert_groups& groups, double scale,
                      std::span<double> grad_mean, rank_id rank = no_rank) const {
        detail::check_length("device_balance_loss", "grad_mean", groups.expert_count(),
                             grad_mean.size(), rank);
        const std::vector<double> slope = slopes(load, groups, rank);
        for (std::size_t i = 0; i < grad_mean.size(); ++i)
            grad_mean[i] += scale * slope[groups.group_of(i)];
    }

  private:
    // alpha f'_g, [D].
    std::vector<double> slopes(std::span<const std::int64_t> load, const expert_groups& groups,
                               rank_id rank) const {
        const std::size_t n = groups.expert_count();
        const double total = detail::total_load("device_balance_loss", load, n, rank);
        std::vector<double> slope(groups.group_count(), 0.0);
        if (total == 0) return slope;
        for (std::size_t i = 0; i < n; ++i) {
            const std::size_t g = groups.group_of(i);
            slope[g] += options_.alpha * static_cast<double>(n) * static_cast<double>(load[i]) /
                        (total * static_cast<double>(groups.experts_of(g).size()));
        }
        return slope;
    }

    device_balance_options options_;
};

}  // namespace locmoe
