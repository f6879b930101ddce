#include "locmoe/exec/executor.hpp"

#include "catch.hpp"
#include "exec/executor_laws.hpp"
#include "exec/group_laws.hpp"
#include "locmoe/exec/in_process.hpp"

using namespace locmoe;

TEST_CASE("the executor carries every row, in every element type, under every strategy",
          "[exec]") {
    for (const std::size_t ranks : {1u, 2u, 3u, 4u, 5u, 8u})
        REQUIRE_NOTHROW(run_in_process(ranks, [&](in_process_backend& backend) {
            executor_laws::all_strategies_and_elements(backend, 15);
        }));
}

TEST_CASE("combine adds up in an order that the plan fixes", "[exec]") {
    for (const std::size_t ranks : {2u, 5u, 8u})
        REQUIRE_NOTHROW(run_in_process(ranks, [&](in_process_backend& backend) {
            executor_laws::sums_have_one_order(backend, 20);
        }));
}

TEST_CASE("dispatch carries every bit pattern unharmed", "[exec]") {
    REQUIRE_NOTHROW(run_in_process(3, [](in_process_backend& backend) {
        executor_laws::carries_every_bit_pattern(backend);
    }));
}

TEST_CASE("a layer of experts split over groups is that of whole experts", "[exec]") {
    for (std::uint32_t seed = 0; seed < 60; ++seed) {
        const auto job = grouped_cases::job_on(1 + seed % 4, 1 + seed / 4 % 4, seed);
        REQUIRE_NOTHROW(run_in_process(job.nodes.rank_count(), [&](in_process_backend& backend) {
            group_laws::layer_is_that_of_whole_experts(backend, job);
        }));
    }
}

TEST_CASE("results have the same bits on all ranks of a group", "[exec]") {
    for (std::uint32_t seed = 0; seed < 20; ++seed) {
        const auto job = grouped_cases::job_on(1 + seed % 3, 2 + seed % 3, seed);
        std::vector<std::vector<bf16>> results(job.nodes.rank_count());
        REQUIRE_NOTHROW(run_in_process(results.size(), [&](in_process_backend& backend) {
            const auto me = static_cast<std::size_t>(backend.rank());
            executor ex(backend, job.nodes, job.placement);
            const exchange_plan plan = ex.plan(job.assigned[me], group_wise{job.group_size});
            random_cases::generator g(seed * 64 + static_cast<std::uint32_t>(me));
            std::vector<bf16> y(plan.expert_row_count() * 3);
            for (bf16& v : y) v = bf16(static_cast<float>(g.up_to(1 << 20)) / 1023.0f - 300.0f);
            results[me].resize(plan.token_count * 3);
            ex.combine(plan, as_matrix(y, 3), std::vector<float>{}, as_matrix(results[me], 3));
        }));
        for (const auto& group : job.groups)
            for (const rank_id r : group)
                REQUIRE(executor_laws::same_bits(results[static_cast<std::size_t>(r)],
                                                 results[static_cast<std::size_t>(group[0])]));
    }
}

TEST_CASE("one rank's bad input fails on all ranks, before anything is sent", "[exec]") {
    for (const std::size_t ranks : {1u, 2u, 5u})
        REQUIRE_NOTHROW(run_in_process(ranks, [](in_process_backend& backend) {
            executor_laws::bad_input_fails_on_all_ranks(backend);
            executor_laws::each_wrong_argument_is_named(backend);
        }));
}

TEST_CASE("ranks that hold different topologies or placements are found out", "[exec]") {
    for (const std::size_t ranks : {2u, 3u})
        REQUIRE_NOTHROW(run_in_process(ranks, [](in_process_backend& backend) {
            executor_laws::disagreement_is_found(backend);
        }));
}
