#include "locmoe/plan/capacity_padded.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "locmoe/plan/describe.hpp"
#include "locmoe/plan/plan_all.hpp"
#include "locmoe/plan/replay.hpp"
#include "locmoe/plan/validate.hpp"
#include "random_cases.hpp"

using namespace locmoe;

namespace {

/// Ranks with one token each, every one of them to expert 0; experts 0 and 1 on ranks 0 and 1.
assignment one_token() {
    routing decided;
    decided.token_count = 1;
    decided.choice_count = 1;
    decided.expert_count = 2;
    decided.chosen = {0};
    decided.weights = {1.0f};
    return assign(decided);
}

}  // namespace

TEMPLATE_TEST_CASE("a padded plan is made by one rank alone without a word", "[plan]", direct,
                   node_aggregated, store_and_forward) {
    for (std::uint32_t seed = 0; seed < 300; ++seed) {
        const auto job = random_cases::any_job(seed);
        INFO(job.text);
        const capacity_padded strategy{TestType{}, random_cases::least_padded_capacity(job)};
        const auto together = plan_all(strategy, job.nodes, job.placement, job.assigned);
        for (std::size_t r = 0; r < together.size(); ++r) {
            auto planner = strategy.planner(
                {static_cast<rank_id>(r), job.nodes, job.placement, job.assigned[r]});
            REQUIRE(planner.rounds == 0);
            REQUIRE(planner.finish() == together[r]);
        }
    }
}

TEST_CASE("messages of a padded plan hang on cluster and capacity alone", "[plan]") {
    // 3 nodes of 2 ranks, 12 experts, 2 a rank, C = 3.
    const auto nodes = topology::uniform(3, 2);
    const auto placement = expert_placement::blocked(12, 6);
    random_cases::generator g(1);
    for (int routings = 0; routings < 20; ++routings) {
        std::vector<assignment> assigned;
        for (int r = 0; r < 6; ++r)
            assigned.push_back(
                assign(random_cases::any_routing(g, 12, 8, 2), {.capacity = 3}));
        for (const exchange_plan& p :
             plan_all(capacity_padded{direct{}, 3}, nodes, placement, assigned)) {
            const traffic t = p.traffic(10);
            CHECK(t.intra_node == tier_traffic{2 * 3, 1, 2 * 3 * 10});
            CHECK(t.inter_node == tier_traffic{8 * 3, 4, 8 * 3 * 10});
            CHECK(count_traffic(p.combine, 10) == t);
            CHECK(p.expert_row_count() == 2 * 6 * 3);
        }
        // The same rows between the nodes, as one message to each; the relay hands half of them on.
        for (const exchange_plan& p :
             plan_all(capacity_padded{node_aggregated{}, 3}, nodes, placement, assigned)) {
            const traffic t = p.traffic(10);
            CHECK(t.intra_node == tier_traffic{6 + 2 * 6, 2, 180});
            CHECK(t.inter_node == tier_traffic{8 * 3, 2, 240});
            CHECK(count_traffic(p.combine, 10) == t);
        }
    }
}

TEMPLATE_TEST_CASE("padded forms add floats in the order of direct to the bit", "[plan]", direct,
                   node_aggregated, store_and_forward) {
    for (std::uint32_t seed = 0; seed < 300; ++seed) {
        const auto job = random_cases::any_job(seed);
        INFO(job.text);
        const std::int64_t capacity = random_cases::least_padded_capacity(job);
        const auto flat = plan_all(direct{}, job.nodes, job.placement, job.assigned);
        const auto padded = plan_all(capacity_padded{TestType{}, capacity}, job.nodes,
                                     job.placement, job.assigned);
        random_cases::generator g(seed);
        std::vector<std::vector<float>> tokens;  // another number for each pair
        for (const exchange_plan& p : flat) {
            auto& t = tokens.emplace_back();
            for (std::size_t i = 0; i < p.pair_count(); ++i)
                t.push_back(static_cast<float>(g.up_to(1000000)) / 997.0f);
        }
        const auto round_trip = [&](const std::vector<exchange_plan>& plans) {
            return replay(std::span(plans), &exchange_plan::combine,
                          replay(std::span(plans), &exchange_plan::pair_dispatch, tokens));
        };
        REQUIRE(round_trip(padded) == round_trip(flat));
    }
}

TEST_CASE("a pair beyond the capacity is refused by expert and token", "[plan]") {
    const auto nodes = topology::uniform(2, 1);
    const auto placement = expert_placement::blocked(2, 2);
    routing decided;
    decided.token_count = 4;
    decided.choice_count = 1;
    decided.expert_count = 2;
    decided.chosen = {1, 0, 1, 1};
    decided.weights.assign(4, 1.0f);
    const std::vector<assignment> dropless(2, assign(decided));
    const std::vector<assignment> dropping(2, assign(decided, {.capacity = 2}));
    CHECK_THROWS_WITH(
        plan_all(capacity_padded{direct{}, 2}, nodes, placement, dropless),
        Catch::Contains("capacity_padded: pairs kept for expert 1 on rank 0: expected at most "
                        "C = 2, got one more with token 3"));
    CHECK_NOTHROW(plan_all(capacity_padded{direct{}, 2}, nodes, placement, dropping));
    CHECK_THROWS_WITH(plan_all(capacity_padded{direct{}, 0}, nodes, placement, dropping),
                      Catch::Contains("capacity on rank 0: expected at least 1, got 0"));
    CHECK_THROWS_WITH(
        plan_all(capacity_padded{direct{}, std::int64_t{1} << 62}, nodes, placement, dropping),
        Catch::Contains("capacity on rank 0: expected at most"));
    const capacity_padded chunked{node_aggregated{.chunks = 2}, 2};
    CHECK_THROWS_WITH(
        plan_all(chunked, nodes, placement, dropping),
        Catch::Contains("chunks of node_aggregated on rank 0: expected 1, got 2"));
}

TEST_CASE("validate finds what is wrong with empty rows", "[plan]") {
    const auto nodes = topology::uniform(2, 1);
    const auto placement = expert_placement::blocked(2, 2);
    const std::vector<assignment> assigned(2, one_token());
    const auto sound = plan_all(capacity_padded{direct{}, 2}, nodes, placement, assigned);
    REQUIRE_NOTHROW(validate(sound));
    // Rank 0 has rows [own token, empty, rank 1's token, empty].
    REQUIRE(sound[0].dispatch.deliver.from == std::vector<row_index>{0, empty_row, 1, 2});
    REQUIRE(sound[1].dispatch.phases[0].pack.from == std::vector<row_index>{0, empty_row});

    using breaker = std::pair<const char*, std::function<void(std::vector<exchange_plan>&)>>;
    const breaker breakers[] = {
        {"a token twice, in an empty row", [](auto& p) { p[0].dispatch.deliver.from[1] = 0; }},
        {"a token twice, there and back",
         [](auto& p) {
             p[0].dispatch.deliver.from[1] = 0;
             p[0].combine = transpose(p[0].dispatch);
         }},
        {"a token sent in an empty row",
         [](auto& p) { p[1].dispatch.phases[0].pack.from[1] = 0; }},
        {"a token lost", [](auto& p) { p[1].dispatch.phases[0].pack.from[0] = empty_row; }},
        {"an empty row before a token",
         [](auto& p) {
             auto& from = p[0].dispatch.deliver.from;
             std::swap(from[0], from[1]);
         }},
        {"a row below empty_row", [](auto& p) { p[0].dispatch.deliver.from[1] = -2; }},
        {"an empty row among a sum's sources",
         [](auto& p) { p[0].combine.deliver.from[0] = empty_row; }},
        {"an empty row that gives to a token",
         [](auto& p) {
             p[0].combine.deliver.from.push_back(1);
             ++p[0].combine.deliver.first.back();
         }},
        {"another capacity on one rank", [](auto& p) { p[1].rows_per_source = 3; }},
        {"a capacity that the rows do not have",
         [](auto& p) { p[0].rows_per_source = p[1].rows_per_source = 1; }},
        {"empty rows in a plan that is not padded",
         [](auto& p) { p[0].rows_per_source = p[1].rows_per_source = 0; }},
    };
    for (const auto& [what, do_break] : breakers) {
        auto broken = sound;
        do_break(broken);
        INFO(what);
        CHECK_THROWS_AS(validate(broken), plan_error);
    }
}

TEST_CASE("a padded plan says that its empty rows travel", "[plan]") {
    const auto plans =
        plan_all(capacity_padded{direct{}, 2}, topology::uniform(2, 1),
                 expert_placement::blocked(2, 2), std::vector<assignment>(2, one_token()));
    CHECK_THAT(describe(plans[0], 8),
               Catch::StartsWith("plan of rank 0 of 2: direct, padded to 2 rows\n") &&
                   Catch::Contains("1 pairs kept, 0 dropped; 4 rows for 1 experts here\n"
                                   "  padded to 2 rows for each rank and expert; all counts") &&
                   Catch::Contains("inter-node 2 rows, 1 messages, 16 bytes"));
    CHECK_THAT(describe(plans, 8), Catch::Contains("padded to 2 rows for each rank and expert") &&
                                       Catch::Contains("inter-node 4 rows, 2 messages"));
    CHECK_THAT(describe_json(plans[0], 8), Catch::Contains(R"("rows_per_source": 2)"));
}
