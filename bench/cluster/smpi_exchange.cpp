// The executor over plain MPI on a cluster that SimGrid's SMPI simulates: `direct` and the plan that
// the planner chooses, beside what locmoe's own `simulate` says of the same plans, and the bounds. See
// smpi.sh for how it is built and run.
//
// usage: smpi_exchange TOKENS CHOICES EXPERTS ROW_BYTES SKEW
// TOKENS a rank, each of which chooses CHOICES different experts with chances 1 / (e + 1)^SKEW.

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <new>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <mpi.h>

#include "locmoe/adapt/mpi.hpp"
#include "locmoe/assign/assignment.hpp"
#include "locmoe/exec/best_plan.hpp"
#include "locmoe/exec/executor.hpp"
#include "locmoe/plan/choose.hpp"
#include "locmoe/plan/direct.hpp"
#include "locmoe/plan/lower_bound.hpp"
#include "locmoe/plan/plan_all.hpp"
#include "locmoe/plan/simulate.hpp"
#include "locmoe/routing/routing.hpp"
#include "locmoe/tensor/standard.hpp"

// Rows are not computed with here, so all large buffers of all ranks may lie in the same memory: SMPI
// neither needs the room nor copies what it sends. Otherwise 64 ranks of the larger jobs would ask for
// more than 60 GB.
namespace {
constexpr std::size_t large = std::size_t{16} << 20;
std::set<void*> shared;  // SMPI runs one rank at a time
}  // namespace

void* operator new(std::size_t bytes) {
    void* memory = bytes < large ? std::malloc(bytes)  // of no bytes: a pointer like any other
                                 : SMPI_SHARED_MALLOC(bytes);
    if (memory == nullptr) throw std::bad_alloc();
    if (bytes >= large) shared.insert(memory);
    return memory;
}
void operator delete(void* memory) noexcept {
    if (shared.erase(memory) != 0)
        SMPI_SHARED_FREE(memory);
    else
        std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept { operator delete(memory); }

using namespace locmoe;

namespace {

struct job {
    std::size_t tokens, choices, experts, row_bytes;
    double skew;
};

double uniform01(std::uint64_t& state) {  // SplitMix64
    state += 0x9e3779b97f4a7c15u;
    std::uint64_t z = state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return static_cast<double>((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

/// Any rank's assignment, known to all of them: every token keeps all its experts.
assignment assignment_of(const job& j, std::size_t rank) {
    std::vector<double> up_to(j.experts);
    double sum = 0;
    for (std::size_t e = 0; e < j.experts; ++e)
        up_to[e] = sum += std::pow(static_cast<double>(e + 1), -j.skew);
    routing r;
    r.token_count = j.tokens;
    r.choice_count = j.choices;
    r.expert_count = j.experts;
    std::uint64_t random = 1000003 * rank;
    for (std::size_t t = 0; t < j.tokens; ++t)
        for (std::size_t slot = 0; slot < j.choices;) {
            const double drawn = uniform01(random) * sum;
            std::size_t e = 0;
            while (e + 1 < j.experts && up_to[e] <= drawn) ++e;
            bool again = false;
            for (std::size_t s = 0; s < slot; ++s)
                again = again || r.chosen[r.chosen.size() - 1 - s] == static_cast<expert_id>(e);
            if (again) continue;
            r.chosen.push_back(static_cast<expert_id>(e));
            r.weights.push_back(1.0f);
            ++slot;
        }
    return assign(r, {});
}

/// The clock starts at the first packing, with all ranks in step: after the executor's checks. SMPI
/// is told to take no time for computation, so that nothing need be computed either.
struct timed_kernels {
    double* begin;  // below 0 until then

    void start() const {
        if (*begin >= 0) return;
        MPI_Barrier(MPI_COMM_WORLD);
        *begin = MPI_Wtime();
    }
    void gather(const row_space&, const row_sums&, row_range, token_rows) const { start(); }
    template <class Weight>
    void sum(const row_space&, const row_sums&, row_range, std::span<const Weight>,
             token_rows) const {
        start();
    }
    template <class Weight>
    void scale(const_token_rows, std::span<const Weight>, token_rows) const {}
    template <class Result>
    void dot(const_token_rows, const_token_rows, std::span<Result>) const {}
};

/// The platform of smpi_platform.py: computing, packing and messages cost no processor time there.
cluster_costs platform_costs() {
    constexpr double infinity = std::numeric_limits<double>::infinity();
    cluster_costs costs;
    costs.intra_node = {2e-6, 0, 30e9, infinity};
    costs.inter_node = {5e-6, 0, infinity, 12.5e9};
    costs.leaves = leaf_switches{4, 50e9, 2e-6};
    costs.pack_bandwidth = infinity;
    return costs;
}

/// `plan_one(exchange, assigned)` makes a rank's plan, `plan_every(placement, assigned)` those of all.
template <class PlanOne, class PlanEvery>
void run(const job& j, const topology& nodes, PlanOne&& plan_one, PlanEvery&& plan_every) {
    mpi_backend backend(MPI_COMM_WORLD, {.deadline = std::nullopt});  // simulated time is slow
    const auto placement = expert_placement::blocked(j.experts, nodes.rank_count());
    double begin = 0;
    executor exchange(backend, nodes, placement, timed_kernels{&begin});
    const exchange_plan plan =
        plan_one(exchange, assignment_of(j, static_cast<std::size_t>(backend.rank())));
    const std::size_t cols = j.row_bytes / sizeof(float);
    std::vector<float> in(plan.token_count * cols), out(plan.expert_row_count() * cols);
    const matrix_view<float> tokens{in.data(), plan.token_count, cols};
    const matrix_view<float> rows{out.data(), plan.expert_row_count(), cols};
    double took[2] = {};
    for (double& t : took) {
        begin = -1;
        if (&t == took)
            exchange.dispatch(plan, tokens, rows);
        else
            exchange.combine(plan, rows, std::vector<float>(), tokens);
        const double mine = MPI_Wtime() - begin;
        MPI_Allreduce(&mine, &t, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    }
    if (backend.rank() != 0) return;

    std::vector<assignment> assigned;
    for (std::size_t r = 0; r < nodes.rank_count(); ++r) assigned.push_back(assignment_of(j, r));
    const auto plans = plan_every(placement, assigned);
    const cluster_costs costs = platform_costs();
    const double bound = lower_bound(plans, j.row_bytes, nodes, costs).seconds();
    const char* ways[] = {"dispatch", "combine"};
    constexpr flow exchange_plan::* flows[] = {&exchange_plan::dispatch, &exchange_plan::combine};
    for (std::size_t i = 0; i < 2; ++i) {
        const double ours = simulate(plans, flows[i], j.row_bytes, nodes, costs).seconds;
        std::printf("%-27s %-8s SMPI %8.4f ms, simulate %8.4f ms (%.3f), bound %8.4f ms (%.3f)\n",
                    plan.strategy.c_str(), ways[i], took[i] * 1e3, ours * 1e3,
                    ours / took[i], bound * 1e3, took[i] / bound);
    }
}

}  // namespace

int main(int argc, char** argv) {
    MPI_Init(&argc, &argv);
    if (argc != 6) {
        std::fprintf(stderr, "usage: %s TOKENS CHOICES EXPERTS ROW_BYTES SKEW\n", argv[0]);
        return 2;
    }
    const auto count = [&](int i) {
        return static_cast<std::size_t>(std::strtoull(argv[i], nullptr, 10));
    };
    const job j{count(1), count(2), count(3), count(4), std::strtod(argv[5], nullptr)};
    const topology nodes = node_topology(MPI_COMM_WORLD);
    run(
        j, nodes,
        [](auto& exchange, const assignment& assigned) {
            return exchange.plan(assigned, direct{});
        },
        [&](const expert_placement& placement, std::span<const assignment> assigned) {
            return plan_all(direct{}, nodes, placement, assigned);
        });
    const plan_options options{.row_bytes = j.row_bytes, .costs = platform_costs()};
    run(
        j, nodes,
        [&](auto& exchange, const assignment& assigned) {
            return best_plan(exchange, assigned, options);
        },
        [&](const expert_placement& placement, std::span<const assignment> assigned) {
            return best_plan_all(nodes, placement, assigned, options);
        });
    MPI_Finalize();
}
