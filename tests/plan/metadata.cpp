// How much ranks tell each other while they plan: near their own rows, however many ranks there are.

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <set>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "locmoe/plan/direct.hpp"
#include "locmoe/plan/node_aggregated.hpp"
#include "locmoe/plan/node_balanced.hpp"
#include "locmoe/plan/store_and_forward.hpp"
#include "locmoe/plan/strategy.hpp"

using namespace locmoe;

namespace {

constexpr std::size_t nodes = 512, ranks_per_node = 8, ranks = nodes * ranks_per_node;
constexpr std::size_t tokens = 4, choices = 2;

/// Few ranks hold many experts each, so that no one may count rows for all of them.
constexpr std::size_t holders = 128, experts_of_holder = 16, experts = holders * experts_of_holder;

struct told {
    std::size_t messages = 0;
    std::size_t words = 0;

    void add(const message& m) {
        ++messages;
        words += m.words.size();
    }
};

/// What one rank handles: pairs of its own, sent on and received, and the ranks that it shares rows
/// with.
std::size_t rows_and_peers(const exchange_plan& plan) {
    std::size_t pairs = plan.pair_count();
    std::set<rank_id> peers;
    for (const phase& p : plan.pair_dispatch.phases)
        for (const auto* segments : {&p.sends, &p.receives})
            for (const segment& s : *segments) {
                pairs += static_cast<std::size_t>(s.rows);
                peers.insert(s.peer);
            }
    return pairs + peers.size();
}

}  // namespace

TEMPLATE_TEST_CASE("planning on 4096 ranks tells each rank little more than its own rows", "[plan]",
                   direct, node_aggregated, node_balanced, store_and_forward) {
    const auto cluster = topology::uniform(nodes, ranks_per_node);
    std::vector<rank_id> rank_of;
    for (std::size_t e = 0; e < experts; ++e)
        rank_of.push_back(static_cast<rank_id>(e % holders * (ranks / holders)));
    const auto placement = expert_placement::from_rank_of_expert(rank_of, ranks);
    std::vector<assignment> assigned;
    std::uint32_t random = 1;
    for (std::size_t r = 0; r < ranks; ++r) {
        routing decided;
        decided.token_count = tokens;
        decided.choice_count = choices;
        decided.expert_count = experts;
        for (std::size_t i = 0; i < tokens * choices; ++i) {
            random = random * 1664525 + 1013904223;
            decided.chosen.push_back(static_cast<expert_id>((random >> 8) % experts));
        }
        decided.weights.assign(tokens * choices, 0.5f);
        assigned.push_back(assign(decided));
    }

    const TestType strategy;
    using planner = decltype(strategy.planner(std::declval<const plan_request&>()));
    std::vector<planner> planners;
    for (std::size_t r = 0; r < ranks; ++r)
        planners.push_back(
            strategy.planner({static_cast<rank_id>(r), cluster, placement, assigned[r]}));
    std::vector<told> sent(ranks), received(ranks), loads_sent(ranks), loads_received(ranks);
    for (std::size_t round = 0; round < planners[0].rounds; ++round) {
        // The first round of node_balanced is about the loads of a node's ranks, not about rows.
        const bool loads = std::same_as<TestType, node_balanced> && round == 0;
        std::vector<std::vector<message>> inbox(ranks);
        for (std::size_t r = 0; r < ranks; ++r)
            for (message& m : planners[r].outgoing(round)) {
                const auto to = static_cast<std::size_t>(m.peer);
                (loads ? loads_sent : sent)[r].add(m);
                (loads ? loads_received : received)[to].add(m);
                inbox[to].push_back({static_cast<rank_id>(r), std::move(m.words)});
            }
        for (std::size_t r = 0; r < ranks; ++r) planners[r].incoming(round, inbox[r]);
    }
    for (std::size_t r = 0; r < ranks; ++r) {
        const std::size_t own = rows_and_peers(planners[r].finish());
        const std::size_t all =
            sent[r].words + sent[r].messages + received[r].words + received[r].messages;
        REQUIRE(all <= 4 * own);
        // A load for each of at most T k nodes, to and from each other rank of the node.
        for (const told& t : {loads_sent[r], loads_received[r]}) {
            REQUIRE(t.messages <= ranks_per_node - 1);
            REQUIRE(t.words <= (ranks_per_node - 1) * tokens * choices * 2);
        }
    }
}

TEST_CASE("direct names the experts that get rows where most of a rank get none", "[plan]") {
    // Rank 1 holds experts 1, 2, 4 and 5; rank 0 has one token for one, two or three of them.
    const auto cluster = topology::single_node(2);
    const auto placement = expert_placement::from_rank_of_expert({0, 1, 1, 0, 1, 1}, 2);
    const auto words = [&](std::vector<expert_id> chosen) {
        routing decided{1, chosen.size(), 6};
        decided.weights.assign(chosen.size(), 1.0f);
        decided.chosen = std::move(chosen);
        const assignment a = assign(decided);
        return direct{}.planner({0, cluster, placement, a}).outgoing(0).at(0).words;
    };
    using list = std::vector<std::int64_t>;
    CHECK(words({4, 4}) == list{-1 - 4, 2});
    CHECK(words({4, 2}) == list{0, 1, 1, 0});
    CHECK(words({4, 2, 5}) == list{0, 1, 1, 1});

    routing none{1, 1, 6};
    none.chosen = {no_expert};
    none.weights = {1.0f};
    const assignment idle = assign(none);
    const auto rows = [&](list told) {
        auto planner = direct{}.planner({1, cluster, placement, idle});
        planner.outgoing(0);
        planner.incoming(0, {{0, std::move(told)}});
        return planner.finish().expert_first;
    };
    CHECK(rows({-1 - 4, 2}) == list{0, 0, 0, 2, 2});
    CHECK(rows({0, 1, 1, 0}) == list{0, 0, 1, 2, 2});
    for (const list& wrong : {list{}, {-1 - 3, 2}, {-1 - 6, 2}, {4, 2}, {-1 - 4, 0}, {-1 - 4, -1},
                              {-1 - 4}, {-1 - 4, 1, -1 - 5}, {0, 0, 0, 0}, {1, -1, 1, 0},
                              {1, 1, 1, 1, 1}})
        CHECK_THROWS_AS(rows(wrong), plan_error);
}
