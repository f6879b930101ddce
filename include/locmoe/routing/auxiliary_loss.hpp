#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "locmoe/core/error.hpp"
#include "locmoe/core/ids.hpp"

namespace locmoe {

struct auxiliary_options {
    double alpha = 0.01;  ///< >= 0; Switch's own value
};

/// The load-balancing loss of Switch Transformers (Fedus et al. 2021, eq. 4 to 6):
/// alpha n sum_i f_i P_i. f_i is the share of tokens that chose expert i, without a gradient; P_i
/// the mean probability of expert i over this rank's tokens. With f = P it is least, alpha, where
/// both are uniform. Without tokens it is 0.
///
/// f comes from `load`, the counts `[n]` of this rank or summed over all ranks; the sum balances
/// the experts without asking each rank to use all of them, and so leaves room for locality.
class auxiliary_loss {
  public:
    /// Throws argument_error unless alpha is finite and >= 0.
    explicit auxiliary_loss(auxiliary_options options = {}) : options_(options) {
        if (!(options.alpha >= 0 && options.alpha - options.alpha == 0))
            detail::throw_argument("auxiliary_loss", "alpha", "a finite number >= 0",
                                   detail::concat(options.alpha));
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
        using detail::concat;
        if (load.size() != n)
            detail::throw_argument("auxiliary_loss", "load", concat("n = ", n, " counts"),
                                   concat(load.size()), rank);
        double total = 0;
        for (std::size_t i = 0; i < n; ++i) {
            if (load[i] < 0)
                detail::throw_argument("auxiliary_loss", concat("load of expert ", i),
                                       "a count >= 0", concat(load[i]), rank);
            total += static_cast<double>(load[i]);
        }
        return total == 0 ? 0 : options_.alpha * static_cast<double>(n) / total;
    }

    auxiliary_options options_;
};

}  // namespace locmoe
