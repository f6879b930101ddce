#include "locmoe/routing/to_physical.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "locmoe/plan/direct.hpp"
#include "locmoe/plan/node_aggregated.hpp"
#include "locmoe/plan/plan_all.hpp"
#include "locmoe/plan/traffic.hpp"
#include "locmoe/plan/validate.hpp"
#include "locmoe/topology/balance_experts.hpp"

#include "catch.hpp"
#include "random_cases.hpp"

using namespace locmoe;

namespace {

/// A random cluster that has routed once, and experts balanced by what it routed.
struct balanced_job {
    topology nodes;
    std::vector<routing> logical;
    std::vector<std::int64_t> loads;  // [N, n]
    replicated_placement placed;

    static balanced_job any(std::uint32_t seed) {
        random_cases::generator g(seed);
        const topology nodes = random_cases::any_topology(g, 1 + g.up_to(7));
        const std::size_t experts = 1 + g.up_to(9), choices = 1 + g.up_to(2);
        const std::size_t ranks = nodes.rank_count();
        std::vector<routing> logical;
        std::vector<std::int64_t> loads(nodes.node_count() * experts, 0);
        for (std::size_t r = 0; r < ranks; ++r) {
            logical.push_back(random_cases::any_routing(g, experts, g.up_to(20), choices));
            const auto counted = count_choices(logical.back());
            const auto n = static_cast<std::size_t>(nodes.node_of(static_cast<rank_id>(r)));
            for (std::size_t e = 0; e < experts; ++e) loads[n * experts + e] += counted[e];
        }
        auto placed = balance_experts({loads.data(), nodes.node_count(), experts}, nodes,
                                      {.slots_per_rank = experts / ranks + 1 + g.up_to(1)});
        return {nodes, logical, loads, std::move(placed)};
    }
};

}  // namespace

TEST_CASE("a physical routing is the logical one, replica by replica") {
    for (std::uint32_t seed = 0; seed < 200; ++seed) {
        const balanced_job job = balanced_job::any(seed);
        for (std::size_t r = 0; r < job.logical.size(); ++r) {
            const routing& logical = job.logical[r];
            const routing physical = to_physical(logical, job.placed, static_cast<rank_id>(r));
            check_routing(physical, job.placed.physical(), static_cast<rank_id>(r));
            CHECK(physical.token_count == logical.token_count);
            CHECK(physical.choice_count == logical.choice_count);
            CHECK(physical.weights == logical.weights);
            for (std::size_t i = 0; i < logical.chosen.size(); ++i) {
                const expert_id p = physical.chosen[i];
                CHECK((p == no_expert ? no_expert : job.placed.logical_of(p)) == logical.chosen[i]);
            }
        }
    }
}

TEST_CASE("plans over physical experts keep every law and bring each row to a copy of its expert") {
    for (std::uint32_t seed = 0; seed < 150; ++seed) {
        const balanced_job job = balanced_job::any(seed);
        const expert_placement& physical = job.placed.physical();
        std::vector<assignment> assigned;
        for (std::size_t r = 0; r < job.logical.size(); ++r)
            assigned.push_back(
                assign(to_physical(job.logical[r], job.placed, static_cast<rank_id>(r))));
        const auto check = [&](const auto& strategy) {
            const auto plans = plan_all(strategy, job.nodes, physical, assigned);
            validate(plans);
            std::vector<std::int64_t> arrived(job.placed.expert_count(), 0);
            for (std::size_t r = 0; r < plans.size(); ++r) {
                const auto held = physical.experts_of(static_cast<rank_id>(r));
                for (std::size_t i = 0; i < held.size(); ++i)
                    arrived[static_cast<std::size_t>(job.placed.logical_of(held[i]))] +=
                        plans[r].expert_first[i + 1] - plans[r].expert_first[i];
            }
            for (std::size_t e = 0; e < arrived.size(); ++e) {
                std::int64_t sent = 0;
                for (const routing& logical : job.logical) sent += count_choices(logical)[e];
                CHECK(arrived[e] == sent);
            }
        };
        check(direct{});
        check(node_aggregated{});
    }
}

TEST_CASE("what is counted on the plans is what the placement promised, but for rounding") {
    for (std::uint32_t seed = 0; seed < 60; ++seed) {
        random_cases::generator g(seed);
        const topology nodes = random_cases::any_topology(g, 2 + g.up_to(6));
        const std::size_t experts = 2 + g.up_to(6), ranks = nodes.rank_count();
        std::vector<routing> logical;
        std::vector<std::int64_t> loads(nodes.node_count() * experts, 0);
        std::int64_t all = 0;
        for (std::size_t r = 0; r < ranks; ++r) {
            logical.push_back(random_cases::any_routing(g, experts, 200, 2));
            const auto counted = count_choices(logical.back());
            const auto n = static_cast<std::size_t>(nodes.node_of(static_cast<rank_id>(r)));
            for (std::size_t e = 0; e < experts; ++e) {
                loads[n * experts + e] += counted[e];
                all += counted[e];
            }
        }
        const matrix_view<const std::int64_t> view(loads.data(), nodes.node_count(), experts);
        const auto placed = balance_experts(view, nodes, {.slots_per_rank = experts / ranks + 1});
        std::int64_t inter_node = 0;
        for (std::size_t r = 0; r < ranks; ++r) {
            const auto rank = static_cast<rank_id>(r);
            for (const expert_id p : to_physical(logical[r], placed, rank).chosen)
                if (p != no_expert)
                    inter_node += !nodes.same_node(rank, placed.physical().rank_of(p));
        }
        // Each rank rounds each of its experts' splits by less than one row a replica.
        const double slack = static_cast<double>(ranks * placed.physical().expert_count()) /
                             static_cast<double>(all);
        const double counted = static_cast<double>(inter_node) / static_cast<double>(all);
        CHECK(counted == Approx(estimate_load(placed, view).inter_node_fraction).margin(slack));
    }
}

TEST_CASE("a routing over another number of experts is refused") {
    const balanced_job job = balanced_job::any(1);
    routing other = job.logical[0];
    ++other.expert_count;
    try {
        to_physical(other, job.placed, 0);
        FAIL("nothing thrown");
    } catch (const argument_error& e) {
        CHECK(std::string(e.what()) ==
              detail::concat("locmoe: to_physical: expert_count on rank 0: expected ",
                             job.placed.expert_count(), " (the placement's), got ",
                             job.placed.expert_count() + 1));
    }
}
