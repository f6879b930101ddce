// The planner's choice and its cache over real messages, against what one process works out alone; and
// plans whose messages come in another order.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "catch.hpp"
#include "exec/backend_laws.hpp"
#include "locmoe/adapt/mpi.hpp"
#include "locmoe/exec/choose_order.hpp"
#include "locmoe/exec/plan_cache.hpp"
#include "locmoe/plan/message_order.hpp"
#include "locmoe/tensor/standard.hpp"
#include "random_cases.hpp"

using namespace locmoe;
using backend_laws::expect;

TEST_CASE("all ranks of an MPI job choose and plan as one process does for them", "[mpi]") {
    mpi_backend backend(MPI_COMM_WORLD);
    const auto me = static_cast<std::size_t>(backend.rank());
    for (std::uint32_t seed = 0; seed < 12; ++seed) {
        const auto job = random_cases::job_on(backend.rank_count(), seed);
        const plan_options options{.row_bytes = std::size_t{8} << seed, .costs = {}};
        const auto expected = best_plan_all(job.nodes, job.placement, job.assigned, options);
        executor exchange(backend, job.nodes, job.placement);
        plan_cache plans(exchange, options, all_strategies());
        for (int again = 0; again < 2; ++again) {
            const exchange_plan& plan = plans.plan(job.assigned[me]);
            expect(plan.choice == expected[me].choice, job.text, backend.rank());
            expect(plan.dispatch == expected[me].dispatch, job.text, backend.rank());
            expect(plan.combine == expected[me].combine, job.text, backend.rank());
        }
        expect(plans.counts().choices_made == 1 && plans.counts().plans_reused == 1,
               "the second plan is the first", backend.rank());
    }
}

TEST_CASE("an MPI job gets the same rows and sums in any order of its messages", "[mpi]") {
    constexpr std::size_t cols = 3;
    mpi_backend backend(MPI_COMM_WORLD);
    const auto me = static_cast<std::size_t>(backend.rank());
    for (std::uint32_t seed = 0; seed < 20; ++seed) {
        const auto job = random_cases::job_on(backend.rank_count(), seed);
        executor exchange(backend, job.nodes, job.placement);
        const exchange_plan plan = exchange.plan(job.assigned[me], node_aggregated{});
        std::vector<float> tokens(plan.token_count * cols);
        for (std::size_t i = 0; i < tokens.size(); ++i)
            tokens[i] = static_cast<float>(100 * me + i);
        const auto there_and_back = [&](const exchange_plan& by) {
            std::vector<float> rows(by.expert_row_count() * cols);
            std::vector<float> back(tokens.size());
            const matrix_view<float> out{rows.data(), by.expert_row_count(), cols};
            exchange.dispatch(by, matrix_view<const float>{tokens.data(), by.token_count, cols},
                              out);
            exchange.combine(by, out, std::vector<float>(),
                             matrix_view<float>{back.data(), by.token_count, cols});
            rows.insert(rows.end(), back.begin(), back.end());
            return rows;
        };
        const std::vector<float> expected = there_and_back(plan);
        cluster_costs costs;
        costs.inter_node.fan_in_loss = 0.1;
        for (const order_options options : {order_options{1, 64}, order_options{2, 2}}) {
            const message_order order = choose_order(backend, job.nodes, plan, costs, options);
            expect(there_and_back(ordered(plan, job.nodes, order)) == expected, job.text,
                   backend.rank());
        }
    }
}
