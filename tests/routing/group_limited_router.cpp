#include "locmoe/routing/group_limited_router.hpp"

#include <algorithm>
#include <vector>

#include "locmoe/routing/bias_balanced_router.hpp"
#include "locmoe/routing/logits_gate.hpp"
#include "locmoe/routing/top_k_router.hpp"

#include "catch.hpp"
#include "routing/router_laws.hpp"

namespace {

using namespace routing_test;
using locmoe::expert_id;
using locmoe::group_limited_router;
using locmoe::group_score;
using locmoe::logits_gate;
using locmoe::node_limited_router;

// The plainest code: score the groups by full sorts, keep M, sort what they hold.
experts plain_choice(const doubles& steered, const std::vector<std::size_t>& group_of,
                     std::size_t groups, std::size_t limit, std::size_t counted, std::size_t k) {
    const auto by = [](const doubles& v) {
        std::vector<std::size_t> order(v.size());
        for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
        std::stable_sort(order.begin(), order.end(),
                         [&](std::size_t a, std::size_t b) { return v[a] > v[b]; });
        return order;
    };
    doubles value(groups);
    for (std::size_t g = 0; g < groups; ++g) {
        doubles inside;
        for (std::size_t e = 0; e < steered.size(); ++e)
            if (group_of[e] == g) inside.push_back(steered[e]);
        std::sort(inside.rbegin(), inside.rend());
        for (std::size_t i = 0; i < inside.size() && i < counted; ++i) value[g] += inside[i];
    }
    auto best = by(value);
    best.resize(std::min(limit, groups));
    experts chosen;
    for (const std::size_t e : by(steered))
        if (chosen.size() < k && std::count(best.begin(), best.end(), group_of[e]))
            chosen.push_back(expert_id(e));
    chosen.resize(k, locmoe::no_expert);
    return chosen;
}

}  // namespace

TEST_CASE("group-limited top-k follows each system's group score") {
    const std::size_t n = 16, groups = 4, T = 60, k = 6, limit = 2;
    const job here(n);
    const auto z = numbers(T * n, 1, 2);
    std::vector<float> bias;
    for (const double b : numbers(n, 2, 0.4)) bias.push_back(float(b - 0.9));  // all scores below 0
    std::vector<std::size_t> group_of;
    for (std::size_t e = 0; e < n; ++e) group_of.push_back(e / 4);
    const std::vector<std::pair<group_score, std::size_t>> conventions{
        {group_score::best, 1},
        {group_score::best_two, 2},
        {group_score::best_k_over_limit, k / limit},
        {group_score::all, n}};
    std::vector<experts> all;
    for (const auto& [score, counted] : conventions) {
        const group_limited_router<logits_gate<double>, locmoe::sigmoid_score> router(
            logits_gate<double>(n),
            {.k = k, .groups = groups, .limit = {limit, score}, .bias = bias});
        const auto decided = route_logits(router, z, here.where());
        all.push_back(decided.chosen);
        for (std::size_t t = 0; t < T; ++t) {
            doubles steered;
            for (std::size_t e = 0; e < n; ++e)
                steered.push_back(sigmoid_of(z[t * n + e]) + double(bias[e]));
            CHECK(experts(decided.chosen.begin() + long(t * k),
                          decided.chosen.begin() + long((t + 1) * k)) ==
                  plain_choice(steered, group_of, groups, limit, counted, k));
        }
    }
    for (std::size_t a = 0; a < all.size(); ++a)  // four conventions, four different routings
        for (std::size_t b = 0; b < a; ++b) CHECK(all[a] != all[b]);
}

TEST_CASE("group-limited top-k breaks ties between groups and experts by the lowest number") {
    const job here(8);
    const group_limited_router router(logits_gate<double>(8),
                                      {.k = 3, .groups = 4, .limit = {.limit = 2}});
    CHECK(route_logits(router, doubles(8, 1.0), here.where()).chosen == experts{0, 1, 2});
}

TEST_CASE("group-limited top-k keeps the laws, and as many groups as there are is no limit") {
    const group_limited_router router(logits_gate<double>(8),
                                      {.k = 3, .groups = 4, .limit = {.limit = 2}});
    check_laws(router);
    check_token_order(router, 9);
    check_shift(router, 9);
    const job here(8);
    const auto z = numbers(20 * 8, 3);
    const group_limited_router all(logits_gate<double>(8),
                                   {.k = 3, .groups = 4, .limit = {.limit = 4}});
    CHECK(route_logits(all, z, here.where()).chosen ==
          route_logits(locmoe::top_k_router(logits_gate<double>(8), {.k = 3}), z, here.where())
              .chosen);
    // Fewer experts in reach than choices.
    const group_limited_router few(logits_gate<double>(8),
                                   {.k = 3, .groups = 4, .limit = {.limit = 1}});
    const auto decided = route_logits(few, z, here.where());
    for (std::size_t t = 0; t < 20; ++t) {
        CHECK(decided.expert(t, 0) / 2 == decided.expert(t, 1) / 2);
        CHECK(decided.expert(t, 2) == locmoe::no_expert);
        CHECK(decided.weights[t * 3 + 2] == 0);
    }
    check_gradients(few, 6, 8);
}

TEST_CASE("node-limited top-k takes its groups from topology and placement, uneven nodes too") {
    // Ranks 0 to 2 hold experts 0 4 8, 1 5 9 (node 1), 2 6 10 (node 1) and 3 7 (rank 0 again); the
    // third node holds none.
    const std::size_t n = 11, k = 4, T = 60;
    const job here(n);
    const auto z = numbers(T * n, 4, 2);
    std::vector<std::size_t> node_of;
    for (std::size_t e = 0; e < n; ++e)
        node_of.push_back(std::size_t(here.nodes.node_of(here.placement.rank_of(expert_id(e)))));
    for (const std::size_t limit : {1u, 2u, 5u}) {
        const node_limited_router router(
            logits_gate<double>(n), {.k = k, .limit = {limit, group_score::best_k_over_limit}});
        const auto decided = route_logits(router, z, here.where());
        for (std::size_t t = 0; t < T; ++t) {
            doubles scores;
            for (std::size_t e = 0; e < n; ++e) scores.push_back(sigmoid_of(z[t * n + e]));
            CHECK(experts(decided.chosen.begin() + long(t * k),
                          decided.chosen.begin() + long((t + 1) * k)) ==
                  plain_choice(scores, node_of, 2, limit, limit > k ? 1 : k / limit, k));
        }
        check_laws(router);
        check_token_order(router, 9);
    }
}

TEST_CASE("node-limited top-k reaches at most M nodes on any job") {
    for (const std::size_t limit : {1u, 2u, 3u}) {
        const auto nodes = locmoe::topology::from_node_of_rank({0, 3, 1, 1, 2, 4, 3, 0});
        const auto placement = locmoe::expert_placement::round_robin(21, 8);
        const node_limited_router router(logits_gate<double>(21),
                                         {.k = 3, .limit = {.limit = limit}});
        const auto z = numbers(100 * 21, 5, 3);
        const auto decided = route_logits(router, z, {0, nodes, placement});
        for (std::size_t t = 0; t < 100; ++t) {
            std::vector<int> reached(5, 0);
            for (std::size_t s = 0; s < 3; ++s)
                if (decided.expert(t, s) != locmoe::no_expert)
                    reached[std::size_t(nodes.node_of(placement.rank_of(decided.expert(t, s))))] =
                        1;
            CHECK(std::size_t(std::count(reached.begin(), reached.end(), 1)) <= limit);
        }
    }
}

TEST_CASE("node-limited top-k passes over a node without experts") {
    const auto nodes = locmoe::topology::uniform(3, 1);
    const auto placement = locmoe::expert_placement::from_rank_of_expert({2, 0, 2, 0}, 3);
    const node_limited_router router(logits_gate<double>(4), {.k = 2, .limit = {.limit = 1}});
    const auto decided =
        route_logits(router, {3, 0, 0, 0, /**/ 0, 0, 0, 3, /**/ 1, 1, 1, 1}, {1, nodes, placement});
    CHECK(decided.chosen == experts{0, 2, 3, 1, 1, 3});
}

TEST_CASE("expert groups refuse gaps and numbers that cannot be") {
    using locmoe::expert_groups;
    CHECK(expert_groups::blocked(7, 3).experts_of(1).size() == 2);
    CHECK(expert_groups::from_group_of_expert({1, 0, 1}).experts_of(1)[1] == 2);
    CHECK_THROWS_WITH(expert_groups::from_group_of_expert({0, 2, 0}),
                      "locmoe: expert_groups: group 1: expected at least one expert, got none");
    CHECK_THROWS_AS(expert_groups::from_group_of_expert({}), locmoe::argument_error);
    CHECK_THROWS_AS(expert_groups::from_group_of_expert({3, 0, 1}), locmoe::argument_error);
}
