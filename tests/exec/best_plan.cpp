#include "locmoe/exec/best_plan.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "catch.hpp"
#include "locmoe/exec/in_process.hpp"
#include "locmoe/exec/simulated.hpp"
#include "locmoe/plan/validate.hpp"
#include "random_cases.hpp"

using namespace locmoe;

TEST_CASE("all ranks together choose what one process chooses for them", "[exec]") {
    std::size_t windows = 0;
    for (std::uint32_t seed = 0; seed < 60; ++seed) {
        const auto job = random_cases::any_job(seed, 7);
        plan_options options{.row_bytes = std::size_t{8} << seed % 14, .costs = {}};
        if (seed % 2 == 1) {  // orders with a window
            options.row_bytes = std::size_t{1} << 22;
            options.costs.inter_node.fan_in_loss = 0.8;
        }
        const auto expected = best_plan_all(job.nodes, job.placement, job.assigned, options);
        windows += expected[0].choice->chosen().window > 0;
        std::vector<exchange_plan> plans(job.nodes.rank_count());
        run_in_process(plans.size(), [&](in_process_backend& backend) {
            executor exchange(backend, job.nodes, job.placement);
            const auto me = static_cast<std::size_t>(backend.rank());
            plans[me] = best_plan(exchange, job.assigned[me], options);
        });
        INFO(job.text);
        REQUIRE_NOTHROW(validate(plans));
        for (std::size_t r = 0; r < plans.size(); ++r) {
            CHECK(plans[r].choice == expected[r].choice);
            CHECK(plans[r].strategy == expected[r].strategy);
            CHECK(plans[r].dispatch == expected[r].dispatch);
        }
    }
    CHECK(windows > 0);
}

TEST_CASE("one rank with other options or a bad assignment fails on every rank", "[exec]") {
    const auto job = random_cases::job_on(3, 11);
    const auto failing = [&](auto&& act) {
        std::vector<std::string> words(3);
        run_in_process(3, [&](in_process_backend& backend) {
            executor exchange(backend, job.nodes, job.placement);
            try {
                act(exchange, backend.rank());
            } catch (const error& e) {
                words[static_cast<std::size_t>(backend.rank())] = e.what();
            }
        });
        return words;
    };
    const auto others = failing([&](auto& exchange, rank_id rank) {
        plan_options options{.row_bytes = 8, .costs = {}};
        if (rank == 1) options.costs.inter_node.latency *= 2;
        best_plan(exchange, job.assigned[static_cast<std::size_t>(rank)], options);
    });
    const auto strange = failing([&](auto& exchange, rank_id rank) {
        assignment assigned = job.assigned[static_cast<std::size_t>(rank)];
        if (rank == 2) assigned.expert_count += 1;
        best_plan(exchange, assigned, {.row_bytes = 8, .costs = {}});
    });
    for (std::size_t r = 0; r < 3; ++r) {
        CHECK(others[r] == "locmoe: best_plan: rank 1 holds another set of plan_options than the others");
        CHECK(strange[r].find("assignment") != std::string::npos);
        CHECK(strange[r].find("rank 2") != std::string::npos);
    }
}
