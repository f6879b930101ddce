// The laws of locmoe/plan: what every strategy must do, checked against placing each token by hand.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <tuple>
#include <vector>

#include "catch.hpp"
#include "locmoe/plan/capacity_padded.hpp"
#include "locmoe/plan/direct.hpp"
#include "locmoe/plan/group_wise.hpp"
#include "locmoe/plan/node_aggregated.hpp"
#include "locmoe/plan/node_balanced.hpp"
#include "locmoe/plan/plan_all.hpp"
#include "locmoe/plan/replay.hpp"
#include "locmoe/plan/store_and_forward.hpp"
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

    /// `per_source`: rows that a padded plan has for each expert and source, 0 where it is not.
    explicit placed_by_hand(const random_cases::job& job, std::size_t per_source = 0) {
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
                    const std::size_t block_end = r.size() + per_source;
                    for (std::size_t i = 0; i < a.expert.size(); ++i)
                        if (a.expert[i] == e) {
                            r.push_back(tokens[source][i / a.choice_count]);
                            rp.push_back(pairs[source][i]);
                        }
                    if (per_source == 0) continue;
                    r.resize(block_end, 0);
                    rp.resize(block_end, 0);
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
void check_every_law(const Strategy& strategy, const random_cases::job& job,
                     std::size_t per_source = 0) {
    INFO(strategy.name() << ", " << job.text);
    const placed_by_hand hand(job, per_source);
    const auto plans = plan_all(strategy, job.nodes, job.placement, job.assigned);
    REQUIRE_NOTHROW(validate(plans));

    REQUIRE(replay(std::span(plans), &exchange_plan::dispatch, hand.tokens) == hand.rows);
    REQUIRE(replay(std::span(plans), &exchange_plan::pair_dispatch, by_pair(plans, hand.pairs)) ==
            hand.row_pairs);

    numbers values;  // what the experts return: something else for each row
    std::int64_t next = 1000;
    for (const auto& rows : hand.rows) {
        auto& v = values.emplace_back();
        for (std::size_t i = 0; i < rows.size(); ++i) v.push_back(next += 7);
    }
    REQUIRE(replay(std::span(plans), &exchange_plan::combine, values) ==
            combined_by_hand(job, hand, values));
}

template <class Strategy>
void check_every_law(const Strategy& strategy) {
    for (std::uint32_t seed = 0; seed < cases; ++seed)
        check_every_law(strategy, random_cases::any_job(seed));
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

TEST_CASE("node_aggregated in chunks places and combines as by hand", "[plan]") {
    check_every_law(node_aggregated{.chunks = 2});
    check_every_law(node_aggregated{.chunks = 5, .exact_combine = true});
}

TEST_CASE("node_aggregated in chunks sends the same rows, and sums to the same bits", "[plan]") {
    for (std::uint32_t seed = 0; seed < cases; ++seed) {
        const auto job = random_cases::any_job(seed);
        const std::size_t chunks = 2 + seed % 4;
        INFO(chunks << " chunks, " << job.text);
        const auto whole = plan_all(node_aggregated{}, job.nodes, job.placement, job.assigned);
        const auto cut =
            plan_all(node_aggregated{.chunks = chunks}, job.nodes, job.placement, job.assigned);
        random_cases::generator g(seed);
        std::vector<std::vector<float>> values;
        for (std::size_t r = 0; r < whole.size(); ++r) {
            REQUIRE(cut[r].traffic(1).inter_node.rows == whole[r].traffic(1).inter_node.rows);
            REQUIRE(cut[r].traffic(1).intra_node.rows == whole[r].traffic(1).intra_node.rows);
            auto& v = values.emplace_back();
            for (std::size_t i = 0; i < whole[r].expert_row_count(); ++i)
                v.push_back(static_cast<float>(g.up_to(1000000)) / 997.0f);
        }
        REQUIRE(replay(std::span(cut), &exchange_plan::combine, values) ==
                replay(std::span(whole), &exchange_plan::combine, values));
    }
}

TEST_CASE("node_aggregated cuts its tokens into chunks of one size, the last one shorter", "[plan]") {
    const auto nodes = topology::uniform(2, 1);
    const auto placement = expert_placement::blocked(2, 2);
    routing decided;
    decided.token_count = 10;
    decided.choice_count = 1;
    decided.expert_count = 2;
    decided.chosen.assign(10, 1);
    decided.weights.assign(10, 1.0f);
    const std::vector<assignment> assigned(2, assign(decided));
    const auto plans = plan_all(node_aggregated{.chunks = 4}, nodes, placement, assigned);
    std::vector<row_index> rows;
    for (const phase& p : plans[0].dispatch.phases)
        for (const segment& s : p.sends) rows.push_back(s.rows);
    CHECK(rows == std::vector<row_index>{3, 3, 3, 1});
}

TEST_CASE("node_aggregated refuses no chunks and other ranks chunks of another number", "[plan]") {
    const auto job = random_cases::job_on(4, 7);
    CHECK_THROWS_AS(plan_all(node_aggregated{.chunks = 0}, job.nodes, job.placement, job.assigned),
                    argument_error);
    const plan_request request{0, job.nodes, job.placement, job.assigned[0]};
    auto planner = node_aggregated{.chunks = 2}.planner(request);
    CHECK_THROWS_AS(planner.incoming(1, {{1, {-1, 0, 2}}}), plan_error);
    CHECK_THROWS_AS(planner.incoming(1, {{1, {}}}), plan_error);
}

TEST_CASE("node_balanced places and combines every kept pair as by hand", "[plan]") {
    check_every_law(node_balanced{});
    check_every_law(node_balanced{.exact_combine = true});
}

TEST_CASE("store_and_forward places and combines every kept pair as by hand", "[plan]") {
    check_every_law(store_and_forward{});
    check_every_law(store_and_forward{.radix = 3});
    check_every_law(store_and_forward{.radix = 2, .exact_combine = true});
}

TEST_CASE("group_wise with a rank a group places and combines every kept pair as by hand",
          "[plan]") {
    check_every_law(group_wise{1});
}

TEMPLATE_TEST_CASE("padded forms place and combine every kept pair as by hand", "[plan]", direct,
                   node_aggregated, store_and_forward) {
    for (std::uint32_t seed = 0; seed < cases; ++seed) {
        const auto job = random_cases::any_job(seed);
        const std::int64_t capacity = random_cases::least_padded_capacity(job) + seed % 2;
        check_every_law(capacity_padded{TestType{}, capacity}, job,
                        static_cast<std::size_t>(capacity));
    }
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

TEMPLATE_TEST_CASE("exact combine adds floats in the order of direct, to the bit", "[plan]",
                   node_aggregated, node_balanced, store_and_forward) {
    TestType strategy;
    strategy.exact_combine = true;
    for (std::uint32_t seed = 0; seed < cases; ++seed) {
        const auto job = random_cases::any_job(seed);
        INFO(job.text);
        const auto flat = plan_all(direct{}, job.nodes, job.placement, job.assigned);
        const auto exact = plan_all(strategy, job.nodes, job.placement, job.assigned);
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
        for (const segment& s : plans[static_cast<std::size_t>(r)].dispatch.phases[0].receives)
            relayed += s.rows;
        CHECK(relayed == 10);
    }
}

TEST_CASE("node_balanced evens out what the ranks of a node send to other nodes, no row too many",
          "[plan]") {
    std::size_t evened_out = 0;
    for (std::uint32_t seed = 0; seed < cases; ++seed) {
        const auto job = random_cases::any_job(seed);
        INFO(job.text);
        const auto before = plan_all(node_aggregated{}, job.nodes, job.placement, job.assigned);
        const auto after = plan_all(node_balanced{}, job.nodes, job.placement, job.assigned);
        const auto away = [](const exchange_plan& plan) { return plan.traffic(1).inter_node.rows; };
        for (node_id node = 0; node < static_cast<node_id>(job.nodes.node_count()); ++node) {
            std::vector<std::int64_t> loads;
            std::vector<std::int64_t> evened;
            std::int64_t total = 0;
            std::int64_t handed = 0;
            for (const rank_id r : job.nodes.ranks_of(node)) {
                const auto rank = static_cast<std::size_t>(r);
                loads.push_back(away(before[rank]));
                evened.push_back(away(after[rank]));
                total += evened.back();
                for (const segment& s : after[rank].dispatch.phases[0].sends) handed += s.rows;
                const auto back = count_traffic(after[rank].combine, 1).inter_node.rows;
                std::int64_t taken = 0;
                for (const segment& s : after[rank].dispatch.phases[1].receives) taken += s.rows;
                REQUIRE(back == taken);
            }
            std::sort(loads.rbegin(), loads.rend());
            std::sort(evened.rbegin(), evened.rend());
            REQUIRE(evened.front() - evened.back() <= 1);
            std::int64_t least = 0;
            for (std::size_t i = 0; i < loads.size(); ++i) {
                total -= loads[i];
                if (loads[i] > evened[i]) least += loads[i] - evened[i];
            }
            REQUIRE(total == 0);
            REQUIRE(handed <= least);  // less where a token goes the same way for several nodes
            if (loads.front() - loads.back() <= 1) {
                REQUIRE(handed == 0);
                for (const rank_id r : job.nodes.ranks_of(node))
                    REQUIRE(after[static_cast<std::size_t>(r)].traffic(1).inter_node ==
                            before[static_cast<std::size_t>(r)].traffic(1).inter_node);
            } else {
                REQUIRE(handed > 0);
                ++evened_out;
            }
        }
    }
    CHECK(evened_out > cases / 4);
}

TEST_CASE("node_balanced spreads one rank's rows over all rails, at both ends", "[plan]") {
    // 3 nodes of 4 ranks; rank 1 alone has tokens, 24 for node 1 and 16 for node 2.
    const auto nodes = topology::uniform(3, 4);
    const auto placement = expert_placement::blocked(12, 12);
    routing decided;
    decided.choice_count = 1;
    decided.expert_count = 12;
    std::vector<assignment> assigned(12, assign(decided));
    decided.token_count = 40;
    decided.chosen.assign(24, 5);
    decided.chosen.insert(decided.chosen.end(), 16, 10);
    decided.weights.assign(40, 1.0f);
    assigned[1] = assign(decided);
    const auto plans = plan_all(node_balanced{}, nodes, placement, assigned);
    for (rank_id r = 0; r < 12; ++r) {
        const phase& p = plans[static_cast<std::size_t>(r)].dispatch.phases[1];
        row_index sent = 0;
        row_index taken = 0;
        for (const segment& s : p.sends) sent += s.rows;
        for (const segment& s : p.receives) taken += s.rows;
        CHECK(sent == (r < 4 ? 10 : 0));
        CHECK(taken == (r < 4 ? 0 : r < 8 ? 6 : 4));
    }
}

TEST_CASE("store_and_forward sends a row once along every edge between nodes that its pairs share",
          "[plan]") {
    for (std::uint32_t seed = 0; seed < cases; ++seed) {
        const auto job = random_cases::any_job(seed, 12);
        const std::size_t radix = 2 + seed % 3;
        INFO("radix " << radix << ", " << job.text);
        const store_and_forward strategy{.radix = radix};
        const auto plans = plan_all(strategy, job.nodes, job.placement, job.assigned);
        const std::size_t nodes = job.nodes.node_count();
        std::size_t digits = 0;
        for (std::size_t reach = 1; reach < nodes; reach *= radix) ++digits;
        traffic sent;
        traffic back;
        for (const exchange_plan& p : plans) {
            REQUIRE(p.dispatch.phases.size() == digits + 1);
            const traffic own = p.traffic(1);
            const std::size_t neighbours = job.nodes.ranks_of(job.nodes.node_of(p.rank)).size() - 1;
            REQUIRE(own.inter_node.messages <= static_cast<std::int64_t>((radix - 1) * digits));
            REQUIRE(own.intra_node.messages <= static_cast<std::int64_t>(neighbours));
            sent += own;
            back += count_traffic(p.combine, 1);
        }
        REQUIRE(back == sent);
        std::int64_t rows = 0;
        for (std::size_t r = 0; r < job.assigned.size(); ++r) {
            const assignment& a = job.assigned[r];
            const auto home = static_cast<std::size_t>(job.nodes.node_of(static_cast<rank_id>(r)));
            std::set<std::tuple<std::size_t, std::size_t, std::size_t>> edges;
            for (std::size_t i = 0; i < a.expert.size(); ++i) {
                if (a.expert[i] == no_expert) continue;
                const auto to = static_cast<std::size_t>(
                    job.nodes.node_of(job.placement.rank_of(a.expert[i])));
                std::size_t at = home;
                for (std::size_t unit = 1; at != to; unit *= radix) {
                    const std::size_t step =
                        (to + nodes - home) % nodes % (unit * radix) / unit * unit;
                    if (step == 0) continue;
                    edges.emplace(i / a.choice_count, at, (at + step) % nodes);
                    at = (at + step) % nodes;
                }
            }
            rows += static_cast<std::int64_t>(edges.size());
        }
        REQUIRE(sent.inter_node.rows == rows);
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

TEST_CASE("store_and_forward plans with as few messages as it dispatches", "[plan]") {
    // 27 nodes of 2 ranks, everybody to everybody: 2 x 3 neighbours at radix 3, 5 phases at radix 2.
    const auto nodes = topology::uniform(27, 2);
    const auto placement = expert_placement::blocked(54, 54);
    routing decided;
    decided.token_count = 54;
    decided.choice_count = 1;
    decided.expert_count = 54;
    for (expert_id e = 0; e < 54; ++e) decided.chosen.push_back(e);
    decided.weights.assign(54, 1.0f);
    const assignment all = assign(decided);
    const auto messages = [&](std::size_t radix) {
        std::vector<detail::store_and_forward_planner> planners;
        for (rank_id r = 0; r < 54; ++r)
            planners.push_back(
                store_and_forward{.radix = radix}.planner({r, nodes, placement, all}));
        std::size_t of_rank_20 = 0;
        for (std::size_t round = 0; round < planners[0].rounds; ++round) {
            std::vector<std::vector<message>> inbox(54);
            for (std::size_t r = 0; r < 54; ++r)
                for (message& m : planners[r].outgoing(round)) {
                    if (r == 20) ++of_rank_20;
                    inbox[static_cast<std::size_t>(m.peer)].push_back(
                        {static_cast<rank_id>(r), std::move(m.words)});
                }
            for (std::size_t r = 0; r < 54; ++r) planners[r].incoming(round, inbox[r]);
        }
        return of_rank_20;
    };
    CHECK(messages(2) == 5 + 1);
    CHECK(messages(3) == 2 * 3 + 1);
    CHECK(messages(27) == 26 + 1);
}

TEST_CASE("store_and_forward refuses a radix that goes nowhere", "[plan]") {
    const auto nodes = topology::uniform(2, 1);
    const auto placement = expert_placement::blocked(2, 2);
    routing none;
    none.choice_count = 1;
    none.expert_count = 2;
    const std::vector<assignment> assigned(2, assign(none));
    for (const std::size_t radix : {0u, 1u})
        CHECK_THROWS_WITH(
            plan_all(store_and_forward{.radix = radix}, nodes, placement, assigned),
            Catch::Contains("store_and_forward: radix on rank 0: expected at least 2"));
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

    const auto neighbours = topology::from_node_of_rank({0, 0, 1});
    const auto over_three = expert_placement::from_rank_of_expert({0, 2}, 3);
    auto evener = node_balanced{}.planner({0, neighbours, over_three, a});
    for (const std::vector<std::int64_t>& loads :
         {std::vector<std::int64_t>{0, 3}, {2, 3}, {-1, 3}, {1, 0}, {1}})
        CHECK_THROWS_AS(evener.incoming(0, {{1, loads}}), plan_error);
    CHECK_THROWS_AS(evener.incoming(0, {{2, {1, 3}}}), plan_error);
    CHECK_NOTHROW(evener.incoming(0, {{1, {1, 3}}}));

    auto flat_sender = direct{}.planner({0, nodes, mine, a});
    const auto more = expert_placement::from_rank_of_expert({0, 1, 1}, 2);
    auto flat_receiver = direct{}.planner({1, nodes, more, b});
    auto counts = flat_sender.outgoing(0);
    REQUIRE(counts.size() == 1);
    counts[0].peer = 0;
    CHECK_THROWS_AS(flat_receiver.incoming(0, counts), plan_error);
}
