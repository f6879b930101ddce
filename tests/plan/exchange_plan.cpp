#include "locmoe/plan/exchange_plan.hpp"

#include <vector>

#include "catch.hpp"
#include "locmoe/plan/node_aggregated.hpp"
#include "locmoe/plan/plan_all.hpp"

using namespace locmoe;

namespace {

/// A plan of two ranks on two nodes, with a message each way and a reason for its strategy.
exchange_plan any_plan() {
    routing decided;
    decided.token_count = decided.choice_count = decided.expert_count = 2;
    decided.chosen = {0, 1, 1, 0};
    decided.weights.assign(4, 0.5f);
    const std::vector<assignment> assigned(2, assign(decided));
    exchange_plan plan = plan_all(node_aggregated{}, topology::uniform(2, 1),
                                  expert_placement::blocked(2, 2), assigned)[0];
    cost_estimate estimate;
    estimate.phases.emplace_back();
    plan.choice = plan_choice{16, {estimate}, 1};
    return plan;
}

}  // namespace

TEST_CASE("a plan that differs in any field is another plan", "[plan]") {
    const exchange_plan plan = any_plan();
    CHECK(exchange_plan(plan) == plan);
    const auto other = [&](const char* field, auto&& change) {
        INFO(field);
        exchange_plan changed = plan;
        change(changed);
        CHECK_FALSE(changed == plan);
    };
    using p = exchange_plan;
    other("strategy", [](p& x) { x.strategy += "?"; });
    other("rank", [](p& x) { ++x.rank; });
    other("rank_count", [](p& x) { ++x.rank_count; });
    other("token_count", [](p& x) { ++x.token_count; });
    other("choice_count", [](p& x) { ++x.choice_count; });
    other("pair_slots", [](p& x) { ++x.pair_slots[0]; });
    other("pair_experts", [](p& x) { ++x.pair_experts[0]; });
    other("experts", [](p& x) { ++x.experts[0]; });
    other("expert_first", [](p& x) { ++x.expert_first[0]; });
    other("rows_per_source", [](p& x) { ++x.rows_per_source; });
    other("dropped_pairs", [](p& x) { ++x.dropped_pairs; });
    other("exact_combine", [](p& x) { x.exact_combine = !x.exact_combine; });
    other("group", [](p& x) { x.group.push_back(0); });
    other("choice", [](p& x) { x.choice.reset(); });
    other("combine", [](p& x) { ++x.combine.source_rows; });
    other("pair_dispatch", [](p& x) { ++x.pair_dispatch.source_rows; });
    other("pair_combine", [](p& x) { ++x.pair_combine.source_rows; });

    const auto other_flow = [&](const char* field, auto&& change) {
        other(field, [&](p& x) { change(x.dispatch); });
    };
    other_flow("source_rows", [](flow& f) { ++f.source_rows; });
    other_flow("staging_rows", [](flow& f) { ++f.staging_rows; });
    other_flow("phases", [](flow& f) { f.phases.pop_back(); });
    other_flow("deliver.from", [](flow& f) { f.deliver.from.push_back(0); });
    other_flow("deliver.first", [](flow& f) { f.deliver.first.push_back(0); });
    const auto other_phase = [&](const char* field, auto&& change) {
        other_flow(field, [&](flow& f) { change(f.phases[0]); });
    };
    other_phase("name", [](phase& s) { s.name += "?"; });
    other_phase("pack", [](phase& s) { ++s.pack.from[0]; });
    other_phase("sends", [](phase& s) { s.sends.clear(); });
    other_phase("receives", [](phase& s) { ++s.receives[0].rows; });
    other_phase("peer", [](phase& s) { ++s.sends[0].peer; });
    other_phase("tier", [](phase& s) { s.sends[0].tier = link_tier::self; });
    other_phase("first", [](phase& s) { ++s.sends[0].first; });
    other_phase("needs", [](phase& s) { ++s.needs; });
    other_phase("send_order", [](phase& s) { s.send_order.push_back(0); });
    other_phase("receive_order", [](phase& s) { s.receive_order.push_back(0); });
    other_phase("window.messages", [](phase& s) { ++s.window.messages; });
    other_phase("window.bytes", [](phase& s) { ++s.window.bytes; });

    other("row_bytes", [](p& x) { ++x.choice->row_bytes; });
    other("lower_bound", [](p& x) { ++x.choice->lower_bound; });
    const auto other_price = [&](const char* field, auto&& change) {
        other(field, [&](p& x) { change(x.choice->candidates[0]); });
    };
    using price = cost_estimate;
    other_price("strategy", [](price& c) { c.strategy += "?"; });
    other_price("nanoseconds", [](price& c) { ++c.nanoseconds; });
    other_price("phases", [](price& c) { c.phases.clear(); });
    other_price("deliver", [](price& c) { ++c.deliver; });
    other_price("declined", [](price& c) { c.declined += "?"; });
    other_price("window", [](price& c) { ++c.window; });
    other_price("name", [](price& c) { c.phases[0].name += "?"; });
    other_price("tier", [](price& c) { c.phases[0].tier = link_tier::self; });
    other_price("needs", [](price& c) { ++c.phases[0].needs; });
    other_price("latency", [](price& c) { ++c.phases[0].latency; });
    other_price("overhead", [](price& c) { ++c.phases[0].overhead; });
    other_price("bytes", [](price& c) { ++c.phases[0].bytes; });
    other_price("pack", [](price& c) { ++c.phases[0].pack; });
}
