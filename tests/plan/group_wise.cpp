#include "locmoe/plan/group_wise.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <set>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "exec/backend_laws.hpp"
#include "grouped_cases.hpp"
#include "locmoe/plan/describe.hpp"
#include "locmoe/plan/lower_bound.hpp"
#include "locmoe/plan/plan_all.hpp"
#include "locmoe/plan/replay.hpp"
#include "locmoe/plan/simulate.hpp"
#include "locmoe/plan/validate.hpp"

using namespace locmoe;
using grouped_cases::any_job;
using grouped_cases::job;

namespace {

constexpr std::uint32_t cases = 1000;

using numbers = std::vector<std::vector<std::int64_t>>;

std::int64_t random_number(std::size_t a, std::size_t b, std::size_t c) {
    return backend_laws::mixed(a, b, c, 5) % 1000;
}

std::vector<exchange_plan> plans_of(const job& j) {
    return plan_all(group_wise{j.group_size}, j.nodes, j.placement, j.assigned);
}

}  // namespace

TEST_CASE("group_wise gives all rows of an expert to its group and all results to the token's",
          "[plan]") {
    for (std::uint32_t seed = 0; seed < cases; ++seed) {
        const job j = any_job(seed);
        INFO(j.text);
        const auto plans = plans_of(j);
        REQUIRE_NOTHROW(validate(plans));
        const auto placed = grouped_cases::place_by_hand(j);
        const std::size_t ranks = j.nodes.rank_count();

        numbers tokens(ranks), pairs(ranks), rows(ranks), row_pairs(ranks), partial(ranks);
        numbers results(ranks), pair_results(ranks);
        for (std::size_t r = 0; r < ranks; ++r) {
            const std::size_t g = j.group_of[r];
            const exchange_plan& p = plans[r];
            REQUIRE(p.group == j.groups[g]);
            for (std::size_t t = 0; t < p.token_count; ++t)
                tokens[r].push_back(random_number(g, t, 0));
            for (const std::int64_t slot : p.pair_slots)
                pairs[r].push_back(random_number(g, static_cast<std::size_t>(slot), 1));
            results[r].assign(p.token_count, 0);
            pair_results[r].assign(p.pair_count(), 0);
            for (std::size_t i = 0; i < placed[g].size(); ++i) {
                const auto& w = placed[g][i];
                rows[r].push_back(random_number(w.group, w.slot / p.choice_count, 0));
                row_pairs[r].push_back(random_number(w.group, w.slot, 1));
                partial[r].push_back(random_number(r, i, 2));
            }
        }
        REQUIRE(replay(std::span(plans), &exchange_plan::dispatch, tokens) == rows);
        REQUIRE(replay(std::span(plans), &exchange_plan::pair_dispatch, pairs) == row_pairs);

        for (std::size_t r = 0; r < ranks; ++r)
            for (std::size_t at = 0; at < ranks; ++at)
                for (std::size_t i = 0; i < placed[j.group_of[at]].size(); ++i) {
                    const auto& w = placed[j.group_of[at]][i];
                    if (w.group != j.group_of[r]) continue;
                    results[r][w.slot / plans[r].choice_count] += partial[at][i];
                    for (std::size_t pair = 0; pair < plans[r].pair_count(); ++pair)
                        if (plans[r].pair_slots[pair] == static_cast<std::int64_t>(w.slot))
                            pair_results[r][pair] += partial[at][i];
                }
        REQUIRE(replay(std::span(plans), &exchange_plan::combine, partial) == results);
        REQUIRE(replay(std::span(plans), &exchange_plan::pair_combine, partial) == pair_results);

        // <A x, y> = <x, combine y>, the inputs of a group counted once.
        std::int64_t forward = 0;
        std::int64_t back = 0;
        for (std::size_t r = 0; r < ranks; ++r) {
            for (std::size_t i = 0; i < rows[r].size(); ++i) forward += rows[r][i] * partial[r][i];
            for (std::size_t t = 0; t < tokens[r].size(); ++t)
                back += tokens[r][t] * results[r][t];
        }
        REQUIRE(forward * static_cast<std::int64_t>(j.group_size) == back);
    }
}

TEST_CASE("group_wise sends a token to another group once and not g times", "[plan]") {
    for (std::uint32_t seed = 0; seed < cases; ++seed) {
        const job j = any_job(seed);
        INFO(j.text);
        const auto plans = plans_of(j);
        traffic sent;
        traffic back;
        for (const exchange_plan& p : plans) {
            sent += p.traffic(1);
            back += count_traffic(p.combine, 1);
        }
        std::int64_t away = 0;       // (token, group on another node) that it needs
        std::int64_t neighbour = 0;  // (token, other group on its own node)
        std::int64_t own = 0;        // tokens that need their own group
        std::int64_t any = 0;        // tokens that need a group at all
        for (std::size_t g = 0; g < j.groups.size(); ++g) {
            const assignment& a = j.assigned[static_cast<std::size_t>(j.groups[g][0])];
            std::set<std::pair<std::size_t, std::size_t>> wanted;
            std::set<std::size_t> tokens;
            for (std::size_t i = 0; i < a.expert.size(); ++i)
                if (a.expert[i] != no_expert) {
                    const auto to = static_cast<std::size_t>(j.placement.rank_of(a.expert[i]));
                    wanted.emplace(i / a.choice_count, j.group_of[to]);
                    tokens.insert(i / a.choice_count);
                }
            any += static_cast<std::int64_t>(tokens.size());
            for (const auto& [token, to] : wanted)
                ++(to == g ? own
                   : j.nodes.same_node(j.groups[g][0], j.groups[to][0]) ? neighbour
                                                                        : away);
        }
        const auto others = static_cast<std::int64_t>(j.group_size) - 1;
        REQUIRE(sent.inter_node.rows == away);
        REQUIRE(back.inter_node.rows == away);
        REQUIRE(sent.intra_node.rows == neighbour + others * (away + neighbour));
        REQUIRE(back.intra_node.rows ==
                neighbour + others * (away + neighbour + own) + others * any);
    }
}

TEST_CASE("group_wise spreads what a group sends over its ranks", "[plan]") {
    // 2 nodes of 4 ranks, a group each; 8 tokens, all to experts of the other node.
    const auto nodes = topology::uniform(2, 4);
    const auto placement = expert_placement::from_rank_of_expert({1, 6}, 8);
    routing decided;
    decided.token_count = 8;
    decided.choice_count = 1;
    decided.expert_count = 2;
    decided.weights.assign(8, 1.0f);
    std::vector<assignment> assigned;
    for (rank_id r = 0; r < 8; ++r) {
        decided.chosen.assign(8, r < 4 ? 1 : 0);
        assigned.push_back(assign(decided));
    }
    for (const exchange_plan& p : plan_all(group_wise{4}, nodes, placement, assigned)) {
        CHECK(p.traffic(10).inter_node == tier_traffic{2, 1, 20});
        CHECK(p.dispatch.phases[0].sends[0].peer == (p.rank + 4) % 8);
        CHECK(p.traffic(10).intra_node == tier_traffic{3 * 2, 3, 60});
        CHECK(p.expert_row_count() == 8);
    }
    // A group a rank is the naive exchange of ranks that hold their own tokens: 8 rows each.
    for (const exchange_plan& p : plan_all(group_wise{1}, nodes, placement, assigned))
        CHECK(p.traffic(10).inter_node.rows == 8);
}

TEST_CASE("the bound for grouped plans counts a group's token once", "[plan]") {
    for (std::uint32_t seed = 0; seed < 200; ++seed) {
        const job j = any_job(seed);
        INFO(j.text);
        const auto plans = plans_of(j);
        std::vector<std::int64_t> in(j.nodes.node_count(), 0), out(in);
        for (std::size_t g = 0; g < j.groups.size(); ++g) {
            const assignment& a = j.assigned[static_cast<std::size_t>(j.groups[g][0])];
            std::set<std::pair<std::size_t, node_id>> wanted;
            for (std::size_t i = 0; i < a.expert.size(); ++i)
                if (a.expert[i] != no_expert)
                    wanted.emplace(i / a.choice_count,
                                   j.nodes.node_of(j.placement.rank_of(a.expert[i])));
            for (const auto& [token, to] : wanted)
                if (to != j.nodes.node_of(j.groups[g][0])) {
                    ++in[static_cast<std::size_t>(to)];
                    ++out[static_cast<std::size_t>(j.nodes.node_of(j.groups[g][0]))];
                }
        }
        std::int64_t most = 0;
        for (std::size_t n = 0; n < in.size(); ++n)
            for (const std::int64_t rows : {in[n], out[n]}) most = rows > most ? rows : most;
        cluster_costs costs;
        costs.inter_node.rank_bandwidth = 1e18;
        REQUIRE(lower_bound(plans, 4096, j.nodes, costs).nodes ==
                Approx(static_cast<double>(most) * 4096 / costs.inter_node.nic_bandwidth));
        for (const auto which : {&exchange_plan::dispatch, &exchange_plan::combine})
            REQUIRE(simulate(plans, which, 4096, j.nodes, cluster_costs{}).seconds >=
                    0.99 * lower_bound(plans, 4096, j.nodes, cluster_costs{}).seconds());
    }
}

TEST_CASE("ranks of a group with different assignments are found out by name", "[plan]") {
    const auto nodes = topology::uniform(2, 2);
    const auto placement = expert_placement::blocked(4, 4);
    random_cases::generator g(1);
    const assignment one = assign(random_cases::any_routing(g, 4, 6, 2));
    const std::vector<assignment> alike(4, one);
    REQUIRE_NOTHROW(plan_all(group_wise{2}, nodes, placement, alike));
    for (std::size_t i = 0; i < one.expert.size(); ++i) {
        std::vector<assignment> assigned = alike;
        expert_id& e = assigned[3].expert[i];
        e = e == 3 ? no_expert : e + 1;
        CHECK_THROWS_AS(plan_all(group_wise{2}, nodes, placement, assigned), plan_error);
        CHECK_THROWS_WITH(plan_all(group_wise{2}, nodes, placement, assigned),
                          Catch::Contains("group_wise: ranks 3 and 2 stand in one group of 2 and "
                                          "hold different assignments"));
    }
}

TEST_CASE("group_wise refuses words that no rank can have meant", "[plan]") {
    const auto nodes = topology::uniform(2, 2);
    const auto placement = expert_placement::blocked(4, 4);
    routing none;
    none.choice_count = 1;
    none.expert_count = 4;
    const assignment idle = assign(none);
    const auto planner = [&] { return group_wise{2}.planner({0, nodes, placement, idle}); };
    const message neighbour = group_wise{2}.planner({1, nodes, placement, idle}).outgoing(0).at(0);
    const std::int64_t print = neighbour.words.at(0);
    const auto round_0 = [&](message from_2) {
        auto p = planner();
        p.incoming(0, {{1, {print}}, std::move(from_2)});
    };
    CHECK_NOTHROW(round_0({2, {1, 2, 3}}));
    CHECK_THROWS_WITH(round_0({2, {2}}), Catch::Contains("what rank 2 announced to rank 0"));
    CHECK_THROWS_AS(round_0({2, {5}}), plan_error);      // expert 2 is not here
    CHECK_THROWS_AS(round_0({2, {9}}), plan_error);      // nor anywhere
    CHECK_THROWS_AS(round_0({2, {1, -1}}), plan_error);  // no group forwards in the first round
    CHECK_THROWS_AS(round_0({3, {1}}), plan_error);      // not its counterpart
    auto unheard = planner();
    CHECK_THROWS_AS(unheard.incoming(0, {}), plan_error);
    auto forwarded = planner();
    CHECK_NOTHROW(forwarded.incoming(1, {{1, {-2, 1, 3}}}));
    for (const std::vector<std::int64_t>& words :
         {std::vector<std::int64_t>{1}, {-3, 1}, {-2, 2}, {-2, 5}})
        CHECK_THROWS_AS(forwarded.incoming(1, {{1, words}}), plan_error);
    CHECK_THROWS_AS(forwarded.incoming(1, {{2, {-2, 1}}}), plan_error);
}

TEST_CASE("validate finds what is wrong with a group", "[plan]") {
    // 2 nodes of 2 ranks, a group each, tokens of both for every expert.
    routing decided;
    decided.token_count = 9;
    decided.choice_count = 2;
    decided.expert_count = 4;
    for (int i = 0; i < 18; ++i) decided.chosen.push_back(static_cast<expert_id>((i + i / 4) % 4));
    decided.weights.assign(18, 1.0f);
    const auto sound =
        plan_all(group_wise{2}, topology::uniform(2, 2), expert_placement::blocked(4, 4),
                 std::vector<assignment>(4, assign(decided)));
    REQUIRE_NOTHROW(validate(sound));
    using breaker = std::pair<const char*, std::function<void(std::vector<exchange_plan>&)>>;
    const breaker breakers[] = {
        {"an expert on one rank of its group alone", [](auto& p) { p[1].experts.back() = 3; }},
        {"other pairs on one rank",
         [](auto& p) { std::swap(p[1].pair_slots[0], p[1].pair_slots[1]); }},
        {"a rank outside its own group", [](auto& p) { p[1].group = {2, 3}; }},
        {"a group of one", [](auto& p) { p[1].group = {}; }},
        {"a group that does not ascend", [](auto& p) { p[0].group = p[1].group = {1, 0}; }},
        {"a rank of nobody", [](auto& p) { p[0].group.push_back(4); }},
        {"no groups at all",
         [](auto& p) {
             for (exchange_plan& plan : p) plan.group.clear();
         }},
        {"a row missing on the second rank",
         [](auto& p) {
             auto& from = p[1].dispatch.deliver.from;
             std::swap(from.front(), from.back());
         }},
        {"a result that another rank of the group does not have",
         [](auto& p) {
             p[1].combine.deliver.from.pop_back();
             --p[1].combine.deliver.first.back();
         }},
        {"a row's partial output lost",
         [](auto& p) {
             auto& from = p[1].combine.phases[0].pack.from;
             from[0] = from[1];
         }},
        {"a sum that goes to another token on the whole group",
         [](auto& p) {
             for (const std::size_t r : {0u, 1u}) {
                 auto& from = p[r].combine.deliver.from;
                 std::swap(from.front(), from.back());
             }
         }},
        {"experts that do not ascend",
         [](auto& p) {
             for (exchange_plan& plan : p) std::swap(plan.experts[0], plan.experts[1]);
         }},
    };
    for (const auto& [what, do_break] : breakers) {
        auto broken = sound;
        do_break(broken);
        INFO(what);
        CHECK_THROWS_AS(validate(broken), plan_error);
    }
}

TEST_CASE("a plan for a group says so", "[plan]") {
    const auto nodes = topology::uniform(2, 2);
    const auto placement = expert_placement::blocked(4, 4);
    routing decided;
    decided.token_count = 2;
    decided.choice_count = 1;
    decided.expert_count = 4;
    decided.chosen = {0, 3};
    decided.weights.assign(2, 1.0f);
    const auto plans =
        plan_all(group_wise{2}, nodes, placement, std::vector<assignment>(4, assign(decided)));
    CHECK_THAT(describe(plans[3], 8),
               Catch::StartsWith("plan of rank 3 of 4: group_wise, groups of 2\n") &&
                   Catch::Contains("experts are those of the group of ranks 2, 3\n"));
    CHECK_THAT(describe(plans, 8), Catch::Contains("  4 pairs kept, 0 dropped"));
    CHECK_THAT(describe_json(plans[3], 8), Catch::Contains(R"("group": [2, 3])"));
}
