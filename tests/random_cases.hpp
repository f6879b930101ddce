#pragma once

// Random clusters and routings for the law tests: small, but with every irregularity that users have.

#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "locmoe/assign/assignment.hpp"
#include "locmoe/plan/message_order.hpp"
#include "locmoe/routing/routing.hpp"
#include "locmoe/topology/expert_placement.hpp"
#include "locmoe/topology/topology.hpp"

namespace random_cases {

class generator {
  public:
    explicit generator(std::uint32_t seed) : random_(seed) {}

    std::size_t up_to(std::size_t highest) {
        return std::uniform_int_distribution<std::size_t>(0, highest)(random_);
    }
    bool chance(double p) { return std::bernoulli_distribution(p)(random_); }

  private:
    std::mt19937 random_;
};

/// One job: P ranks, what each routed, and who got a slot.
struct job {
    locmoe::topology nodes;
    locmoe::expert_placement placement;
    std::vector<locmoe::routing> decided;
    std::vector<locmoe::assignment> assigned;
    std::string text;
};

/// Even, uneven and scattered nodes, one node, nodes of one rank.
inline locmoe::topology any_topology(generator& g, std::size_t ranks) {
    if (g.chance(0.15)) return locmoe::topology::single_node(ranks);
    if (g.chance(0.15)) return locmoe::topology::uniform(ranks, 1);
    const std::size_t nodes = 1 + g.up_to(ranks - 1);
    std::vector<locmoe::node_id> node_of(ranks);
    for (std::size_t r = 0; r < ranks; ++r)
        node_of[r] = static_cast<locmoe::node_id>(r < nodes ? r : g.up_to(nodes - 1));
    if (g.chance(0.5))
        for (std::size_t r = 0; r < ranks; ++r) std::swap(node_of[r], node_of[g.up_to(ranks - 1)]);
    return locmoe::topology::from_node_of_rank(std::move(node_of));
}

/// Fewer experts than ranks, more, not divisible, ranks without any.
inline locmoe::expert_placement any_placement(generator& g, std::size_t ranks) {
    const std::size_t experts = 1 + g.up_to(2 * ranks + 2);
    if (g.chance(0.4)) return locmoe::expert_placement::blocked(experts, ranks);
    if (g.chance(0.3)) return locmoe::expert_placement::round_robin(experts, ranks);
    std::vector<locmoe::rank_id> rank_of(experts);
    for (auto& r : rank_of) r = static_cast<locmoe::rank_id>(g.up_to(ranks - 1));
    return locmoe::expert_placement::from_rank_of_expert(std::move(rank_of), ranks);
}

/// Uniform, skewed or all to one expert; slots without a choice; the same expert twice.
inline locmoe::routing any_routing(generator& g, std::size_t experts, std::size_t tokens,
                                   std::size_t choices) {
    locmoe::routing r;
    r.token_count = tokens;
    r.choice_count = choices;
    r.expert_count = experts;
    const std::size_t favourite = g.up_to(experts - 1);
    const double skew = g.chance(0.3) ? 0.7 : g.chance(0.1) ? 1.0 : 0.0;
    const double unchosen = g.chance(0.3) ? 0.2 : 0.0;
    for (std::size_t i = 0; i < tokens * choices; ++i) {
        const std::size_t e = g.chance(skew) ? favourite : g.up_to(experts - 1);
        r.chosen.push_back(g.chance(unchosen) ? locmoe::no_expert
                                              : static_cast<locmoe::expert_id>(e));
        r.weights.push_back(static_cast<float>(1 + g.up_to(15)) / 16.0f);
    }
    return r;
}

/// The other nodes in any order, which need not fit that of any other node.
inline locmoe::message_order any_order(generator& g, const locmoe::topology& nodes,
                                       locmoe::node_id node, std::size_t window) {
    auto order = locmoe::rotated_order(nodes, node, window);
    order.name = "random";
    order.window_bytes = 0;
    for (auto* list : {&order.to, &order.from})
        for (auto& n : *list) std::swap(n, (*list)[g.up_to(list->size() - 1)]);
    return order;
}

inline job job_on(std::size_t ranks, std::uint32_t seed, std::size_t max_tokens = 12) {
    generator g(seed);
    job j{any_topology(g, ranks), any_placement(g, ranks), {}, {}, {}};
    const std::size_t choices = 1 + g.up_to(3);
    const std::size_t experts = j.placement.expert_count();
    const int capacity_kind = static_cast<int>(g.up_to(3));  // none, per source, over all, zero
    const auto capacity = static_cast<std::int64_t>(capacity_kind == 3 ? 0 : 1 + g.up_to(6));
    std::vector<std::int64_t> before(experts, 0);
    for (std::size_t r = 0; r < ranks; ++r) {
        const std::size_t tokens = g.chance(0.15) ? 0 : g.up_to(max_tokens);
        j.decided.push_back(any_routing(g, experts, tokens, choices));
        locmoe::assign_options options;
        if (capacity_kind != 0) options.capacity = capacity;
        if (capacity_kind >= 2) options.before = before;
        j.assigned.push_back(locmoe::assign(j.decided.back(), options));
        const auto load = locmoe::count_choices(j.decided.back());
        for (std::size_t e = 0; e < experts; ++e) before[e] += load[e];
    }
    j.text = "seed " + std::to_string(seed) + ": " + std::to_string(ranks) + " ranks on " +
             std::to_string(j.nodes.node_count()) + " nodes, " + std::to_string(experts) +
             " experts, k " + std::to_string(choices) + ", capacity kind " +
             std::to_string(capacity_kind);
    return j;
}

/// The least capacity that a padded plan of the job can have.
inline std::int64_t least_padded_capacity(const job& j) {
    std::int64_t most = 1;
    for (const locmoe::assignment& a : j.assigned)
        for (const std::int64_t kept : a.kept) most = kept > most ? kept : most;
    return most;
}

inline job any_job(std::uint32_t seed, std::size_t max_ranks = 9) {
    return job_on(1 + generator(seed + 1000000).up_to(max_ranks - 1), seed);
}

}  // namespace random_cases
