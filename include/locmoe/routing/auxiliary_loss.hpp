#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "locmoe/core/ids.hpp"
#include "locmoe/routing/detail/loss_check.hpp"

namespace locmoe::inline v0 {

/// How strong the loss is, and by which convention.
struct auxiliary_options {
    double alpha = 0.01;  ///< >= 0; Switch's own value

    /// >= 0: the loss over alpha where all experts share alike. 1 for Switch, Tutel, DeepSpeed,
    /// Megatron, MegaBlocks and torchscale; k for flaxformer, HF's Mixtral and Hetu; 1 / n^2 for
    /// GShard as its paper writes it.
    double balanced_value = 1;
};

/// The load-balancing loss of Switch Transformers (Fedus et al. 2021, eq. 4 to 6):
/// alpha n sum_i f_i P_i, times `balanced_value`. f_i is expert i's share of the load, without a
/// gradient; P_i the mean probability of expert i over this rank's tokens. With f = P it is least,
/// alpha, where both are uniform. Without tokens it is 0.
///
/// f comes from `load`, the counts `[n]` of this rank or summed over all ranks; the sum balances
/// the experts without asking each rank to use all of them, and so leaves room for locality. Which
/// choices it counts, and whether before or after drops, is `count_load`'s to say: GShard and its
/// heirs count the first choice alone, top-k routers all of them.
class auxiliary_loss {
  public:
    /// Throws argument_error unless both options are finite and >= 0.
    explicit auxiliary_loss(auxiliary_options options = {}) : options_(options) {
        detail::check_coefficient("auxiliary_loss", "alpha", options.alpha);
        detail::check_coefficient("auxiliary_loss", "balanced_value", options.balanced_value);
    }

    /// `mean` is P `[n]`, as `mean_probabilities` gives it.
    double value(std::span<const double> mean, std::span<const std::int64_t> load,
                 rank_id rank = no_rank) const {
        const double per_count = weight_of_one(load, mean.size(), rank);
        double sum = 0;
        for (std::size_t i = 0; i < mean.size(); ++i)
            sum += per_count * static_cast<double>(load[i]) * mean[i];
        return sum;
    }

    /// Adds `scale` times d value / d P_i to `grad_mean` `[n]`; d value / d probability of expert i
    /// is that divided by T, for every token alike.
    void add_gradient(std::span<const std::int64_t> load, double scale, std::span<double> grad_mean,
                      rank_id rank = no_rank) const {
        const double per_count = weight_of_one(load, grad_mean.size(), rank);
        for (std::size_t i = 0; i < grad_mean.size(); ++i)
            grad_mean[i] += scale * per_count * static_cast<double>(load[i]);
    }

  private:
    // alpha n / sum of the load, so that alpha n f_i is this times load_i.
    double weight_of_one(std::span<const std::int64_t> load, std::size_t n, rank_id rank) const {
        const double total = detail::total_load("auxiliary_loss", load, n, rank);
        return total == 0
                   ? 0
                   : options_.alpha * options_.balanced_value * static_cast<double>(n) / total;
    }

    auxiliary_options options_;
};

}  // namespace locmoe
