#pragma once

#include <cstddef>

#include "locmoe/topology/topology.hpp"

namespace locmoe::inline v0::detail {

/// Where rows go next, and in which phase.
struct hop {
    std::size_t phase = 0;
    rank_id to = no_rank;
};

/// Who takes in what `rank` sends to `node`: its rank number `local_index(rank) mod m` of m. So
/// even nodes talk rail to rail, and on uneven ones the ranks share the load.
inline rank_id relay_of(const topology& nodes, rank_id rank, node_id node) {
    const auto ranks = nodes.ranks_of(node);
    return ranks[nodes.local_index(rank) % ranks.size()];
}

}  // namespace locmoe::detail
