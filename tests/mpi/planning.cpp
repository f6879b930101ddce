// The planner's choice and its cache over real messages, against what one process works out alone.

#include <cstddef>
#include <cstdint>

#include "catch.hpp"
#include "exec/backend_laws.hpp"
#include "locmoe/adapt/mpi.hpp"
#include "locmoe/exec/plan_cache.hpp"
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
