#pragma once

#include <cmath>
#include <cstddef>
#include <limits>

#include "locmoe/core/error.hpp"

// The least expert capacity of LocMoE (arXiv 2401.13920, section 4): how many tokens an expert must
// take so that one that belongs to it is among them. All forms share these assumptions: tokens lie
// uniformly on the unit sphere (real tokens are clustered: then this is a guide, no bound), gating
// weights are orthogonal and of one norm (true of GrAP with n dividing d, roughly so of a fresh
// dense gate), and a token belongs to an expert where the cosine between token and gating weight is
// at least delta. The capacity grows exponentially with delta^2 d, thus all is kept as logarithms.

namespace locmoe::inline v0 {

/// Which tokens belong to an expert. `both` is the paper's p_delta, |cos| >= delta, the two caps of
/// the sphere; `one` is cos >= delta, half of it: what a gate that picks the greatest logit sees.
enum class sphere_caps {
    both,  ///< |cos| >= delta
    one    ///< cos >= delta
};

/// An angle between token and gating weight in d dimensions.
struct token_angle {
    std::size_t hidden_size = 0;  ///< d, at least 2
    double delta = 0;             ///< cos(angle), 0 to 1
    sphere_caps caps = sphere_caps::both;  ///< which tokens belong to an expert
};

/// ec_min = 1 / (n p_delta) as its natural logarithm; `value` and `slots` give the number itself.
struct least_capacity {
    double log_slots = 0;  ///< infinite where p_delta is 0, at delta = 1

    /// The bound, a fraction below 1 where a token meets more than one expert by chance. Saturates
    /// at the greatest double instead of overflowing; compare `log_slots` up there.
    double value() const {
        const double v = std::exp(log_slots);
        return v < std::numeric_limits<double>::max() ? v : std::numeric_limits<double>::max();
    }

    /// Whole slots, rounded up: at least 1, saturating at the greatest std::size_t. A bound above a
    /// whole number by less than 1e-12 of it, what logarithms leave, counts as that number.
    std::size_t slots() const {
        constexpr std::size_t most = std::numeric_limits<std::size_t>::max();
        const double up = std::ceil(value() * (1 - 1e-12));
        if (!(up < static_cast<double>(most))) return most;
        return up < 1 ? 1 : static_cast<std::size_t>(up);
    }
};

namespace detail {

inline void check_angle(const char* function, const token_angle& angle) {
    if (angle.hidden_size < 2)
        throw_argument(function, "hidden_size", "at least 2 dimensions", concat(angle.hidden_size));
    if (!(angle.delta >= 0 && angle.delta <= 1))
        throw_argument(function, "delta", "a cosine from 0 to 1", concat(angle.delta));
}

/// log p for the caps asked for, from log p of both.
inline double log_p_of(sphere_caps caps, double log_p_both) {
    return caps == sphere_caps::both ? log_p_both : log_p_both - std::log(2.0);
}

/// delta^2 d / (2 - delta^2), the exponent of both approximate forms.
inline double angle_exponent(const token_angle& angle) {
    const double x = angle.delta * angle.delta;
    return x * static_cast<double>(angle.hidden_size) / (2 - x);
}

/// log(erfc(x)) to 2e-15 of its value for x >= 0 (2e-15 absolute for x < 0, where it passes log 2
/// at most), also where erfc itself underflows. NaN stays NaN.
inline double log_erfc(double x) {
    if (x < 0.5) return std::log1p(-std::erf(x));
    if (x < 10) return std::log(std::erfc(x));
    // erfc(x) = exp(-x^2) / (x sqrt(pi)) * (1 - 1/(2x^2) + 3/(2x^2)^2 - 15/(2x^2)^3 ...). The terms
    // alternate, so that the first one left out bounds the error; from x = 10 on they pass 1e-17
    // long before they would grow again.
    constexpr double half_log_pi = 0.57236494292470008707;
    const double step = 1 / (2 * x * x);
    double term = 1;
    double sum = 1;
    for (int i = 1; std::fabs(term) > 1e-17; ++i) {
        term *= -(2 * i - 1) * step;
        sum += term;
    }
    return -x * x - std::log(x) - half_log_pi + std::log(sum);
}

}  // namespace detail

/// log p_delta in the erfc form: p = erfc(sqrt(delta^2 d / (2 - delta^2))). For large d and small
/// delta: off by at most delta^2 + 1/d of p wherever d delta^6 <= 1 (LocMoE's delta = 0.03 is far
/// inside). Loose beyond: too small a p up to about delta = (18/d)^(1/4), so that its capacity lies
/// above the exact one by that little, then too great without limit. Throws argument_error where
/// d < 2 or delta is not in [0, 1] or NaN.
inline double log_p_delta_erfc(const token_angle& angle) {
    detail::check_angle("log_p_delta_erfc", angle);
    return detail::log_p_of(angle.caps, detail::log_erfc(std::sqrt(detail::angle_exponent(angle))));
}

/// log p_delta in the exponential form: p < exp(-delta^2 d / (2 - delta^2)), an upper bound of p
/// and so a lower bound of the capacity. Below the erfc form everywhere, as erfc(x) <= exp(-x^2);
/// below the exact form for every delta where d >= 3 (seen on a grid up to d = 65,536, not proved),
/// but not at d = 2 with delta from 0.742 to 0.960. Loose by a factor of about sqrt(pi d / 2)
/// delta, as it leaves out what stands before the exponential. Throws as log_p_delta_erfc does.
inline double log_p_delta_exponential(const token_angle& angle) {
    detail::check_angle("log_p_delta_exponential", angle);
    return detail::log_p_of(angle.caps, -detail::angle_exponent(angle));
}

/// The least capacity 1 / (n p), from log p of any form. The paper's p_i <= n p is a union bound:
/// loose once n p nears 1, and without content (below one slot) above. Throws argument_error where
/// n is zero or log p is positive or NaN.
inline least_capacity least_capacity_from(double log_p, std::size_t expert_count) {
    if (expert_count == 0)
        detail::throw_argument("least_capacity_from", "expert_count", "at least 1", "0");
    if (!(log_p <= 0))
        detail::throw_argument("least_capacity_from", "log_p", "the logarithm of a probability",
                               detail::concat(log_p));
    return {-log_p - std::log(static_cast<double>(expert_count))};
}

/// The least capacity in the erfc form; see log_p_delta_erfc for its regime.
inline least_capacity least_capacity_erfc(const token_angle& angle, std::size_t expert_count) {
    return least_capacity_from(log_p_delta_erfc(angle), expert_count);
}

/// The least capacity in the exponential form, (1/n) exp(delta^2 d / (2 - delta^2)): the paper's
/// lower bound, and with the greatest delta of a batch the C_min of LocMoE+ (arXiv 2406.00023).
inline least_capacity least_capacity_exponential(const token_angle& angle,
                                                 std::size_t expert_count) {
    return least_capacity_from(log_p_delta_exponential(angle), expert_count);
}

}  // namespace locmoe
