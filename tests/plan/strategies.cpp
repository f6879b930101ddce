// The laws of locmoe/plan: what every strategy must do, checked against placing each token by hand.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <tuple>
#include <vector>

#include "catch.hpp"
#include "locmoe/plan/direct.hpp"
#include "locmoe/plan/node_aggregated.hpp"
#include "locmoe/plan/plan_all.hpp"
#include "locmoe/plan/replay.hpp"
#include "locmoe/plan/validate.hpp"
#include "random_cases.hpp"

using namespace locmoe;

namespace {

constexpr std::uint32_t cases = 2000;

using numbers = std::vector<std::vector<std::int64_t>>;

/// Each token's number, and where it must come to lie: placed by hand, with no plan in sight.
struct placed_by_hand {
    numbers tokens;  // [rank][token]
    numbers pairs;   // [rank][T k], by slot
    numbers rows;    // [rank][row], the token's number
    numbers row_pairs;

    explicit placed_by_hand(const random_cases::job& job) {
        std::int64_t next = 1;
        for (const assignment& a : job.assigned) {
            auto& t = tokens.emplace_back();
            auto& p = pairs.emplace_back();
            for (std::size_t i = 0; i < a.token_count; ++i) t.push_back(next++);
            for (std::size_t i = 0; i < a.expert.size(); ++i) p.push_back(next++);
        }
        for (std::size_t rank = 0; rank < job.nodes.rank_count(); ++rank) {
            auto& r = rows.emplace_back();
            auto& rp = row_pairs.emplace_back();
            for (const expert_id e : job.placement.experts_of(static_cast<rank_id>(rank)))
                for (std::size_t source = 0; source < job.assigned.size(); ++source) {
                    const assignment& a = job.assigned[source];
                    for (std::size_t i = 0; i < a.expert.size(); ++i)
                        if (a.expert[i] == e) {
                            r.push_back(tokens[source][i / a.choice_count]);
                            rp.push_back(pairs[source][i]);
                        }
                }
        }
    }
};

/// One number a kept pair, in the plan's own order of pairs.
numbers by_pair(const std::vector<exchange_plan>& plans, const numbers& by_slot) {
    numbers out;
    for (std::size_t r = 0; r < plans.size(); ++r) {
        auto& o = out.emplace_back();
        for (const std::int64_t slot : plans[r].pair_slots)
            o.push_back(by_slot[r][static_cast<std::size_t>(slot)]);
    }
    return out;
}

/// The combined rows by hand: each token's sum over its kept pairs of the number of the row.
numbers combined_by_hand(const random_cases::job& job, const placed_by_hand& hand,
                         const numbers& row_values) {
    std::map<std::int64_t, std::int64_t> value_of_pair;
    for (std::size_t r = 0; r < row_values.size(); ++r)
        for (std::size_t i = 0; i < row_values[r].size(); ++i)
            value_of_pair[hand.row_pairs[r][i]] = row_values[r][i];
    numbers out;
    for (std::size_t r = 0; r < job.assigned.size(); ++r) {
        const assignment& a = job.assigned[r];
        auto& o = out.emplace_back(a.token_count, 0);
        for (std::size_t i = 0; i < a.expert.size(); ++i)
            if (a.expert[i] != no_expert) o[i / a.choice_count] += value_of_pair.at(hand.pairs[r][i]);
    }
    return out;
}

template <class Strategy>
void check_every_law(const Strategy& strategy) {
    for (std::uint32_t seed = 0; seed < cases; ++seed) {
        const auto job = random_cases::any_job(seed);
        INFO(strategy.name() << ", " << job.text);
        const placed_by_hand hand(job);
        const auto plans = plan_all(strategy, job.nodes, job.placement, job.assigned);
        REQUIRE_NOTHROW(validate(plans));

        REQUIRE(replay(std::span(plans), &exchange_plan::dispatch, hand.tokens) == hand.rows);
        REQUIRE(replay(std::span(plans), &exchange_plan::pair_dispatch,
                       by_pair(plans, hand.pairs)) == hand.row_pairs);

        numbers values;  // what the experts return: something else for each row
        std::int64_t next = 1000;
        for (const auto& rows : hand.rows) {
            auto& v = values.emplace_back();
            for (std::size_t i = 0; i < rows.size(); ++i) v.push_back(next += 7);
        }
        REQUIRE(replay(std::span(plans), &exchange_plan::combine, values) ==
                combined_by_hand(job, hand, values));
    }
}

}  // namespace

TEST_CASE("direct places and combines every kept pair as by hand", "[plan]") {
    check_every_law(direct{});
}

TEST_CASE("node_aggregated places and combines every kept pair as by hand", "[plan]") {
    check_every_law(node_aggregated{});
}

TEST_CASE("node_aggregated with exact combine places and combines as by hand", "[plan]") {
    check_every_law(node_aggregated{.exact_combine = true});
}

TEST_CASE("node_aggregated sends a token once to each node and rank that wants it, and back no more",
          "[plan]") {
    for (std::uint32_t seed = 0; seed < cases; ++seed) {
        const auto job = random_cases::any_job(seed);
        INFO(job.text);
        const auto plans = plan_all(node_aggregated{}, job.nodes, job.placement, job.assigned);
        traffic sent;
        traffic back;
        for (const exchange_plan& p : plans) {
            sent += p.traffic(1);
            back += count_traffic(p.combine, 1);
        }
        std::int64_t node_rows = 0;  // a row for each token and remote node that it needs
        std::int64_t rank_rows = 0;  // and one for each rank there, but the one that it came to
        for (std::size_t r = 0; r < job.assigned.size(); ++r) {
            const assignment& a = job.assigned[r];
            const auto self = static_cast<rank_id>(r);
            std::set<std::pair<std::size_t, node_id>> wanted;
            std::set<std::pair<std::size_t, rank_id>> handed_on;
            for (std::size_t i = 0; i < a.expert.size(); ++i) {
                if (a.expert[i] == no_expert) continue;
                const rank_id to = job.placement.rank_of(a.expert[i]);
                const node_id node = job.nodes.node_of(to);
                const auto there = job.nodes.ranks_of(node);
                const bool away = node != job.nodes.node_of(self);
                if (away) wanted.emplace(i / a.choice_count, node);
                const rank_id from =
                    away ? there[job.nodes.local_index(self) % there.size()] : self;
                if (to != from) handed_on.emplace(i / a.choice_count, to);
            }
            node_rows += static_cast<std::int64_t>(wanted.size());
            rank_rows += static_cast<std::int64_t>(handed_on.size());
        }
        REQUIRE(sent.inter_node.rows == node_rows);
        REQUIRE(sent.intra_node.rows == rank_rows);
        REQUIRE(back == sent);
    }
}

TEST_CASE("direct sends one row for each kept pair of another rank", "[plan]") {
    for (std::uint32_t seed = 0; seed < cases; ++seed) {
        const auto job = random_cases::any_job(seed);
        INFO(job.text);
        const auto plans = plan_all(direct{}, job.nodes, job.placement, job.assigned);
        for (std::size_t r = 0; r < plans.size(); ++r) {
            traffic expected;
            std::set<rank_id> intra;
            std::set<rank_id> inter;
            for (const expert_id e : job.assigned[r].expert) {
                if (e == no_expert) continue;
                const rank_id to = job.placement.rank_of(e);
                const link_tier tier = job.nodes.tier(static_cast<rank_id>(r), to);
                if (tier == link_tier::self) continue;
                ++expected.of(tier).rows;
                expected.of(tier).bytes += 24;
                (tier == link_tier::inter_node ? inter : intra).insert(to);
            }
            expected.intra_node.messages = static_cast<std::int64_t>(intra.size());
            expected.inter_node.messages = static_cast<std::int64_t>(inter.size());
            REQUIRE(plans[r].traffic(24) == expected);
        }
    }
}

TEST_CASE("exact combine adds floats in the order of direct, to the bit", "[plan]") {
    for (std::uint32_t seed = 0; seed < cases; ++seed) {
        const auto job = random_cases::any_job(seed);
        INFO(job.text);
        const auto flat = plan_all(direct{}, job.nodes, job.placement, job.assigned);
        const auto exact = plan_all(node_aggregated{.exact_combine = true}, job.nodes,
                                    job.placement, job.assigned);
        random_cases::generator g(seed);
        std::vector<std::vector<float>> values;
        for (const exchange_plan& p : flat) {
            auto& v = values.emplace_back();
            for (std::size_t i = 0; i < p.expert_row_count(); ++i)
                v.push_back(static_cast<float>(g.up_to(1000000)) / 997.0f);
        }
        REQUIRE(replay(std::span(exact), &exchange_plan::combine, values) ==
                replay(std::span(flat), &exchange_plan::combine, values));
    }
}

TEST_CASE("the relay work of a node is spread over its ranks", "[plan]") {
    // 3 nodes of 4 ranks, every token of every rank to expert 0: each rank of node 0 relays the rows of
    // the ranks with its own local index, none carries all.
    const auto nodes = topology::uniform(3, 4);
    const auto placement = expert_placement::blocked(12, 12);
    routing all_to_one;
    all_to_one.token_count = 5;
    all_to_one.choice_count = 1;
    all_to_one.expert_count = 12;
    all_to_one.chosen.assign(5, 0);
    all_to_one.weights.assign(5, 1.0f);
    const std::vector<assignment> assigned(12, assign(all_to_one));
    const auto plans = plan_all(node_aggregated{}, nodes, placement, assigned);
    for (rank_id r = 0; r < 4; ++r) {
        row_index relayed = 0;
        for (const segment& s : plans[static_cast<std::size_t>(r)].dispatch.phases[1].receives)
            relayed += s.rows;
        CHECK(relayed == 10);
    }
}

TEST_CASE("what ranks tell each other while planning is in proportion to their own rows", "[plan]") {
    // 64 ranks on 8 nodes: whatever the cluster's size, a rank's words are a few for each of its pairs.
    const auto nodes = topology::uniform(8, 8);
    const auto placement = expert_placement::blocked(64, 64);
    random_cases::generator g(5);
    std::vector<assignment> assigned;
    for (int r = 0; r < 64; ++r) assigned.push_back(assign(random_cases::any_routing(g, 64, 32, 2)));
    for (rank_id r = 0; r < 64; ++r) {
        const auto& a = assigned[static_cast<std::size_t>(r)];
        const auto kept = static_cast<std::size_t>(a.kept_count());
        detail::node_aggregated_planner planner =
            node_aggregated{}.planner({r, nodes, placement, a});
        std::size_t words = 0;
        const auto out = planner.outgoing(0);
        for (const message& m : out) words += m.words.size();
        CHECK(words <= kept);
        CHECK(out.size() <= 7 + 7);
    }
}

TEST_CASE("a plan refuses a request that does not fit", "[plan]") {
    const auto nodes = topology::uniform(1, 2);
    const auto placement = expert_placement::blocked(3, 2);
    routing r;
    r.token_count = 1;
    r.choice_count = 1;
    r.expert_count = 4;
    r.chosen = {3};
    r.weights = {1.0f};
    const std::vector<assignment> assigned(2, assign(r));
    CHECK_THROWS_WITH(plan_all(direct{}, nodes, placement, assigned),
                      Catch::Contains("assignment on rank 0: expected one over 3 experts, got 4"));
}

TEST_CASE("planners that hold different placements are found out", "[plan]") {
    const auto nodes = topology::uniform(2, 1);
    const auto mine = expert_placement::from_rank_of_expert({0, 1}, 2);
    const auto theirs = expert_placement::from_rank_of_expert({1, 0, 0}, 2);
    routing r;
    r.token_count = 1;
    r.choice_count = 1;
    r.expert_count = 2;
    r.chosen = {1};
    r.weights = {1.0f};
    const assignment a = assign(r);
    auto sender = node_aggregated{}.planner({0, nodes, mine, a});
    routing none = r;
    none.expert_count = 3;
    none.chosen = {no_expert};
    const assignment b = assign(none);
    auto receiver = node_aggregated{}.planner({1, nodes, theirs, b});
    auto told = sender.outgoing(0);
    REQUIRE(told.size() == 1);
    told[0].peer = 0;
    CHECK_THROWS_AS(receiver.incoming(0, told), plan_error);

    auto flat_sender = direct{}.planner({0, nodes, mine, a});
    const auto more = expert_placement::from_rank_of_expert({0, 1, 1}, 2);
    auto flat_receiver = direct{}.planner({1, nodes, more, b});
    auto counts = flat_sender.outgoing(0);
    REQUIRE(counts.size() == 1);
    counts[0].peer = 0;
    CHECK_THROWS_AS(flat_receiver.incoming(0, counts), plan_error);
}
