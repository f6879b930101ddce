#include "locmoe/plan/validate.hpp"

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "locmoe/plan/direct.hpp"
#include "locmoe/plan/message_order.hpp"
#include "locmoe/plan/node_aggregated.hpp"
#include "locmoe/plan/plan_all.hpp"
#include "locmoe/plan/transpose.hpp"
#include "random_cases.hpp"

using namespace locmoe;

namespace {

/// 2 nodes of 2 ranks, every rank with tokens for every other.
std::vector<exchange_plan> busy_plans(node_aggregated strategy = {}) {
    const auto nodes = topology::uniform(2, 2);
    const auto placement = expert_placement::blocked(8, 4);
    random_cases::generator g(3);
    std::vector<assignment> assigned;
    for (int r = 0; r < 4; ++r) {
        routing decided = random_cases::any_routing(g, 8, 12, 2);
        for (std::size_t i = 0; i < decided.chosen.size(); ++i)
            decided.chosen[i] = static_cast<expert_id>((i * 5 + i / 8) % 8);
        assigned.push_back(assign(decided));
    }
    auto plans = plan_all(strategy, nodes, placement, assigned);
    for (exchange_plan& p : plans)
        p = ordered(p, nodes, rotated_order(nodes, nodes.node_of(p.rank), 1));
    return plans;
}

}  // namespace

TEST_CASE("validate accepts sound plans and refuses each broken one", "[plan]") {
    const auto sound = busy_plans();
    REQUIRE_NOTHROW(validate(sound));
    for (const exchange_plan& p : sound) REQUIRE_NOTHROW(validate(p));

    using breaker = std::pair<const char*, std::function<void(std::vector<exchange_plan>&)>>;
    const breaker breakers[] = {
        {"a rank that stands elsewhere", [](auto& p) { std::swap(p[0], p[1]); }},
        {"a pair listed twice", [](auto& p) { p[0].pair_slots[1] = p[0].pair_slots[0]; }},
        {"a pair outside T k", [](auto& p) { p[0].pair_slots[1] = 1000; }},
        {"a pair at another expert",
         [](auto& p) { p[0].pair_experts[0] = (p[0].pair_experts[0] + 1) % 8; }},
        {"a pair forgotten",
         [](auto& p) {
             p[0].pair_slots.pop_back();
             p[0].pair_experts.pop_back();
         }},
        {"a row outside its buffer", [](auto& p) { p[1].dispatch.deliver.from[0] = 100000; }},
        {"a negative row", [](auto& p) { p[1].dispatch.deliver.from[0] = -1; }},
        {"two rows swapped",
         [](auto& p) {
             auto& from = p[1].dispatch.deliver.from;
             std::swap(from.front(), from.back());
         }},
        {"a token packed for another",
         [](auto& p) {
             auto& from = p[2].dispatch.phases[1].pack.from;
             from[0] = from[1];
         }},
        {"a gap between segments", [](auto& p) { ++p[0].dispatch.phases[0].sends.back().first; }},
        {"a message of another size than its receive",
         [](auto& p) {
             auto& ph = p[0].dispatch.phases[1];
             ph.pack.from.push_back(ph.pack.from.back());
             ++ph.sends.back().rows;
         }},
        {"a message to the wrong peer", [](auto& p) { p[0].dispatch.phases[1].sends[0].peer = 3; }},
        {"a message to itself", [](auto& p) { p[0].dispatch.phases[1].sends[0].peer = 0; }},
        {"a message to nobody", [](auto& p) { p[0].dispatch.phases[1].sends[0].peer = 4; }},
        {"an empty message", [](auto& p) { p[0].dispatch.phases[0].sends[0].rows = 0; }},
        {"a pair's row at another pair's place",
         [](auto& p) {
             auto& from = p[1].pair_dispatch.deliver.from;
             std::swap(from.front(), from.back());
             p[1].pair_combine = transpose(p[1].pair_dispatch);
         }},
        {"a message more than there are receives",
         [](auto& p) {
             phase& step = p[0].dispatch.phases[0];
             step.sends.push_back({3, link_tier::inter_node,
                                   static_cast<row_index>(step.pack.rows()), 1});
             step.pack.from.push_back(0);
             step.send_order.clear();
         }},
        {"a receive that nobody sends",
         [](auto& p) {
             p[0].dispatch.phases[2].receives.push_back(
                 {1, link_tier::intra_node, p[0].dispatch.staging_rows, 1});
             ++p[0].dispatch.staging_rows;
         }},
        {"a send that nobody receives",
         [](auto& p) { p[0].pair_dispatch.phases[0].receives.clear(); }},
        {"packing before the rows are in", [](auto& p) { p[0].dispatch.phases[2].needs = 0; }},
        {"a phase that waits for a later one", [](auto& p) { p[0].dispatch.phases[0].needs = 2; }},
        {"a phase missing on one rank",
         [](auto& p) {
             p[3].pair_combine.phases.pop_back();
         }},
        {"combine that loses a row",
         [](auto& p) {
             auto& d = p[0].combine.deliver;
             d.from.pop_back();
             --d.first.back();
         }},
        {"combine that gives a row to another token",
         [](auto& p) {
             auto& f = p[0].combine.deliver.from;
             std::swap(f.front(), f.back());
         }},
        {"a pair's weight that goes to another pair",
         [](auto& p) {
             auto& f = p[0].pair_combine.deliver.from;
             std::swap(f.front(), f.back());
         }},
        {"an order of more messages than there are",
         [](auto& p) { p[0].dispatch.phases[0].send_order.push_back(0); }},
        {"a window on one rank alone", [](auto& p) { p[1].dispatch.phases[1].window = {}; }},
        {"expert rows that do not add up", [](auto& p) { ++p[2].expert_first.back(); }},
        {"a link that is another at the other end",
         [](auto& p) {
             link_tier& tier = p[0].dispatch.phases[1].sends[0].tier;
             tier = tier == link_tier::inter_node ? link_tier::intra_node : link_tier::inter_node;
         }},
        {"a message over no link",
         [](auto& p) { p[0].dispatch.phases[1].sends[0].tier = link_tier::self; }},
        {"a dispatch that adds up rows",
         [](auto& p) {
             row_sums& made = p[0].dispatch.deliver;
             for (row_index i = 0; i <= static_cast<row_index>(made.from.size()); ++i)
                 made.first.push_back(i);
         }},
        {"messages of more rows than there can be",
         [](auto& p) {
             for (segment& s : p[0].dispatch.phases[1].receives) s.rows = row_index{1} << 62;
         }},
        {"staging of more rows than there can be",
         [](auto& p) { p[0].dispatch.staging_rows = ~(row_index{1} << 63); }},
        {"a negative padding", [](auto& p) { for (auto& q : p) q.rows_per_source = -1; }},
        {"a padding of more rows than there can be",
         [](auto& p) { for (auto& q : p) q.rows_per_source = row_index{1} << 62; }},
        {"more choices than there can be",
         [](auto& p) { p[0].choice_count = std::size_t{1} << 63; }},
        {"choices whose product with the tokens wraps",
         [](auto& p) { p[0].choice_count = (std::size_t{1} << 62) + 2; }},
        {"the expert of the highest id there can be",
         [](auto& p) { p[3].experts.back() = 0x7fffffff; }},
        {"a negative expert", [](auto& p) { p[0].experts[0] = -2; }},
        {"fewer than no pairs dropped", [](auto& p) { p[0].dropped_pairs = -1; }},
        {"more pairs dropped than were chosen", [](auto& p) { p[0].dropped_pairs = 1; }},
        {"a claim of exactness on one rank alone",
         [](auto& p) {
             for (auto& q : p) q.combine = detail::exact_combine(q);
             for (auto& q : p) q.exact_combine = q.rank != 2;
         }},
        {"an expert on two ranks", [](auto& p) { p[2].experts[0] = p[1].experts[0]; }},
    };
    for (const auto& [what, do_break] : breakers) {
        auto broken = sound;
        do_break(broken);
        INFO(what);
        CHECK_THROWS_AS(validate(broken), plan_error);
    }
}

TEST_CASE("validate asks for no more memory than the plan has, whatever numbers stand in it",
          "[plan]") {
    exchange_plan plan;  // of no token and no expert
    plan.rank_count = ~std::size_t{0};
    plan.expert_first = {0};
    plan.choice_count = std::size_t{1} << 62;
    CHECK_NOTHROW(validate(plan));
}

TEST_CASE("one rank's plan alone shows what would read or write outside its buffers", "[plan]") {
    const exchange_plan sound = busy_plans()[1];
    using breaker = std::pair<const char*, std::function<void(flow&)>>;
    const breaker breakers[] = {
        {"a row just behind the last one",
         [](flow& f) { f.deliver.from[0] = f.source_rows + f.staging_rows; }},
        {"a row just behind those that have come in",
         [](flow& f) { f.phases[0].pack.from[0] = f.source_rows; }},
        {"a message that begins a row late", [](flow& f) { ++f.phases[1].sends.back().first; }},
        {"a receive that begins a row late", [](flow& f) { ++f.phases[1].receives.back().first; }},
        {"two receives in one place",
         [](flow& f) { f.phases[1].receives[0].first = f.phases[0].receives[0].first; }},
        {"a receive a row too long", [](flow& f) { ++f.phases[2].receives.back().rows; }},
        {"a message a row too long", [](flow& f) { ++f.phases[1].sends.back().rows; }},
        {"a message of no rows",
         [](flow& f) {
             phase& step = f.phases[0];
             step.send_order.clear();
             step.sends.push_back({3, link_tier::inter_node,
                                   static_cast<row_index>(step.pack.rows()), 0});
         }},
        {"staging that nothing fills", [](flow& f) { ++f.staging_rows; }},
    };
    for (const auto which : {&exchange_plan::dispatch, &exchange_plan::combine,
                             &exchange_plan::pair_dispatch, &exchange_plan::pair_combine})
        for (const auto& [what, do_break] : breakers) {
            exchange_plan broken = sound;
            do_break(broken.*which);
            INFO(what);
            CHECK_THROWS_AS(validate(broken), plan_error);
        }
}

TEST_CASE("a plan's error says the rank, the flow and what is wrong", "[plan]") {
    auto plans = busy_plans();
    plans[1].dispatch.phases[0].sends[0].peer = 1;
    CHECK_THROWS_WITH(validate(plans[1]),
                      Catch::Contains("plan of rank 1, dispatch: a message to itself"));
}

TEST_CASE("an order that lists a message twice is refused", "[plan]") {
    const auto nodes = topology::uniform(3, 1);
    routing decided;
    decided.token_count = decided.expert_count = 3;
    decided.choice_count = 1;
    decided.chosen = {0, 1, 2};
    decided.weights.assign(3, 1.0f);
    const std::vector<assignment> assigned(3, assign(decided));
    auto plan = plan_all(direct{}, nodes, expert_placement::blocked(3, 3), assigned)[0];
    plan = ordered(plan, nodes, rotated_order(nodes, 0));
    REQUIRE_NOTHROW(validate(plan));
    plan.combine.phases[0].receive_order = {1, 1};
    CHECK_THROWS_WITH(validate(plan), Catch::Contains("combine: message 1 of 2 twice"));
    plan.combine.phases[0].receive_order = {0, 2};
    CHECK_THROWS_WITH(validate(plan), Catch::Contains("message 2 of 2"));
}

TEST_CASE("a plan that wrongly claims that each pair comes home by itself is refused", "[plan]") {
    using breaker = std::pair<const char*, std::function<void(exchange_plan&)>>;
    const breaker breakers[] = {
        {"partial sums", [](auto& p) { p.combine = transpose(p.dispatch); }},
        {"pairs in another order",
         [](auto& p) { std::swap(p.combine.deliver.from[0], p.combine.deliver.from[1]); }},
        {"a phase that waits longer", [](auto& p) { ++p.combine.phases[1].needs; }},
        {"pairs that are added up on their way",
         [](auto& p) {
             for (flow* moved : {&p.combine, &p.pair_combine}) {
                 row_sums& made = moved->phases[0].pack;
                 for (row_index i = 0; i <= static_cast<row_index>(made.from.size()); ++i)
                     made.first.push_back(i);
             }
         }},
        {"results of pairs that are sums",
         [](auto& p) {
             row_sums& made = p.pair_combine.deliver;
             for (row_index i = 0; i <= static_cast<row_index>(made.from.size()); ++i)
                 made.first.push_back(i);
         }},
    };
    const exchange_plan sound = busy_plans(node_aggregated{.exact_combine = true})[1];
    REQUIRE_NOTHROW(validate(sound));
    for (const auto& [what, do_break] : breakers) {
        exchange_plan broken = sound;
        do_break(broken);
        INFO(what);
        CHECK_THROWS_WITH(validate(broken),
                          Catch::Contains("plan of rank 1, combine: does not bring each pair home "
                                          "by itself, as the plan says"));
    }
    exchange_plan posted_otherwise = sound;
    for (phase& p : posted_otherwise.combine.phases) {
        p.send_order.clear();
        p.receive_order.clear();
        p.window.messages += 1;
    }
    CHECK_NOTHROW(validate(posted_otherwise));
}
