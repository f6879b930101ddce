// usage: locmoe_mpi_lost_rank stop | sleep | kill | throw | absent
// The last rank is lost in the middle of a dispatch: it stops, is busy for ever, is killed, or throws. Or
// it is absent where the others make their backends, and comes once they have given up. Every other rank
// prints its error and how many milliseconds it took, and the job ends.

#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <unistd.h>

#include "locmoe/adapt/mpi.hpp"
#include "locmoe/exec/executor.hpp"
#include "locmoe/plan/direct.hpp"
#include "locmoe/tensor/standard.hpp"

using namespace locmoe;
using namespace std::chrono_literals;

namespace {

struct lost_kernels : host_kernels {
    std::string how;

    void gather(const row_space& space, const row_sums& rows, row_range range, token_rows to) const {
        if (how == "stop") std::raise(SIGSTOP);
        if (how == "kill") std::raise(SIGKILL);
        if (how == "throw") throw std::runtime_error("out of luck");
        while (how == "sleep") std::this_thread::sleep_for(1s);
        host_kernels::gather(space, rows, range, to);
    }
};

void lose_a_rank(const char* how) {
    mpi_backend backend(MPI_COMM_WORLD, {.deadline = 3s});
    const std::size_t ranks = backend.rank_count();
    lost_kernels kernels;
    if (static_cast<std::size_t>(backend.rank()) + 1 == ranks) kernels.how = how;
    executor ex(backend, topology::single_node(ranks), expert_placement::blocked(ranks, ranks),
                kernels);
    routing decided{};
    decided.token_count = ranks * 1000;
    decided.choice_count = 1;
    decided.expert_count = ranks;
    decided.weights.assign(decided.token_count, 1.0f);
    for (std::size_t t = 0; t < decided.token_count; ++t)
        decided.chosen.push_back(static_cast<expert_id>(t % ranks));
    const exchange_plan plan = ex.plan(assign(decided), direct{});
    std::vector<float> tokens(plan.token_count * 64), rows(plan.expert_row_count() * 64);
    const auto since = std::chrono::steady_clock::now();
    try {
        ex.dispatch(plan, as_matrix(tokens, 64), as_matrix(rows, 64));
        std::printf("rank %d: dispatched\n", backend.rank());
    } catch (const std::exception& e) {
        const auto took = std::chrono::steady_clock::now() - since;
        std::printf("rank %d after %d ms: %s\n", backend.rank(),
                    static_cast<int>(took / 1ms), e.what());
    }
    std::fflush(stdout);
    std::this_thread::sleep_for(1s);  // let the others print
}

void come_late() {
    int rank = 0;
    int ranks = 0;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    if (rank + 1 == ranks) std::this_thread::sleep_for(6s);
    const auto since = std::chrono::steady_clock::now();
    try {
        mpi_backend backend(MPI_COMM_WORLD, {.deadline = 2s});
        std::printf("rank %d: made\n", rank);
    } catch (const std::exception& e) {
        const auto took = std::chrono::steady_clock::now() - since;
        std::printf("rank %d after %d ms: %s\n", rank, static_cast<int>(took / 1ms), e.what());
    }
    std::fflush(stdout);
    if (rank + 1 < ranks) std::this_thread::sleep_for(4s);  // hear what the late one gets
    std::this_thread::sleep_for(1s);
}

}  // namespace

int main(int argc, char** argv) {
    MPI_Init(&argc, &argv);
    if (argc == 2 && std::string(argv[1]) == "absent")
        come_late();
    else if (argc == 2)
        lose_a_rank(argv[1]);
    MPI_Abort(MPI_COMM_WORLD, 3);
}
