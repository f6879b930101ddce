#include "in_process.hpp"

#ifdef LOCMOE_BENCH_HAS_MPI

#include <algorithm>
#include <barrier>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <mpi.h>

#include "../by_hand.hpp"
#include "compare.hpp"
#include "locmoe/exec/executor.hpp"
#include "locmoe/exec/in_process.hpp"
#include "locmoe/plan/direct.hpp"
#include "locmoe/plan/plan_all.hpp"
#include "locmoe/tensor/standard.hpp"

using namespace locmoe;

namespace bench {
namespace {

constexpr std::size_t ranks = 2, experts = 64;

struct shape {
    std::size_t T, d, k;  // of each rank
};
constexpr shape shapes[] = {{4096, 1024, 1}, {4096, 1024, 2}, {4096, 1024, 8}, {4096, 4096, 2}};
constexpr int no_shape = -1;

/// Both ranks' plans of `direct`, the same ones in both processes and for both rivals.
struct job {
    shape size;
    topology nodes = topology::uniform(1, ranks);
    expert_placement placement = expert_placement::blocked(experts, ranks);
    std::vector<exchange_plan> plans;

    explicit job(const shape& of) : size(of) {
        std::vector<assignment> assigned;
        for (std::uint64_t state = 1; state <= ranks; ++state) {
            routing decided{of.T, of.k, experts, {}, {}, {}};
            std::uint64_t random = state;
            for (std::size_t i = 0; i < of.T * of.k; ++i)
                decided.chosen.push_back(static_cast<expert_id>(next_random(random) % experts));
            assigned.push_back(assign(decided));
        }
        plans = plan_all(direct{}, nodes, placement, assigned);
    }
};

/// One rank's tokens, expert rows and results.
struct tensors {
    memory<float> tokens, rows, results;

    tensors(const job& of, std::size_t rank)
        : tokens(of.size.T * of.size.d),
          rows(of.plans[rank].expert_row_count() * of.size.d),
          results(of.size.T * of.size.d) {}
};

/// One rank of the rival.
class mpi_rank {
  public:
    mpi_rank(const job& of, std::size_t rank)
        : mine_(of, rank), exchange_(of.plans[rank], of.size.d) {}

    /// From where both have begun to where both are through.
    double ns() {
        MPI_Barrier(MPI_COMM_WORLD);
        const double start = wall_ns();
        exchange_.dispatch(mine_.tokens.data(), mine_.rows.data());
        exchange_.combine(mine_.rows.data(), mine_.results.data());
        const double mine = wall_ns() - start;
        double longest = 0;
        MPI_Allreduce(&mine, &longest, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
        return longest;
    }

  private:
    tensors mine_;
    by_hand exchange_;
};

struct both_ways {
    explicit both_ways(int number)
        : number_(number),
          job_(shapes[number]),
          rival_(job_, 0),
          threads_([this] { run_in_process(ranks, [this](auto& backend) { serve(backend); }); }) {}
    ~both_ways() {
        over_ = true;
        turn_.arrive_and_wait();
    }

    double in_process() {
        turn_.arrive_and_wait();
        turn_.arrive_and_wait();
        return std::max(ns_[0], ns_[1]);
    }
    double by_mpi() {
        MPI_Send(&number_, 1, MPI_INT, 1, 0, MPI_COMM_WORLD);
        return rival_.ns();
    }

  private:
    void serve(in_process_backend& backend) {
        const auto rank = static_cast<std::size_t>(backend.rank());
        executor exchange(backend, job_.nodes, job_.placement);
        const exchange_plan& plan = job_.plans[rank];
        const tensors mine(job_, rank);
        const std::size_t d = job_.size.d;
        for (;;) {
            turn_.arrive_and_wait();
            if (over_) return;
            backend.agree({});
            const double start = wall_ns();
            exchange.dispatch(plan, mine.tokens.rows(d), mine.rows.rows(d));
            exchange.combine(plan, mine.rows.rows(d), std::vector<float>(), mine.results.rows(d));
            ns_[rank] = wall_ns() - start;
            turn_.arrive_and_wait();
        }
    }

    int number_;
    job job_;
    mpi_rank rival_;
    bool over_ = false;
    double ns_[ranks] = {};
    std::barrier<> turn_{ranks + 1};
    std::jthread threads_;  // the last member: it ends before the others go
};

int rank_here() {
    int rank = 0;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    return rank;
}

}  // namespace

second_process::second_process(int& argc, char**& argv) { MPI_Init(&argc, &argv); }

second_process::~second_process() {
    if (started() && !is_this()) MPI_Send(&no_shape, 1, MPI_INT, 1, 0, MPI_COMM_WORLD);
    MPI_Finalize();
}

bool second_process::started() const {
    int count = 0;
    MPI_Comm_size(MPI_COMM_WORLD, &count);
    return count == ranks;
}

bool second_process::is_this() const { return rank_here() != 0; }

void second_process::serve() {
    std::unique_ptr<job> made;
    std::unique_ptr<mpi_rank> mine;
    for (int last = no_shape;;) {
        int number = no_shape;
        MPI_Request next;
        MPI_Irecv(&number, 1, MPI_INT, 0, 0, MPI_COMM_WORLD, &next);
        for (int there = 0; !there;) {
            MPI_Test(&next, &there, MPI_STATUS_IGNORE);
            if (!there) std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
        if (number == no_shape) return;
        if (number != last) {
            mine.reset();
            made = std::make_unique<job>(shapes[number]);
            mine = std::make_unique<mpi_rank>(*made, 1);
            last = number;
        }
        mine->ns();
    }
}

void add_exchanges() {
    for (int number = 0; number < static_cast<int>(std::size(shapes)); ++number) {
        const shape& s = shapes[number];
        const group<both_ways> rows(number);
        // Each row there and back, read and written.
        const auto bytes = static_cast<double>(4 * ranks * s.T * s.k * s.d * sizeof(float));
        rows.add({"dispatch and combine in-process, 2 ranks, T " + std::to_string(s.T) + ", d " +
                      std::to_string(s.d) + ", k " + std::to_string(s.k) + ": MPI_Alltoallv",
                  bytes, "GB/s", "MPI_Alltoallv between 2 processes, packed by hand", 1.5, 15},
                 &both_ways::in_process, &both_ways::by_mpi);
    }
}

}  // namespace bench

#else

namespace bench {

second_process::second_process(int&, char**&) {}
second_process::~second_process() = default;
bool second_process::started() const { return false; }
bool second_process::is_this() const { return false; }
void second_process::serve() {}
void add_exchanges() {}

}  // namespace bench

#endif
