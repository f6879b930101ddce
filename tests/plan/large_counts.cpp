// Counts and offsets of 2^40 rows, which no memory holds: by plans and loads that only say so.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "catch.hpp"
#include "locmoe/assign/assignment.hpp"
#include "locmoe/capacity/capacity_factor.hpp"
#include "locmoe/plan/chunk_count.hpp"
#include "locmoe/plan/describe.hpp"
#include "locmoe/plan/direct.hpp"
#include "locmoe/plan/price.hpp"
#include "locmoe/plan/split.hpp"
#include "locmoe/plan/traffic.hpp"
#include "locmoe/routing/routing.hpp"

using namespace locmoe;

namespace {

constexpr row_index many = row_index{1} << 40;
constexpr std::size_t row_bytes = 16384;

/// Two messages of 2^40 rows each way.
flow large_flow() {
    flow moved;
    phase& step = moved.phases.emplace_back();
    step.name = "large";
    step.sends = {{1, link_tier::intra_node, 0, many}, {2, link_tier::inter_node, many, many}};
    step.receives = {{1, link_tier::intra_node, 0, many}, {2, link_tier::inter_node, many, many}};
    moved.staging_rows = 2 * many;
    return moved;
}

}  // namespace

TEST_CASE("traffic of 2^40 rows is counted to the byte", "[plan]") {
    const traffic sent = count_traffic(large_flow(), row_bytes);
    const std::int64_t bytes = std::int64_t{1} << 54;
    CHECK(sent.intra_node == tier_traffic{many, 1, bytes});
    CHECK(sent.inter_node == tier_traffic{many, 1, bytes});
    traffic sum;
    for (int step = 0; step < 100; ++step) sum += sent;
    CHECK(sum.inter_node.bytes == 100 * bytes);
}

TEST_CASE("a window over 2^40 rows opens as many receives as asked for", "[plan]") {
    phase step = large_flow().phases[0];
    step.window = {3, std::size_t{2} << 20};
    CHECK(step.open_receives(row_bytes) == 3);
    step.window = {1, std::size_t{1} << 55};  // twice what is there
    CHECK(step.open_receives(row_bytes) == 2);
}

TEST_CASE("a plan of 2^40 rows is described with all its digits", "[plan]") {
    exchange_plan plan;
    plan.rank_count = 3;
    plan.expert_first = {0};
    plan.dispatch = large_flow();
    CHECK_THAT(describe_json(plan, row_bytes), Catch::Contains(std::to_string(many)));
    CHECK_THAT(describe_json(plan, row_bytes), Catch::Contains("18014398509481984"));
}

TEST_CASE("a rank may be told of 2^40 rows and of no more than can be counted", "[plan]") {
    const auto nodes = topology::uniform(2, 1);
    const auto placement = expert_placement::blocked(2, 2);
    routing none;
    none.choice_count = 1;
    none.expert_count = 2;
    const assignment nothing = assign(none);
    auto planner = direct{}.planner({0, nodes, placement, nothing});
    CHECK_NOTHROW(planner.incoming(0, {{1, {many}}}));
    auto overflowing = direct{}.planner({0, nodes, placement, nothing});
    CHECK_THROWS_AS(overflowing.incoming(0, {{1, {many}}, {1, {(row_index{1} << 48) - many + 1}}}),
                    plan_error);
}

TEST_CASE("tokens fall into chunks without overflow", "[plan]") {
    const std::size_t tokens = (std::size_t{1} << 40) + 5;
    const std::size_t chunks = 0x7fffffff;
    CHECK(detail::first_of_chunk(tokens, 0, chunks) == 0);
    CHECK(detail::first_of_chunk(tokens, chunks, chunks) == tokens);
    for (const std::size_t c : {std::size_t{1}, chunks / 2, chunks - 1}) {
        const std::size_t size = detail::first_of_chunk(tokens, c + 1, chunks) -
                                 detail::first_of_chunk(tokens, c, chunks);
        CHECK((size == tokens / chunks || size == tokens / chunks + 1));
    }
    for (std::size_t small = 0; small < 50; ++small)
        for (std::size_t c = 0; c <= 7; ++c)
            CHECK(detail::first_of_chunk(small, c, 7) == small * c / 7);
}

TEST_CASE("positions behind 2^40 pairs of other ranks keep count", "[assign]") {
    routing decided;
    decided.token_count = 3;
    decided.choice_count = decided.expert_count = 1;
    decided.chosen = {0, 0, 0};
    decided.weights.assign(3, 1.0f);
    const std::vector<std::int64_t> before{many};
    const assignment a = assign(decided, {.capacity = many + 2, .before = before});
    CHECK(a.position == std::vector<std::int64_t>{many, many + 1, -1});
    CHECK(a.kept_count() == 2);
    const std::vector<std::int64_t> most{~(std::int64_t{1} << 63)};
    CHECK(assign(decided, {.before = most}).kept_count() == 0);
}

TEST_CASE("a capacity for 2^40 tokens is exact", "[capacity]") {
    CHECK(capacity_from_factor(1.25, {std::size_t{1} << 40, 8, 256}) == std::size_t{5} << 33);
}

TEST_CASE("loads of 2^40 rows are priced by their bytes", "[plan]") {
    const auto nodes = topology::uniform(2, 1);
    row_loads loads(nodes, direct{}.phase_shapes(nodes), 1);
    loads.add(0, 0, 1, many);
    loads.add(0, 1, 0, many);
    cluster_costs costs;
    const cost_estimate cost = price("direct", loads, std::vector<std::int64_t>{many}, row_bytes, costs);
    const double least = static_cast<double>(many) * static_cast<double>(row_bytes) /
                         costs.inter_node.nic_bandwidth * 1e9;
    CHECK(static_cast<double>(cost.nanoseconds) >= least * 0.999);
    CHECK(cost.nanoseconds < (std::int64_t{1} << 62));
}
