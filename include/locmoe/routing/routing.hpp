#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "locmoe/core/error.hpp"
#include "locmoe/core/ids.hpp"
#include "locmoe/topology/expert_placement.hpp"
#include "locmoe/topology/topology.hpp"

namespace locmoe::inline v0 {

/// What a router decided for the T tokens of one rank: k experts a token, each with the weight that
/// its output is scaled by. Slots may hold `no_expert`; a token may name the same expert twice.
/// `Real` is float, or double where a trainer (or a gradient check) works in double.
template <class Real>
struct basic_routing {
    std::size_t token_count = 0;           ///< T
    std::size_t choice_count = 0;          ///< k
    std::size_t expert_count = 0;          ///< n
    std::vector<expert_id> chosen = {};    ///< [T, k]
    std::vector<Real> weights = {};        ///< [T, k]
    std::vector<Real> probabilities = {};  ///< [T, n] after the softmax; empty where none are

    /// What `chosen` holds for a slot of a token, neither checked.
    expert_id expert(std::size_t token, std::size_t slot) const {
        return chosen[token * choice_count + slot];
    }
};

using routing = basic_routing<float>;  ///< with weights in float

/// Where a batch is routed: everything that a policy may know besides the tokens themselves.
struct route_context {
    rank_id rank;                                  ///< whose tokens they are
    const topology& nodes;                         ///< must outlive the context
    const expert_placement& placement;             ///< must outlive the context
    std::span<const std::int32_t> token_ids = {};  ///< [T], vocabulary ids; hash routers ask
    std::span<const std::int32_t> domains = {};    ///< [T], domain ids; the two-level routers ask
    std::uint64_t step = 0;         ///< of the training; with the seed it fixes what is random
    std::uint64_t first_token = 0;  ///< place of row 0 in the global batch: noise follows the
                                    ///< token, whatever rank holds it
    bool training = true;           ///< false: no noise, no sampling
};

/// How many (token, slot) pairs of this rank chose each expert, before any drop: [n].
template <class Real>
std::vector<std::int64_t> count_choices(const basic_routing<Real>& decided) {
    std::vector<std::int64_t> load(decided.expert_count, 0);
    for (const expert_id e : decided.chosen)
        if (e != no_expert) ++load[static_cast<std::size_t>(e)];
    return load;
}

/// Throws argument_error unless shapes agree, every chosen expert is one of the placement's, and
/// every weight is a finite number. Cheap: one pass over the choices.
template <class Real>
void check_routing(const basic_routing<Real>& decided, const expert_placement& placement,
                   rank_id rank) {
    using detail::concat;
    const std::size_t pairs = decided.token_count * decided.choice_count;
    if (decided.expert_count != placement.expert_count())
        detail::throw_argument("check_routing", "expert_count",
                               concat(placement.expert_count(), " (the placement's)"),
                               concat(decided.expert_count), rank);
    if (decided.chosen.size() != pairs)
        detail::throw_argument("check_routing", "chosen", concat("T k = ", pairs, " choices"),
                               concat(decided.chosen.size()), rank);
    if (decided.weights.size() != pairs)
        detail::throw_argument("check_routing", "weights", concat("T k = ", pairs, " weights"),
                               concat(decided.weights.size()), rank);
    for (std::size_t i = 0; i < pairs; ++i) {
        const expert_id e = decided.chosen[i];
        if (e != no_expert && (e < 0 || static_cast<std::size_t>(e) >= decided.expert_count))
            detail::throw_argument("check_routing",
                                   concat("expert of token ", i / decided.choice_count, ", slot ",
                                          i % decided.choice_count),
                                   concat("0 to ", decided.expert_count - 1, ", or no_expert (-1)"),
                                   concat(e), rank);
        const Real w = decided.weights[i];
        if (!(w - w == Real(0)))
            detail::throw_argument("check_routing",
                                   concat("weight of token ", i / decided.choice_count, ", slot ",
                                          i % decided.choice_count),
                                   "a finite number", concat(w), rank);
    }
}

}  // namespace locmoe
