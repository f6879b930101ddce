#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "locmoe/core/error.hpp"
#include "locmoe/core/ids.hpp"

namespace locmoe::inline v0::detail {

inline bool is_finite(double x) {
    return x - x == 0;
}

/// Throws argument_error unless a loss's coefficient is finite and >= 0.
inline void check_coefficient(std::string_view loss, std::string_view name, double value) {
    if (!(value >= 0 && is_finite(value)))
        throw_argument(loss, name, "a finite number >= 0", concat(value));
}

/// Throws argument_error unless `argument` has `want` entries.
inline void check_length(std::string_view loss, std::string_view argument, std::size_t want,
                         std::size_t got, rank_id rank = no_rank) {
    if (got != want) throw_argument(loss, argument, concat(want, " numbers"), concat(got), rank);
}

/// The sum of `load` `[n]`. Throws argument_error for another length or a negative count.
inline double total_load(std::string_view loss, std::span<const std::int64_t> load, std::size_t n,
                         rank_id rank = no_rank) {
    if (load.size() != n)
        throw_argument(loss, "load", concat("n = ", n, " counts"), concat(load.size()), rank);
    double total = 0;
    for (std::size_t i = 0; i < n; ++i) {
        if (load[i] < 0)
            throw_argument(loss, concat("load of expert ", i), "a count >= 0", concat(load[i]),
                           rank);
        total += static_cast<double>(load[i]);
    }
    return total;
}

}  // namespace locmoe::detail
