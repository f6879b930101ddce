#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>

#include "locmoe/capacity/capacity_factor.hpp"
#include "locmoe/capacity/delta_sketch.hpp"
#include "locmoe/core/error.hpp"

namespace locmoe::inline v0 {

/// What one step showed, of everything that shares the slots: of all ranks where the capacity is an
/// expert's over all ranks. Every rank must be shown the same, or their capacities part.
struct capacity_observation {
    capacity_demand demand;                   ///< T, k, n of the step
    std::span<const std::int64_t> load = {};  ///< [n], choices before any drop
    const delta_sketch* delta = nullptr;      ///< of the step; null where nobody measured it
};

/// Says how many rows an expert takes at most, from step to step. `capacity` answers for a step
/// that is about to start (none: no limit), `observe` hears of it afterwards, `wants_delta` says
/// whether the next observation should bring a measured delta, which costs time. It asks for no
/// base class; copies go their own ways.
template <class Schedule>
concept capacity_schedule = requires(Schedule& schedule, const Schedule& fixed,
                                     const capacity_demand& demand,
                                     const capacity_observation& seen) {
    { fixed.capacity(demand) } -> std::same_as<std::optional<std::int64_t>>;
    { fixed.wants_delta() } -> std::convertible_to<bool>;
    { schedule.observe(seen) } -> std::same_as<void>;
};

namespace detail {

inline void check_factor(const char* schedule, const char* option, double factor) {
    if (!(factor > 0 && factor <= std::numeric_limits<double>::max()))
        throw_argument(schedule, option, "a finite number above 0", concat(factor));
}

inline std::int64_t slots_from_factor(double factor, const capacity_demand& demand) {
    return static_cast<std::int64_t>(capacity_from_factor(factor, demand));
}

/// Slots per expert at factor 1, k T / n.
inline double even_share(const capacity_demand& demand) {
    return static_cast<double>(demand.token_count) * static_cast<double>(demand.choice_count) /
           static_cast<double>(demand.expert_count);
}

}  // namespace detail

/// The usual fixed factor.
class fixed_capacity {
  public:
    /// Throws argument_error unless the factor is finite and above 0.
    explicit fixed_capacity(double factor) : factor_(factor) {
        detail::check_factor("fixed_capacity", "factor", factor);
    }

    /// The same factor at every step, as `capacity_from_factor` rounds and throws.
    std::optional<std::int64_t> capacity(const capacity_demand& demand) const {
        return detail::slots_from_factor(factor_, demand);
    }
    bool wants_delta() const { return false; }    ///< no step changes it
    void observe(const capacity_observation&) {}  ///< nothing to learn

  private:
    double factor_;
};

/// Dropless.
class unlimited_capacity {
  public:
    /// No limit, whatever the demand.
    std::optional<std::int64_t> capacity(const capacity_demand&) const { return std::nullopt; }
    bool wants_delta() const { return false; }    ///< no step changes it
    void observe(const capacity_observation&) {}  ///< nothing to learn
};

}  // namespace locmoe
