#include "locmoe/plan/trace_json.hpp"

#include <string>
#include <vector>

#include "locmoe/plan/node_aggregated.hpp"
#include "locmoe/plan/plan_all.hpp"

#include "catch.hpp"

using namespace locmoe;
using Catch::Contains;

namespace {

/// 2 nodes of 1 rank; each sends a token to the other.
std::vector<exchange_plan> two_ranks() {
    routing decided;
    decided.token_count = 1;
    decided.choice_count = 1;
    decided.expert_count = 2;
    decided.chosen = {1};
    decided.weights = {1};
    routing other = decided;
    other.chosen = {0};
    auto plans =
        plan_all(node_aggregated{}, topology::uniform(2, 1), expert_placement::blocked(2, 2),
                 std::vector<assignment>{assign(decided), assign(other)});
    for (exchange_plan& p : plans) {
        REQUIRE(p.dispatch.phases.size() == 3);
        p.dispatch.phases[0].name = "a \"b\" \\";
    }
    return plans;
}

}  // namespace

TEST_CASE("A trace has a process for each rank and a slice for each phase", "[plan]") {
    const auto plans = two_ranks();
    const std::vector<std::vector<phase_times>> times = {
        {{1e-6, 1.5e-6, 4e-6}, {0, 0, 0}, {4e-6, 4e-6, 4e-6}},
        {{0, 0, 2.25e-6}, {0, 0, 0}, {3e-6, 3e-6, 3e-6}}};
    const std::vector<timed_flow> flows = {{"dispatch", &exchange_plan::dispatch, times, 1e-3}};
    CHECK(trace_json(plans, topology::uniform(2, 1), flows) ==
          R"({"displayTimeUnit": "ns", "traceEvents": [
{"ph": "M", "pid": 0, "name": "process_name", "args": {"name": "rank 0 on node 0"}},
{"ph": "M", "name": "thread_name", "pid": 0, "tid": 0, "args": {"name": "dispatch: a \"b\" \\"}},
{"ph": "X", "name": "a \"b\" \\", "cat": "dispatch", "pid": 0, "tid": 0, "ts": 1001.000, "dur": 3.000, "args": {"rows_out": 1, "messages_out": 1, "rows_in": 1, "messages_in": 1}},
{"ph": "X", "name": "pack", "cat": "dispatch", "pid": 0, "tid": 0, "ts": 1001.000, "dur": 0.500},
{"ph": "M", "pid": 1, "name": "process_name", "args": {"name": "rank 1 on node 1"}},
{"ph": "M", "name": "thread_name", "pid": 1, "tid": 0, "args": {"name": "dispatch: a \"b\" \\"}},
{"ph": "X", "name": "a \"b\" \\", "cat": "dispatch", "pid": 1, "tid": 0, "ts": 1000.000, "dur": 2.250, "args": {"rows_out": 1, "messages_out": 1, "rows_in": 1, "messages_in": 1}}
]}
)");
}

TEST_CASE("Times that do not fit the plans make no trace", "[plan]") {
    const auto plans = two_ranks();
    const topology nodes = topology::uniform(2, 1);
    std::vector<std::vector<phase_times>> times(2, std::vector<phase_times>(2));
    const auto trace = [&](std::size_t ranks) {
        const std::vector<timed_flow> flows = {
            {"dispatch", &exchange_plan::dispatch, {times.data(), ranks}, 0}};
        return trace_json(plans, nodes, flows);
    };
    CHECK_THROWS_WITH(trace(2), Contains("times of dispatch on rank 0: expected 3 phases of 2 "
                                         "ranks, got 2 phases"));
    CHECK_THROWS_WITH(trace(1), Contains("got 1 ranks"));
    CHECK_THROWS_WITH(trace_json(plans, topology::uniform(3, 1), {}),
                      Contains("expected one for each of 3 ranks, got 2"));
}
