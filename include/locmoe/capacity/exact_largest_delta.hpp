#pragma once

#include <cmath>
#include <cstddef>

#include <boost/math/special_functions/beta.hpp>

#include "locmoe/capacity/exact_capacity.hpp"
#include "locmoe/capacity/largest_delta.hpp"

// Asks for Boost.Math's headers, so locmoe.hpp leaves it out.

namespace locmoe::inline v0 {

/// The largest delta that a capacity supports in the exact form: least_capacity_exact of it is
/// `slots` to 1e-12 in the logarithm, or to what the rounding of delta itself leaves near 1. Always
/// below 1 but for rounding, as delta = 1 asks for infinitely many slots. Throws as
/// largest_delta_erfc does.
inline double largest_delta_exact(const given_capacity& given) {
    const double log_share = detail::log_share_of("largest_delta_exact", given);
    if (log_share == 0) return 0;
    const double b = 0.5 * (static_cast<double>(given.hidden_size) - 1);
    const double log_beta = std::log(boost::math::beta(0.5, b));

    // Newton on log p, whose slope is that of the density (1 - delta^2)^(b - 1) / B(1/2, b), of
    // both caps, over p. Where a step leaves the bracket (at d = 2 log p is not concave) it is
    // halved.
    double low = 0;
    double high = 1;
    double delta = detail::delta_of_exponent(log_share, given.hidden_size);
    if (!(delta > low && delta < high)) delta = 0.5;
    for (int i = 0; i < 200; ++i) {
        const double log_p = log_p_delta_exact({given.hidden_size, delta, sphere_caps::both});
        const double excess = log_p + log_share;  // above 0: delta is too small
        (excess > 0 ? low : high) = delta;
        const double log_y = std::log1p(-delta) + std::log1p(delta);
        const double slope = 2 * std::exp((b - 1) * log_y - log_beta - log_p);
        double next = delta + excess / slope;
        if (!(next > low && next < high)) next = low + 0.5 * (high - low);
        const bool done = std::fabs(next - delta) <= 2e-16 * delta || next == low || next == high;
        delta = next;
        if (done) break;
    }
    return delta;
}

}  // namespace locmoe
