#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "locmoe/capacity/capacity_schedule.hpp"
#include "locmoe/capacity/least_capacity.hpp"
#include "locmoe/core/error.hpp"

namespace locmoe::inline v0 {

/// The guards are no part of the paper. Its bound is a handful of slots at the angles of a fresh
/// router, whatever the batch, and past any memory at small ones: `least_factor` and `most_factor`,
/// as capacity factors, keep it where a trainer can work.
struct locmoe_capacity_options {
    std::size_t hidden_size = 0;           ///< d, at least 2
    sphere_caps caps = sphere_caps::both;  ///< the paper's p_delta
    double tokens_wanted = 1;              ///< class-discriminative tokens, in expectation
    double start_factor = 1.25;            ///< until the first batch was observed
    double least_factor = 0.25;            ///< finite and above 0
    double most_factor = 1.25;  ///< at least least_factor
};

namespace detail {

inline void check_locmoe_options(const char* schedule, const locmoe_capacity_options& o) {
    if (o.hidden_size < 2)
        throw_argument(schedule, "hidden_size", "at least 2 dimensions", concat(o.hidden_size));
    check_factor(schedule, "tokens_wanted", o.tokens_wanted);
    check_factor(schedule, "start_factor", o.start_factor);
    check_factor(schedule, "least_factor", o.least_factor);
    check_factor(schedule, "most_factor", o.most_factor);
    if (o.most_factor < o.least_factor)
        throw_argument(schedule, "most_factor", concat("at least least_factor, ", o.least_factor),
                       concat(o.most_factor));
}

}  // namespace detail

/// LocMoE's own: the mean delta of the first batch gives the least capacity (erfc form), which
/// stays. It is a number of slots, whatever the batch; the guards grow with the batch. A first
/// observation without a delta is passed over, and the next one counts.
class locmoe_capacity {
  public:
    /// Throws argument_error where d < 2, a factor or tokens_wanted is not finite and above 0, or
    /// most_factor lies below least_factor.
    explicit locmoe_capacity(const locmoe_capacity_options& options) : options_(options) {
        detail::check_locmoe_options("locmoe_capacity", options);
    }

    /// Slots at `start_factor` until the first batch was observed, then its bound in whole slots,
    /// kept between the two guards. Throws as `capacity_from_factor` does.
    std::optional<std::int64_t> capacity(const capacity_demand& demand) const {
        if (!log_slots_) return detail::slots_from_factor(options_.start_factor, demand);
        const std::int64_t least = detail::slots_from_factor(options_.least_factor, demand);
        const std::int64_t most = detail::slots_from_factor(options_.most_factor, demand);
        // compared as logarithms, as the slots themselves may pass any integer
        if (*log_slots_ >= std::log(static_cast<double>(most))) return most;
        const auto slots = static_cast<std::int64_t>(least_capacity{*log_slots_}.slots());
        return slots < least ? least : slots;
    }

    bool wants_delta() const { return !log_slots_; }  ///< until the first one has come

    /// Keeps the bound at the mean of the first delta, for good. Throws argument_error where n is
    /// zero then.
    void observe(const capacity_observation& seen) {
        if (log_slots_ || seen.delta == nullptr || seen.delta->count() == 0) return;
        const double delta = seen.delta->mean();
        log_slots_ =
            least_capacity_erfc({options_.hidden_size, delta < 1 ? delta : 1, options_.caps},
                                seen.demand.expert_count)
                .log_slots +
            std::log(options_.tokens_wanted);
    }

    /// What the first batch came to, without the guards; none before it.
    std::optional<least_capacity> bound() const {
        return log_slots_ ? std::optional(least_capacity{*log_slots_}) : std::nullopt;
    }

  private:
    locmoe_capacity_options options_;
    std::optional<double> log_slots_;
};

}  // namespace locmoe
