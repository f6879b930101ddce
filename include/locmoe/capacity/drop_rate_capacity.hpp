#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "locmoe/capacity/capacity_schedule.hpp"
#include "locmoe/capacity/drop_rate.hpp"
#include "locmoe/core/error.hpp"

namespace locmoe::inline v0 {

/// How much is to be dropped, and how fast the factor follows the loads.
struct drop_rate_capacity_options {
    double rate = 0.01;          ///< share of the choices to be dropped, from 0 to 1
    double start_factor = 1.25;  ///< until the first step was observed
    double gain = 0.1;           ///< weight of the newest step, above 0, at most 1
};

/// Follows the loads so that about `rate` of the choices are dropped: each step, the least factor
/// that would have dropped no more goes into a moving average. It rises and falls. It asks for no
/// theory; where loads jump from step to step, the mean drop rate comes out somewhat above `rate`.
class drop_rate_capacity {
  public:
    /// Throws argument_error where `rate` is not in [0, 1], the start factor is not finite and
    /// above 0, or `gain` is not in (0, 1].
    explicit drop_rate_capacity(const drop_rate_capacity_options& options)
        : options_(options), factor_(options.start_factor) {
        detail::check_rate("drop_rate_capacity", options.rate);
        detail::check_factor("drop_rate_capacity", "start_factor", options.start_factor);
        if (!(options.gain > 0 && options.gain <= 1))
            detail::throw_argument("drop_rate_capacity", "gain", "above 0, at most 1",
                                   detail::concat(options.gain));
    }

    /// Slots at the capacity factor in use, as `capacity_from_factor` rounds and throws.
    std::optional<std::int64_t> capacity(const capacity_demand& demand) const {
        return detail::slots_from_factor(factor_, demand);
    }

    bool wants_delta() const { return false; }  ///< the loads say enough

    /// Throws argument_error where `load` has another length than n, or a load is negative.
    void observe(const capacity_observation& seen) {
        if (seen.load.size() != seen.demand.expert_count)
            detail::throw_argument("drop_rate_capacity", "load",
                                   detail::concat("n = ", seen.demand.expert_count, " counts"),
                                   detail::concat(seen.load.size()));
        const std::int64_t needed = capacity_for_drop_rate(seen.load, options_.rate);
        const double share = detail::even_share(seen.demand);
        if (share == 0) return;
        factor_ += options_.gain * (static_cast<double>(needed) / share - factor_);
    }

    double factor() const { return factor_; }  ///< the capacity factor of the next step

  private:
    drop_rate_capacity_options options_;
    double factor_;
};

}  // namespace locmoe
