// The chosen plan over plain MPI against MPI_Alltoallv with hand-written packing, on the same rows, in
// one run: `mpirun -np P`, on the nodes that MPI finds; where that is one, set out as 4. Costs are
// calibrated on the spot; on one machine, where every rank is as near as any other, the planner should
// choose `direct`.
//
// A rank packs its rows by destination, exchanges them and places them by expert, both ways, on both
// sides. Timed from a barrier to the last rank's end; medians, the rivals taking turns.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include <mpi.h>

#include "locmoe/adapt/mpi.hpp"
#include "locmoe/exec/best_plan.hpp"
#include "locmoe/exec/calibrate.hpp"
#include "locmoe/plan/direct.hpp"
#include "locmoe/tensor/standard.hpp"

#include "by_hand.hpp"
#include "rows.hpp"

namespace {

using namespace locmoe;

constexpr std::size_t experts = 64;
constexpr int repetitions = 31;

assignment even_assignment(std::size_t tokens, std::size_t choices, rank_id rank) {
    std::mt19937_64 random(static_cast<std::uint64_t>(rank) + 1);
    routing decided;
    decided.token_count = tokens;
    decided.choice_count = choices;
    decided.expert_count = experts;
    decided.weights.assign(tokens * choices, 1.0f);
    for (std::size_t t = 0; t < tokens; ++t) {
        const std::size_t first = random() % experts;
        const std::size_t step = 1 + 2 * (random() % (experts / 2));  // odd: no expert twice
        for (std::size_t slot = 0; slot < choices; ++slot)
            decided.chosen.push_back(static_cast<expert_id>((first + slot * step) % experts));
    }
    return assign(decided);
}

/// Milliseconds until the last rank is through.
template <class Work>
double timed(Work&& work) {
    MPI_Barrier(MPI_COMM_WORLD);
    const double start = MPI_Wtime();
    work();
    const double mine = MPI_Wtime() - start;
    double longest = 0;
    MPI_Allreduce(&mine, &longest, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    return longest * 1e3;
}

double median(std::vector<double> values) {
    std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2),
                     values.end());
    return values[values.size() / 2];
}

void compare(mpi_backend& backend, const topology& nodes, const cluster_costs& costs,
             std::size_t tokens, std::size_t choices, std::size_t cols, bench::report& report) {
    const auto placement = expert_placement::blocked(experts, nodes.rank_count());
    executor exchange(backend, nodes, placement);
    const assignment assigned = even_assignment(tokens, choices, backend.rank());
    const exchange_plan plan =
        best_plan(exchange, assigned, {.row_bytes = cols * sizeof(float), .costs = costs});
    const exchange_plan flat = exchange.plan(assigned, direct{});
    bench::by_hand rival(flat, cols);

    std::vector<float> x(tokens * cols, 1.0f), y(tokens * cols);
    std::vector<float> rows(plan.expert_row_count() * cols);
    const matrix_view<const float> tokens_in{x.data(), tokens, cols};
    const matrix_view<float> tokens_out{y.data(), tokens, cols};
    const matrix_view<float> expert_rows{rows.data(), plan.expert_row_count(), cols};
    std::vector<double> ours[2], theirs[2];
    for (int i = 0; i < repetitions; ++i) {
        ours[0].push_back(timed([&] { exchange.dispatch(plan, tokens_in, expert_rows); }));
        theirs[0].push_back(timed([&] { rival.dispatch(x.data(), rows.data()); }));
        ours[1].push_back(timed(
            [&] { exchange.combine(plan, expert_rows, std::vector<float>(), tokens_out); }));
        theirs[1].push_back(timed([&] { rival.combine(rows.data(), y.data()); }));
    }
    const char* ways[] = {"dispatch", "combine"};
    for (std::size_t way = 0; way < 2; ++way) {
        const double mine = median(ours[way]);
        const double other = median(theirs[way]);
        report.add({std::to_string(nodes.rank_count()) + " ranks, T " + std::to_string(tokens) +
                        ", top-" + std::to_string(choices) + ", " +
                        std::to_string(cols * sizeof(float)) + " B, " + ways[way] + ", " +
                        plan.strategy,
                    mine, "ms", "MPI_Alltoallv, packed by hand", other, other / mine});
        const double priced = static_cast<double>(plan.choice->chosen().nanoseconds) * 1e-6;
        report.add({std::string("  the same, priced by the planner: ") + ways[way], mine, "ms",
                    "price", priced, priced / mine});
    }
}

}  // namespace

int main(int argc, char** argv) {
    MPI_Init(&argc, &argv);
    int code = 0;
    {
        mpi_backend backend(MPI_COMM_WORLD);
        // One voice is enough.
        if (backend.rank() != 0 && std::freopen("/dev/null", "w", stdout) == nullptr) return 1;
        if (backend.rank() != 0) argc = 1;  // and one file
        bench::report report("alltoallv", argc, argv);
        const topology found = node_topology(MPI_COMM_WORLD);
        const bool cluster = found.node_count() > 1;
        if (!cluster && backend.rank_count() % 4 != 0) {
            std::fprintf(stderr, "alltoallv: run me on a multiple of 4 ranks, with mpirun\n");
            return 2;
        }
        const topology nodes = cluster ? found : topology::uniform(4, backend.rank_count() / 4);
        const calibration measured = calibrate(backend, nodes);
        std::printf("%zu nodes\n%s\n", nodes.node_count(), describe(measured).c_str());
        const cluster_costs& costs = measured.costs;
        compare(backend, nodes, costs, 512, 2, 512, report);
        compare(backend, nodes, costs, 512, 8, 512, report);
        compare(backend, nodes, costs, 64, 2, 64, report);
        compare(backend, nodes, costs, 1024, 2, 2048, report);
        code = report.finish();
    }
    MPI_Finalize();
    return code;
}
