#pragma once

#include "locmoe/core/ids.hpp"
#include "locmoe/routing/routing.hpp"
#include "locmoe/topology/replicated_placement.hpp"

namespace locmoe::inline v0 {

/// A rank's routing among logical experts as one among their replicas, to be assigned, planned and
/// executed on `placed.physical()`: each choice becomes the replica that `choose_replicas` deals it
/// to; weights stay. Probabilities are the router's and stay behind: losses are taken of the
/// logical routing. Throws argument_error where `logical` does not fit the placement or the rank is
/// none.
template <class Real>
basic_routing<Real> to_physical(const basic_routing<Real>& logical,
                                const replicated_placement& placed, rank_id rank) {
    using detail::concat;
    if (logical.expert_count != placed.expert_count())
        detail::throw_argument("to_physical", "expert_count",
                               concat(placed.expert_count(), " (the placement's)"),
                               concat(logical.expert_count), rank);
    basic_routing<Real> physical;
    physical.token_count = logical.token_count;
    physical.choice_count = logical.choice_count;
    physical.expert_count = placed.physical().expert_count();
    physical.chosen = placed.choose_replicas(logical.chosen, rank);
    physical.weights = logical.weights;
    return physical;
}

}  // namespace locmoe
