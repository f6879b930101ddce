#pragma once

// Random jobs whose ranks hold tokens and experts in groups, for the laws of group_wise.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "random_cases.hpp"

namespace grouped_cases {

struct job {
    std::size_t group_size;
    locmoe::topology nodes;
    locmoe::expert_placement placement;
    std::vector<locmoe::routing> decided;      // by rank, alike in a group
    std::vector<locmoe::assignment> assigned;  // likewise
    std::vector<std::vector<locmoe::rank_id>> groups;
    std::vector<std::size_t> group_of;  // by rank
    std::string text;
};

/// Groups of 1 to 4 ranks on even, uneven and scattered nodes.
inline job job_on(std::size_t group_count, std::size_t group_size, std::uint32_t seed) {
    random_cases::generator g(seed);
    const std::size_t ranks = group_count * group_size;
    const auto by_group = random_cases::any_topology(g, group_count);
    std::vector<locmoe::node_id> node_of;
    for (std::size_t b = 0; b < group_count; ++b)
        node_of.insert(node_of.end(), group_size,
                       by_group.node_of(static_cast<locmoe::rank_id>(b)));
    if (g.chance(0.4))
        for (std::size_t r = 0; r < ranks; ++r) std::swap(node_of[r], node_of[g.up_to(ranks - 1)]);
    job j{group_size, locmoe::topology::from_node_of_rank(std::move(node_of)),
          random_cases::any_placement(g, ranks), {}, {}, {}, {}, {}};

    // Ranks of a node in ascending order, cut into groups; groups by their lowest rank.
    for (std::size_t n = 0; n < j.nodes.node_count(); ++n) {
        std::vector<locmoe::rank_id> there;
        for (locmoe::rank_id r = 0; r < static_cast<locmoe::rank_id>(ranks); ++r)
            if (j.nodes.node_of(r) == static_cast<locmoe::node_id>(n)) there.push_back(r);
        for (std::size_t i = 0; i < there.size(); ++i) {
            if (i % group_size == 0) j.groups.emplace_back();
            j.groups.back().push_back(there[i]);
        }
    }
    std::sort(j.groups.begin(), j.groups.end());
    j.group_of.resize(ranks);
    j.decided.resize(ranks);
    j.assigned.resize(ranks);
    const std::size_t choices = 1 + g.up_to(3);
    const bool drops = g.chance(0.4);
    for (std::size_t b = 0; b < group_count; ++b) {
        const std::size_t tokens = g.chance(0.15) ? 0 : g.up_to(12);
        const auto decided =
            random_cases::any_routing(g, j.placement.expert_count(), tokens, choices);
        locmoe::assign_options options;
        if (drops) options.capacity = static_cast<std::int64_t>(g.up_to(4));
        for (const locmoe::rank_id r : j.groups[b]) {
            const auto rank = static_cast<std::size_t>(r);
            j.group_of[rank] = b;
            j.decided[rank] = decided;
            j.assigned[rank] = locmoe::assign(decided, options);
        }
    }
    j.text = "seed " + std::to_string(seed) + ": " + std::to_string(group_count) + " groups of " +
             std::to_string(group_size) + " on " + std::to_string(j.nodes.node_count()) +
             " nodes, " + std::to_string(j.placement.expert_count()) + " experts, k " +
             std::to_string(choices);
    return j;
}

inline job any_job(std::uint32_t seed) {
    random_cases::generator g(seed + 1000000);
    const std::size_t size = 1 + g.up_to(3);
    return job_on(1 + g.up_to(5), size, seed);
}

/// A kept pair of a group's tokens.
struct wanted {
    std::size_t group, slot;
};

/// [groups][rows]: what each rank of a group must get, by expert, group, token and slot.
inline std::vector<std::vector<wanted>> place_by_hand(const job& j) {
    std::vector<std::vector<wanted>> all(j.groups.size());
    for (std::size_t e = 0; e < j.placement.expert_count(); ++e)
        for (std::size_t b = 0; b < j.groups.size(); ++b) {
            const auto& a = j.assigned[static_cast<std::size_t>(j.groups[b][0])];
            const auto at = static_cast<std::size_t>(
                j.placement.rank_of(static_cast<locmoe::expert_id>(e)));
            for (std::size_t i = 0; i < a.expert.size(); ++i)
                if (a.expert[i] == static_cast<locmoe::expert_id>(e))
                    all[j.group_of[at]].push_back({b, i});
        }
    return all;
}

}  // namespace grouped_cases
