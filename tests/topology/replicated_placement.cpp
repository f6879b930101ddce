#include "locmoe/topology/replicated_placement.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "random_cases.hpp"

using namespace locmoe;

namespace {

/// Any replicas of any experts with any shares, zeros among them.
replicated_placement any_replicas(random_cases::generator& g, const topology& nodes) {
    const std::size_t ranks = nodes.rank_count(), experts = 1 + g.up_to(5);
    std::vector<rank_id> rank_of;
    std::vector<expert_id> logical_of;
    for (std::size_t p = 0; p < experts + g.up_to(2 * experts); ++p) {
        rank_of.push_back(static_cast<rank_id>(g.up_to(ranks - 1)));
        logical_of.push_back(static_cast<expert_id>(p < experts ? p : g.up_to(experts - 1)));
    }
    std::vector<std::int64_t> shares(nodes.node_count() * rank_of.size());
    for (std::size_t n = 0; n < nodes.node_count(); ++n)
        for (std::size_t p = 0; p < rank_of.size(); ++p)
            shares[n * rank_of.size() + p] =
                static_cast<std::int64_t>(p < experts ? 1 + g.up_to(9) : g.up_to(9));
    return replicated_placement::from_shares(
        expert_placement::from_rank_of_expert(std::move(rank_of), ranks), std::move(logical_of),
        experts, nodes, std::move(shares));
}

/// Two nodes of two ranks; expert 0 on ranks 0 and 3, expert 1 on rank 1, twice on rank 2.
replicated_placement small(std::vector<std::int64_t> shares) {
    return replicated_placement::from_shares(
        expert_placement::from_rank_of_expert({0, 1, 2, 2, 3}, 4), {0, 1, 1, 1, 0}, 2,
        topology::uniform(2, 2), std::move(shares));
}

template <class Call>
std::string words_of(Call call) {
    try {
        call();
    } catch (const argument_error& e) {
        return e.what();
    }
    return "nothing thrown";
}

}  // namespace

TEST_CASE("every choice goes to a replica of its expert, and no_expert stays") {
    for (std::uint32_t seed = 0; seed < 200; ++seed) {
        random_cases::generator g(seed);
        const topology nodes = random_cases::any_topology(g, 1 + g.up_to(6));
        const auto placed = any_replicas(g, nodes);
        const auto decided =
            random_cases::any_routing(g, placed.expert_count(), g.up_to(20), 1 + g.up_to(2));
        for (std::size_t r = 0; r < nodes.rank_count(); ++r) {
            const auto rank = static_cast<rank_id>(r);
            const auto chosen = placed.choose_replicas(decided.chosen, rank);
            REQUIRE(chosen.size() == decided.chosen.size());
            for (std::size_t i = 0; i < chosen.size(); ++i) {
                if (decided.chosen[i] == no_expert) {
                    CHECK(chosen[i] == no_expert);
                    continue;
                }
                REQUIRE(chosen[i] >= 0);
                CHECK(placed.logical_of(chosen[i]) == decided.chosen[i]);
                CHECK(placed.share(nodes.node_of(rank), chosen[i]) > 0);
            }
        }
    }
}

TEST_CASE("a replica serves its fraction of an expert's choices to within one") {
    for (std::uint32_t seed = 0; seed < 300; ++seed) {
        random_cases::generator g(seed);
        const topology nodes = random_cases::any_topology(g, 1 + g.up_to(6));
        const auto placed = any_replicas(g, nodes);
        const std::size_t replicas = placed.physical().expert_count();
        const std::size_t choices = 1 + g.up_to(29);  // the same number on every rank
        for (std::size_t n = 0; n < nodes.node_count(); ++n) {
            const auto node = static_cast<node_id>(n);
            for (std::size_t e = 0; e < placed.expert_count(); ++e) {
                const auto expert = static_cast<expert_id>(e);
                const auto fraction = [&](std::size_t p) {
                    return static_cast<double>(placed.share(node, static_cast<expert_id>(p))) /
                           static_cast<double>(placed.share_sum(node, expert));
                };
                std::vector<double> of_node(replicas, 0);
                for (const rank_id rank : nodes.ranks_of(node)) {
                    std::vector<double> of_rank(replicas, 0);
                    for (const expert_id p :
                         placed.choose_replicas(std::vector<expert_id>(choices, expert), rank)) {
                        ++of_rank[static_cast<std::size_t>(p)];
                        ++of_node[static_cast<std::size_t>(p)];
                    }
                    for (const expert_id p : placed.replicas_of(expert)) {
                        const auto q = static_cast<std::size_t>(p);
                        CHECK(std::fabs(of_rank[q] - static_cast<double>(choices) * fraction(q)) <
                              1 + 1e-9);
                    }
                }
                const double all = static_cast<double>(choices * nodes.ranks_of(node).size());
                for (const expert_id p : placed.replicas_of(expert)) {
                    const auto q = static_cast<std::size_t>(p);
                    CHECK(std::fabs(of_node[q] - all * fraction(q)) < 1 + 1e-9);
                }
            }
        }
    }
}

TEST_CASE("one choice a rank still reaches all replicas that share a node's tokens") {
    const auto placed = small({1, 1, 0, 0, 1, 1, 0, 0, 1, 1});
    const std::vector<expert_id> one{0};
    CHECK(placed.choose_replicas(one, 0) == std::vector<expert_id>{0});
    CHECK(placed.choose_replicas(one, 1) == std::vector<expert_id>{4});
}

TEST_CASE("replicas are listed by expert, and groups name each rank once") {
    const auto placed = small({1, 1, 1, 1, 1, 1, 1, 1, 1, 1});
    const auto first = placed.replicas_of(0), second = placed.replicas_of(1);
    CHECK(std::vector<expert_id>(first.begin(), first.end()) == std::vector<expert_id>{0, 4});
    CHECK(std::vector<expert_id>(second.begin(), second.end()) == std::vector<expert_id>{1, 2, 3});
    const auto groups = placed.replica_groups();
    REQUIRE(groups.size() == 2);
    CHECK(groups[0].expert == 0);
    CHECK(groups[0].ranks == std::vector<rank_id>{0, 3});
    CHECK(groups[1].expert == 1);
    CHECK(groups[1].ranks == std::vector<rank_id>{1, 2});

    const auto lonely =
        replicated_placement::from_shares(expert_placement::from_rank_of_expert({0, 0, 1}, 2),
                                          {0, 0, 1}, 2, topology::single_node(2), {1, 1, 1});
    CHECK(lonely.replica_groups().empty());  // two copies on one rank need no message
}

TEST_CASE("the estimate is what the shares say") {
    // Node 0: 6 rows for expert 0, a third of them to rank 3; node 1: 4 rows for expert 1, evenly.
    const auto placed = small({2, 1, 0, 0, 1, 1, 2, 1, 1, 0});
    const std::vector<std::int64_t> loads{6, 0, 0, 4};
    const auto estimate = estimate_load(placed, {loads.data(), 2, 2});
    CHECK(estimate.inter_node_fraction == Approx((2 + 2) / 10.0));
    CHECK(estimate.load_max_over_mean == Approx(4 / 2.5));
    const std::vector<std::int64_t> none(4, 0);
    CHECK(estimate_load(placed, {none.data(), 2, 2}).load_max_over_mean == 1);
    CHECK(estimate_load(placed, {none.data(), 2, 2}).inter_node_fraction == 0);
}

TEST_CASE("a replicated placement refuses what does not fit") {
    const auto make = [](std::vector<expert_id> logical_of, std::size_t experts,
                         std::vector<std::int64_t> shares) {
        return words_of([&] {
            replicated_placement::from_shares(expert_placement::round_robin(3, 2), logical_of,
                                              experts, topology::uniform(2, 1), shares);
        });
    };
    CHECK(make({0, 1, 0}, 2, {1, 1, 1, 1, 1, 1}) == "nothing thrown");
    CHECK(make({0, 1}, 2, {1, 1, 1, 1}) ==
          "locmoe: replicated_placement: logical_of: expected 3 experts, got 2");
    CHECK(make({0, 2, 0}, 2, {1, 1, 1, 1, 1, 1}) ==
          "locmoe: replicated_placement: logical_of 1: expected 0 to n - 1 with n = 2, got 2");
    CHECK(make({0, 0, 0}, 2, {1, 1, 1, 1, 1, 1}) ==
          "locmoe: replicated_placement: expert 1: expected at least one replica, got none");
    CHECK(make({0, 0x7ffffffe, 0}, ~std::size_t{0}, {1, 1, 1, 1, 1, 1}) ==
          "locmoe: replicated_placement: expert 1: expected at least one replica, got none");
    CHECK(make({0, 1, 0}, 2, {1, 1, 1}) ==
          "locmoe: replicated_placement: shares: expected [2, 3], got 3 numbers");
    CHECK(make({0, 1, 0}, 2, {1, 1, -1, 1, 1, 1}) ==
          "locmoe: replicated_placement: share of physical expert 2: expected 0 or more, their sum "
          "below 2^53, got -1");
    CHECK(make({0, 1, 0}, 2, {1, 1, 1, 0, 1, 0}) ==
          "locmoe: replicated_placement: shares of expert 0 for node 1: expected a positive sum, "
          "got 0");
    CHECK(words_of([] {
              replicated_placement::from_shares(expert_placement::round_robin(2, 2), {0, 1}, 2,
                                                topology::uniform(3, 1), {1, 1, 1, 1, 1, 1});
          }) == "locmoe: replicated_placement: physical: expected one over 3 ranks, got 2");

    const auto placed = small({1, 1, 1, 1, 1, 1, 1, 1, 1, 1});
    const std::vector<expert_id> bad{0, 2};
    CHECK(words_of([&] { placed.choose_replicas(bad, 1); }) ==
          "locmoe: choose_replicas: choice 1 on rank 1: expected 0 to 1, or no_expert (-1), got 2");
    CHECK(words_of([&] { placed.choose_replicas({}, 4); }) ==
          "locmoe: choose_replicas: rank: expected 0 to 3, got 4");
    const std::vector<std::int64_t> loads(6, 1);
    CHECK(words_of([&] {
              estimate_load(placed, {loads.data(), 3, 2});
          }) == "locmoe: estimate_load: loads: expected [2, 2], got [3, 2]");
}
