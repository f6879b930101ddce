#pragma once

#include <cstddef>
#include <cstdint>

#include "locmoe/plan/flow.hpp"
#include "locmoe/topology/topology.hpp"

namespace locmoe::inline v0 {

/// What crosses links of one tier.
struct tier_traffic {
    std::int64_t rows = 0;      ///< also those that are passed on for other ranks
    std::int64_t messages = 0;  ///< one for each peer and phase
    std::int64_t bytes = 0;     ///< of the rows alone, without headers

    /// Adds rows, messages and bytes.
    tier_traffic& operator+=(const tier_traffic& other) {
        rows += other.rows;
        messages += other.messages;
        bytes += other.bytes;
        return *this;
    }
    friend bool operator==(const tier_traffic&, const tier_traffic&) = default;
};

/// What one rank sends over each kind of link. Rows that stay on their rank are no traffic.
struct traffic {
    tier_traffic intra_node;  ///< to other ranks of the own node
    tier_traffic inter_node;  ///< to other nodes

    /// The counts of `inter_node`, and of `intra_node` for any other tier.
    tier_traffic& of(link_tier tier) {
        return tier == link_tier::inter_node ? inter_node : intra_node;
    }
    /// Adds both tiers.
    traffic& operator+=(const traffic& other) {
        intra_node += other.intra_node;
        inter_node += other.inter_node;
        return *this;
    }
    friend bool operator==(const traffic&, const traffic&) = default;
};

/// What a rank sends in one run of a flow with rows of `row_bytes` bytes.
inline traffic count_traffic(const flow& moved, std::size_t row_bytes) {
    traffic all;
    for (const phase& p : moved.phases)
        for (const segment& s : p.sends)
            all.of(s.tier) += {s.rows, 1, s.rows * static_cast<std::int64_t>(row_bytes)};
    return all;
}

}  // namespace locmoe
