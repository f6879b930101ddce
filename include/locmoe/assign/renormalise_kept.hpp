#pragma once

#include <cstddef>

#include "locmoe/assign/assignment.hpp"
#include "locmoe/assign/drop_policy.hpp"
#include "locmoe/core/error.hpp"
#include "locmoe/core/ids.hpp"
#include "locmoe/routing/routing.hpp"

namespace locmoe::inline v0 {

/// The routing without its dropped choices, whose weight goes to those that the token kept, in
/// proportion to theirs: drops first, then the division by the sum (DeepSpeed's top-2 and top-k
/// gates, torchscale's top-2). The sum of a token's weights stays, or is 0 where it kept nothing.
/// `assigned` serves the result as it does `decided`. Asks for a router with
/// `weighting::renormalise`, whose `backward` of the result is then the gradient; a loss that
/// counts choices before drops takes its load from `decided`. Throws argument_error where shapes
/// disagree or a weight is NaN.
template <class Real>
basic_routing<Real> renormalise_kept(basic_routing<Real> decided, const assignment& assigned,
                                     rank_id rank = no_rank) {
    detail::check_weights(decided, rank);
    if (assigned.expert.size() != decided.chosen.size())
        detail::throw_argument("renormalise_kept", "assigned", "the routing's own assignment",
                               detail::concat(assigned.expert.size(), " pairs"), rank);
    const std::size_t k = decided.choice_count;
    for (std::size_t begin = 0; begin < decided.chosen.size(); begin += k) {
        Real all = 0, kept = 0;
        for (std::size_t i = begin; i < begin + k; ++i) {
            all += decided.weights[i];
            if (assigned.expert[i] != no_expert) kept += decided.weights[i];
        }
        const Real factor = kept > Real(0) ? all / kept : Real(0);
        for (std::size_t i = begin; i < begin + k; ++i) {
            const bool stays = assigned.expert[i] != no_expert;
            decided.weights[i] = stays ? factor * decided.weights[i] : Real(0);
            if (!stays) decided.chosen[i] = no_expert;
        }
    }
    return decided;
}

}  // namespace locmoe
