#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "locmoe/capacity/capacity_schedule.hpp"
#include "locmoe/capacity/least_capacity.hpp"
#include "locmoe/core/error.hpp"

namespace locmoe::inline v0 {

/// What delta is measured by, where the capacity starts and how it falls.
struct adaptive_capacity_options {
    std::size_t hidden_size = 0;           ///< d, at least 2
    sphere_caps caps = sphere_caps::both;  ///< the paper's p_delta
    double quantile = 0.99;                ///< of |cos|; 1 is LocMoE+'s delta_max
    double tokens_wanted = 1;              ///< class-discriminative tokens, in expectation
    double start_factor = 1.25;            ///< capacity factor until the first fall
    double least_factor = 0.5;  ///< a guard of ours: the bound alone falls to a few slots
    double fall = 0.1;          ///< share that one fall takes off, and the hysteresis
    std::size_t patience = 10;  ///< observations on end that must allow a fall before it comes
};

/// LocMoE+'s: C_min = (1/n) exp(d delta^2 / (2 - delta^2)) is estimated again in every step that
/// brings a delta. The capacity starts at `start_factor` and only ever falls, as the paper's does:
/// by `fall` at a time, once C_min has lain at or below what would remain for `patience`
/// observations on end. So noise moves nothing and the model has time to follow. A C_min that rises
/// again does not lift it: `bound_factor` shows it, and whoever sees it stay above `factor` has
/// left the theory.
class adaptive_capacity {
  public:
    /// Throws argument_error where d < 2, a factor or tokens_wanted is not finite and above 0,
    /// `quantile` is not in [0, 1], `fall` not strictly between 0 and 1, or patience is zero.
    explicit adaptive_capacity(const adaptive_capacity_options& options)
        : options_(options), factor_(options.start_factor) {
        using detail::concat;
        const char* name = "adaptive_capacity";
        if (options.hidden_size < 2)
            detail::throw_argument(name, "hidden_size", "at least 2 dimensions",
                                   concat(options.hidden_size));
        detail::check_factor(name, "tokens_wanted", options.tokens_wanted);
        detail::check_factor(name, "start_factor", options.start_factor);
        detail::check_factor(name, "least_factor", options.least_factor);
        if (!(options.quantile >= 0 && options.quantile <= 1))
            detail::throw_argument(name, "quantile", "a share from 0 to 1",
                                   concat(options.quantile));
        if (!(options.fall > 0 && options.fall < 1))
            detail::throw_argument(name, "fall", "above 0 and below 1", concat(options.fall));
        if (options.patience == 0) detail::throw_argument(name, "patience", "at least 1", "0");
    }

    /// Slots at the capacity factor in use, as `capacity_from_factor` rounds and throws.
    std::optional<std::int64_t> capacity(const capacity_demand& demand) const {
        return detail::slots_from_factor(factor_, demand);
    }

    /// False once another fall would pass `least_factor`: no delta can matter any more.
    bool wants_delta() const { return factor_ * (1 - options_.fall) >= options_.least_factor; }

    /// Estimates C_min by the step's delta and falls where the time has come. A step without
    /// tokens, choices or measured pairs changes nothing. Throws argument_error where n is zero.
    void observe(const capacity_observation& seen) {
        if (seen.delta == nullptr || seen.delta->count() == 0 || seen.demand.token_count == 0 ||
            seen.demand.choice_count == 0)
            return;
        const double delta = seen.delta->quantile(options_.quantile);
        const double log_slots =
            least_capacity_exponential({options_.hidden_size, delta, options_.caps},
                                       seen.demand.expert_count)
                .log_slots;
        bound_factor_ = least_capacity{log_slots + std::log(options_.tokens_wanted) -
                                       std::log(detail::even_share(seen.demand))}
                            .value();
        const double lowered = factor_ * (1 - options_.fall);
        const bool allowed = lowered >= *bound_factor_ && lowered >= options_.least_factor;
        allowed_ = allowed ? allowed_ + 1 : 0;
        if (allowed_ < options_.patience) return;
        factor_ = lowered;
        allowed_ = 0;
    }

    /// The capacity factor of the next step.
    double factor() const { return factor_; }

    /// C_min of the last observation as a capacity factor, without the guard; none before it.
    std::optional<double> bound_factor() const { return bound_factor_; }

  private:
    adaptive_capacity_options options_;
    double factor_;
    std::size_t allowed_ = 0;  // observations on end
    std::optional<double> bound_factor_;
};

}  // namespace locmoe
