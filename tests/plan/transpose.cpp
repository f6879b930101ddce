#include "locmoe/plan/transpose.hpp"

#include <cstdint>
#include <vector>

#include "catch.hpp"
#include "locmoe/plan/capacity_padded.hpp"
#include "locmoe/plan/direct.hpp"
#include "locmoe/plan/node_aggregated.hpp"
#include "locmoe/plan/node_balanced.hpp"
#include "locmoe/plan/plan_all.hpp"
#include "locmoe/plan/replay.hpp"
#include "locmoe/plan/store_and_forward.hpp"
#include "random_cases.hpp"

using namespace locmoe;

namespace {

using numbers = std::vector<std::vector<std::int64_t>>;

std::int64_t inner(const numbers& a, const numbers& b) {
    std::int64_t sum = 0;
    for (std::size_t r = 0; r < a.size(); ++r) {
        REQUIRE(a[r].size() == b[r].size());
        for (std::size_t i = 0; i < a[r].size(); ++i) sum += a[r][i] * b[r][i];
    }
    return sum;
}

numbers random_rows(random_cases::generator& g, const std::vector<exchange_plan>& plans,
                    flow exchange_plan::* which) {
    numbers out;
    for (const exchange_plan& p : plans) {
        auto& o = out.emplace_back();
        for (row_index i = 0; i < (p.*which).source_rows; ++i)
            o.push_back(static_cast<std::int64_t>(g.up_to(2000)) - 1000);
    }
    return out;
}

}  // namespace

TEMPLATE_TEST_CASE("<A x, y> = <x, A^T y>, exactly, on integers", "[plan]", direct,
                   node_aggregated, node_balanced, store_and_forward) {
    for (std::uint32_t seed = 0; seed < 1000; ++seed) {
        const auto job = random_cases::any_job(seed);
        INFO(job.text);
        const auto plans = plan_all(TestType{}, job.nodes, job.placement, job.assigned);
        random_cases::generator g(seed);
        const numbers x = random_rows(g, plans, &exchange_plan::dispatch);
        const numbers y = random_rows(g, plans, &exchange_plan::combine);
        REQUIRE(inner(replay(std::span(plans), &exchange_plan::dispatch, x), y) ==
                inner(x, replay(std::span(plans), &exchange_plan::combine, y)));
    }
}

TEMPLATE_TEST_CASE("what comes back for an empty row goes nowhere", "[plan]", direct,
                   node_aggregated, store_and_forward) {
    for (std::uint32_t seed = 0; seed < 500; ++seed) {
        const auto job = random_cases::any_job(seed);
        INFO(job.text);
        const std::int64_t capacity = random_cases::least_padded_capacity(job) + 1;
        const auto plans = plan_all(capacity_padded{TestType{}, capacity}, job.nodes,
                                    job.placement, job.assigned);
        random_cases::generator g(seed);
        const numbers x = random_rows(g, plans, &exchange_plan::dispatch);
        const numbers y = random_rows(g, plans, &exchange_plan::combine);
        REQUIRE(inner(replay(std::span(plans), &exchange_plan::dispatch, x), y) ==
                inner(x, replay(std::span(plans), &exchange_plan::combine, y)));
        std::vector<exchange_plan> twice = plans;
        for (exchange_plan& p : twice) p.dispatch = transpose(transpose(p.dispatch));
        REQUIRE(replay(std::span(twice), &exchange_plan::dispatch, x) ==
                replay(std::span(plans), &exchange_plan::dispatch, x));
    }
}

TEMPLATE_TEST_CASE("the transpose of the transpose moves the same rows", "[plan]", direct,
                   node_aggregated, node_balanced, store_and_forward) {
    for (std::uint32_t seed = 0; seed < 500; ++seed) {
        const auto job = random_cases::any_job(seed);
        INFO(job.text);
        auto plans = plan_all(TestType{}, job.nodes, job.placement, job.assigned);
        random_cases::generator g(seed);
        const numbers x = random_rows(g, plans, &exchange_plan::dispatch);
        const numbers once = replay(std::span(plans), &exchange_plan::dispatch, x);
        for (exchange_plan& p : plans) {
            const flow twice = transpose(transpose(p.dispatch));
            for (std::size_t i = 0; i < twice.phases.size(); ++i) {
                REQUIRE(twice.phases[i].sends == p.dispatch.phases[i].sends);
                REQUIRE(twice.phases[i].receives == p.dispatch.phases[i].receives);
                REQUIRE(twice.phases[i].pack == p.dispatch.phases[i].pack);
            }
            p.dispatch = twice;
        }
        REQUIRE(replay(std::span(plans), &exchange_plan::dispatch, x) == once);
    }
}

TEST_CASE("what direct combines with is the transpose of its dispatch, as data", "[plan]") {
    std::size_t gathers = 0;
    for (std::uint32_t seed = 0; seed < 1000; ++seed) {
        const auto job = random_cases::any_job(seed);
        INFO(job.text);
        for (const exchange_plan& p : plan_all(direct{}, job.nodes, job.placement, job.assigned)) {
            REQUIRE(p.combine == transpose(p.dispatch));
            gathers += p.combine.deliver.is_gather();
        }
    }
    CHECK(gathers > 100);
}

TEST_CASE("a row made from nothing goes back to nowhere", "[plan]") {
    flow padded;
    padded.source_rows = 2;
    padded.staging_rows = 2;
    phase& sent = padded.phases.emplace_back();
    sent.pack.from = {1, -1, 0};
    sent.sends = {{1, link_tier::intra_node, 0, 3}};
    sent.receives = {{1, link_tier::intra_node, 0, 2}};
    padded.deliver.from = {-1, 2, -1};
    const flow back = transpose(padded);
    CHECK(back.source_rows == 3);
    CHECK(back.staging_rows == 3);
    CHECK(back.phases[0].pack == row_sums{{1}, {0, 1, 1}});  // the second row received is not used
    CHECK(back.deliver == row_sums{{5, 3}, {}});
    padded.deliver.from = {3, 2, -1};  // as many uses as rows
    CHECK(transpose(padded).phases[0].pack == row_sums{{1, 0}, {}});
    padded.phases[0].pack.from = {1, -1, 1};
    CHECK(transpose(padded).deliver == row_sums{{3, 5}, {0, 0, 2}});
}

TEST_CASE("a relay adds up before it sends back", "[plan]") {
    // One token on node 0 chose experts 2 and 3, each on a rank of its own on node 1.
    const auto nodes = topology::uniform(2, 2);
    const auto placement = expert_placement::blocked(4, 4);
    routing decided;
    decided.token_count = 1;
    decided.choice_count = 2;
    decided.expert_count = 4;
    decided.chosen = {2, 3};
    decided.weights = {0.5f, 0.5f};
    routing idle = decided;
    idle.token_count = 0;
    idle.chosen.clear();
    idle.weights.clear();
    const std::vector<assignment> assigned{assign(decided), assign(idle), assign(idle),
                                           assign(idle)};
    const auto plans = plan_all(node_aggregated{}, nodes, placement, assigned);
    const phase& home = plans[2].combine.phases[2];  // "to relays, back"
    REQUIRE(home.pack.rows() == 1);
    CHECK(home.pack.sources(0).size() == 2);
    CHECK(home.needs == 1);
    const numbers back = replay<std::int64_t>(plans, &exchange_plan::combine, {{}, {}, {5}, {7}});
    CHECK(back == numbers{{12}, {}, {}, {}});
}
