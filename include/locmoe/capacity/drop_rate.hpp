#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include "locmoe/core/error.hpp"

// What a capacity drops of loads that were seen. What it may be expected to drop of loads yet to
// come is in exact_drop_rate.hpp.

namespace locmoe::inline v0 {

namespace detail {

/// The sum of the loads. Throws argument_error where there is none, one is negative, or all are too
/// many for an int64.
inline std::int64_t check_load(const char* function, std::span<const std::int64_t> load) {
    if (load.empty()) throw_argument(function, "load", "n >= 1 counts", "none");
    std::int64_t all = 0;
    for (std::size_t i = 0; i < load.size(); ++i) {
        if (load[i] < 0)
            throw_argument(function, concat("load of expert ", i), "at least 0", concat(load[i]));
        if (load[i] > std::numeric_limits<std::int64_t>::max() - all)
            throw_argument(function, "load", "counts whose sum fits an int64", "more");
        all += load[i];
    }
    return all;
}

inline void check_rate(const char* function, double rate) {
    if (!(rate >= 0 && rate <= 1))
        throw_argument(function, "rate", "a share from 0 to 1", concat(rate));
}

inline std::int64_t dropped_of(std::span<const std::int64_t> load, std::int64_t capacity) {
    std::int64_t dropped = 0;
    for (const std::int64_t l : load) dropped += l > capacity ? l - capacity : 0;
    return dropped;
}

}  // namespace detail

/// The share of (token, choice) pairs that experts of `capacity` slots drop of the loads `[n]`, as
/// count_choices gives them, summed over all ranks where the capacity is. 0 where all loads are.
/// Throws argument_error where there is no load, or a load or the capacity is negative.
inline double drop_fraction(std::span<const std::int64_t> load, std::int64_t capacity) {
    const std::int64_t all = detail::check_load("drop_fraction", load);
    if (capacity < 0)
        detail::throw_argument("drop_fraction", "capacity", "at least 0", detail::concat(capacity));
    return all == 0
               ? 0
               : static_cast<double>(detail::dropped_of(load, capacity)) / static_cast<double>(all);
}

/// The least capacity that would have dropped at most a share `rate` of the loads `[n]`. Throws
/// argument_error where there is no load, one is negative, or `rate` is not in [0, 1].
inline std::int64_t capacity_for_drop_rate(std::span<const std::int64_t> load, double rate) {
    const std::int64_t all = detail::check_load("capacity_for_drop_rate", load);
    detail::check_rate("capacity_for_drop_rate", rate);
    const double allowed = rate * static_cast<double>(all);
    std::int64_t most = 0;
    for (const std::int64_t l : load) most = l > most ? l : most;
    std::int64_t least = 0;
    while (least < most) {
        const std::int64_t middle = least + (most - least) / 2;
        if (static_cast<double>(detail::dropped_of(load, middle)) <= allowed)
            most = middle;
        else
            least = middle + 1;
    }
    return least;
}

}  // namespace locmoe
