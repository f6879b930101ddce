#pragma once

#include <cmath>
#include <cstddef>
#include <limits>

#include "locmoe/core/error.hpp"

namespace locmoe::inline v0 {

/// What shares a capacity: T tokens that each make k choices among n experts. T counts the tokens
/// of the whole group that the slots are for: one rank's tokens where every source rank owns slots
/// of its own, all ranks' tokens where they share them.
struct capacity_demand {
    std::size_t token_count = 0;   ///< T
    std::size_t choice_count = 1;  ///< k
    std::size_t expert_count = 0;  ///< n
};

/// Slots per expert by the usual formula, ceil(factor k T / n), so that factor 1 just fits a
/// perfect balance. DeepSpeed's and Megatron's convention, without DeepSpeed's least capacity of 4
/// or 8. Zero where factor, T or k is zero: every token is then dropped. `factor` counts as the
/// decimal that it was written as: a product within rounding error of a whole number is that
/// number, thus 1.1 * 30 gives 33. Throws argument_error where factor is negative, infinite or NaN,
/// where n is zero, or where the slots do not fit std::size_t.
inline std::size_t capacity_from_factor(double factor, const capacity_demand& demand) {
    using detail::concat;
    if (!(factor >= 0 && factor <= std::numeric_limits<double>::max()))
        detail::throw_argument("capacity_from_factor", "factor", "a finite number of at least 0",
                               concat(factor));
    if (demand.expert_count == 0)
        detail::throw_argument("capacity_from_factor", "expert_count", "at least 1", "0");

    const double pairs =
        static_cast<double>(demand.token_count) * static_cast<double>(demand.choice_count);
    const double slots = factor * pairs / static_cast<double>(demand.expert_count);
    if (!(slots < static_cast<double>(std::numeric_limits<std::size_t>::max())))
        detail::throw_argument("capacity_from_factor", "factor", "slots that fit std::size_t",
                               concat(slots, " slots"));

    // The factor's decimal, k T, the product and the quotient are each rounded once, by half an
    // epsilon at most: twice their sum decides what still counts as whole.
    const double whole = std::round(slots);
    const double slack = 4 * std::numeric_limits<double>::epsilon() * slots;
    return static_cast<std::size_t>(std::fabs(slots - whole) <= slack ? whole : std::ceil(slots));
}

}  // namespace locmoe
