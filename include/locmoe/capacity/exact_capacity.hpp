#pragma once

#include <cmath>
#include <cstddef>

#include <boost/math/special_functions/beta.hpp>
#include <boost/math/special_functions/gamma.hpp>

#include "locmoe/capacity/least_capacity.hpp"

// Asks for Boost.Math's headers, so locmoe.hpp leaves it out.

namespace locmoe::inline v0 {

namespace detail {

/// log(1 - I_x(1/2, b)), x = delta^2, where it is far below the least double. With y = 1 - x:
///     1 - I = y^b / (b B(1/2, b) delta) * (1 - (1/2) u + (1/2)(3/2) u^2 (b+1)/(b+2) ...),
/// term m being (1/2)_m / (b+1)_m * (-y/x)^m: 2F1(1, 1/2; b+1; -y/x). It is the moment series of a
/// Stieltjes function, thus alternates and is off by less than the first term left out. Here b x is
/// in the hundreds, so that terms pass 1e-17 long before they could grow.
inline double log_beta_tail(double b, double delta, double log_y) {
    constexpr double half_log_pi = 0.57236494292470008707;
    const double y_over_x = std::exp(log_y) / (delta * delta);
    double term = 1;
    double sum = 1;
    for (int m = 0; std::fabs(term) > 1e-17; ++m) {
        term *= -(m + 0.5) * y_over_x / (b + 1 + m);
        sum += term;
    }
    // 1 / (b B(1/2, b)) = Gamma(b + 1/2) / (Gamma(b + 1) sqrt(pi)), a ratio that Boost takes
    // without the cancellation of two log-gammas.
    return b * log_y - std::log(delta) + std::log(sum) - half_log_pi +
           std::log(boost::math::tgamma_delta_ratio(b + 0.5, 0.5));
}

}  // namespace detail

/// log p_delta in the exact form: p = 1 - I_{delta^2}(1/2, (d-1)/2), I the regularized incomplete
/// beta function. Exact for tokens uniform on the sphere, for every d and delta; loose only as far
/// as real tokens are not isotropic. Off by less than 1e-12 max(1, |log p|), checked for d from 2
/// to 65,536 and delta from 1e-6 to 1 - 1e-12, also where p underflows a double. Minus infinity at
/// delta = 1. Throws argument_error where d < 2 or delta is not in [0, 1] or NaN.
inline double log_p_delta_exact(const token_angle& angle) {
    detail::check_angle("log_p_delta_exact", angle);
    const double delta = angle.delta;
    const double b = 0.5 * (static_cast<double>(angle.hidden_size) - 1);
    const double x = delta * delta;
    const double log_y = std::log1p(-delta) + std::log1p(delta);  // y = 1 - x, without cancelling

    double log_p = 0;
    if (b * log_y < -600) {
        log_p = detail::log_beta_tail(b, delta, log_y);
    } else if (x > 0.5) {
        log_p = std::log(boost::math::ibeta(b, 0.5, (1 - delta) * (1 + delta)));
    } else {
        const double inside = boost::math::ibeta(0.5, b, x);
        log_p = inside < 0.5 ? std::log1p(-inside) : std::log(boost::math::ibetac(0.5, b, x));
    }
    return detail::log_p_of(angle.caps, log_p);
}

/// The least capacity in the exact form; see log_p_delta_exact.
inline least_capacity least_capacity_exact(const token_angle& angle, std::size_t expert_count) {
    return least_capacity_from(log_p_delta_exact(angle), expert_count);
}

}  // namespace locmoe
