#pragma once

#include <cmath>
#include <cstddef>
#include <limits>

#include "locmoe/capacity/least_capacity.hpp"
#include "locmoe/core/error.hpp"

namespace locmoe::inline v0 {

/// Slots that an expert has, and what the least-capacity bounds ask beside delta. Slots may be a
/// fraction, as the bounds may.
struct given_capacity {
    double slots = 0;              ///< of one expert; at least 1 / n, or 2 / n for one cap
    std::size_t hidden_size = 0;   ///< d, at least 2
    std::size_t expert_count = 0;  ///< n
    sphere_caps caps = sphere_caps::both;  ///< which tokens belong to an expert
};

namespace detail {

/// -log p_delta, of both caps, at the delta where 1 / (n p_delta) is the given capacity; at least
/// 0.
inline double log_share_of(const char* function, const given_capacity& given) {
    if (given.hidden_size < 2)
        throw_argument(function, "hidden_size", "at least 2 dimensions", concat(given.hidden_size));
    if (given.expert_count == 0) throw_argument(function, "expert_count", "at least 1", "0");
    const double n = static_cast<double>(given.expert_count);
    const double least = (given.caps == sphere_caps::both ? 1 : 2) / n;
    if (!(given.slots >= least && given.slots <= std::numeric_limits<double>::max()))
        throw_argument(function, "slots",
                       concat("a finite number of at least ", least, ", the bound at delta 0"),
                       concat(given.slots));
    const double log_p = log_p_of(given.caps, std::log(given.slots) + std::log(n));
    return log_p > 0 ? log_p : 0;
}

/// The inverse of angle_exponent, 1 where no delta has so large an exponent.
inline double delta_of_exponent(double exponent, std::size_t hidden_size) {
    const double d = static_cast<double>(hidden_size);
    return exponent < d ? std::sqrt(2 * exponent / (d + exponent)) : 1;
}

/// The x with log_erfc(x) = -log_share. log erfc is concave and falls: Newton's steps from the
/// right of the solution stay there and only fall, and exp(-x^2) >= erfc(x) puts the start there.
inline double inverse_log_erfc(double log_share) {
    constexpr double two_over_root_pi = 1.12837916709551257390;
    double x = std::sqrt(log_share);
    for (int i = 0; i < 100 && x > 0; ++i) {
        const double log_p = log_erfc(x);
        const double next = x + (log_p + log_share) / (two_over_root_pi * std::exp(-x * x - log_p));
        if (!(next < x)) break;
        x = next;
    }
    return x > 0 ? x : 0;
}

}  // namespace detail

/// The largest delta that a capacity supports in the erfc form: least_capacity_erfc of it is
/// `slots`, of anything greater more. 1 where even delta = 1 asks for fewer. Throws argument_error
/// where d < 2, n is zero, or `slots` is not finite or below the bound at delta 0, 1 / n (2 / n for
/// one cap).
inline double largest_delta_erfc(const given_capacity& given) {
    const double x = detail::inverse_log_erfc(detail::log_share_of("largest_delta_erfc", given));
    return detail::delta_of_exponent(x * x, given.hidden_size);
}

/// The same for the exponential form. Its capacity lies below the exact one, so that this delta
/// lies above what the capacity really supports. Throws as largest_delta_erfc does.
inline double largest_delta_exponential(const given_capacity& given) {
    return detail::delta_of_exponent(detail::log_share_of("largest_delta_exponential", given),
                                     given.hidden_size);
}

}  // namespace locmoe
