// What becomes of faults over MPI: the laws of tests/exec/faults.cpp, with backends that are spent.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "catch.hpp"
#include "exec/fault_laws.hpp"
#include "locmoe/adapt/mpi.hpp"

using namespace locmoe;
using namespace std::chrono_literals;

TEST_CASE("a message whose ends disagree is named on every rank of an MPI job", "[mpi]") {
    mpi_backend backend(MPI_COMM_WORLD);
    REQUIRE_NOTHROW(fault_laws::other_counts_are_named(backend, direct{}, 6));
    REQUIRE_NOTHROW(fault_laws::other_counts_are_named(backend, node_aggregated{}, 6));
    REQUIRE_NOTHROW(fault_laws::broken_plans_are_refused(backend));
    REQUIRE_NOTHROW(fault_laws::other_calls_are_named(backend));
    REQUIRE_NOTHROW(fault_laws::disagreement_names_the_ranks(backend));
    REQUIRE_NOTHROW(fault_laws::failing_planners_strand_nobody(backend));
}

TEST_CASE("arrays of other lengths are refused on every rank of an MPI job", "[mpi]") {
    mpi_backend backend(MPI_COMM_WORLD);
    const std::size_t ranks = backend.rank_count();
    for (std::size_t odd = 0; odd < ranks; ++odd)
        for (const std::size_t length : {0u, 4u, 100'000u}) {
            const bool differs = static_cast<std::size_t>(backend.rank()) == odd && ranks > 1;
            const std::vector<std::int64_t> counts(differs ? length : 5, 1);
            const auto got = fault_laws::outcome_of([&] { backend.scan_counts(counts); });
            if (ranks == 1) continue;
            CHECK(got.kind == fault_laws::outcome::argument);
            CHECK(got.words == (odd == 0 ? detail::concat("locmoe: scan_counts: counts on rank 1: "
                                                          "expected ", length,
                                                          ", as on rank 0, got 5")
                                         : detail::concat("locmoe: scan_counts: counts on rank ", odd,
                                                          ": expected 5, as on rank 0, got ",
                                                          length)));
        }
}

TEST_CASE("ranks that enter different operations of MPI are told so", "[mpi]") {
    mpi_backend backend(MPI_COMM_WORLD, {.deadline = 10s});
    if (backend.rank_count() < 2) return;
    const auto got = fault_laws::outcome_of([&] {
        if (backend.rank() == 1)
            backend.scan_counts({});
        else
            backend.agree("");
        backend.agree("");
    });
    CHECK(got.says("entered something else"));
}

TEST_CASE("an exchange over MPI that fails on one rank ends on all and poisons the executor", "[mpi]") {
    for (const int gathers : {1, 2})
        for (const bool pipelined : {false, true}) {
            mpi_backend backend(MPI_COMM_WORLD);
            REQUIRE_NOTHROW(fault_laws::failed_exchange_poisons(backend, gathers, pipelined));
        }
}

TEST_CASE("a rank that an exception takes out of an MPI job strands nobody", "[mpi]") {
    int rank = 0;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    const auto got = fault_laws::outcome_of([&] {
        mpi_backend backend(MPI_COMM_WORLD);
        if (fault_laws::at_fault(backend)) throw std::runtime_error("out of luck");
        for (;;) backend.agree("");
    });
    CHECK((got.words == "out of luck" || got.says("an exception ended the life of its backend")));
}

TEST_CASE("a rank slower than the deadline is named on every rank of an MPI job", "[mpi]") {
    int ranks = 0;
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    if (ranks < 2) return;
    char word = 0;
    const auto until_told = [&] {  // by all others that they have given up
        for (int r = 0; r + 1 < ranks; ++r)
            MPI_Recv(&word, 1, MPI_CHAR, r, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    };
    for (int operation = ranks == 3 ? 0 : 3; operation <= 3; ++operation) {
        MPI_Barrier(MPI_COMM_WORLD);  // the slow rank may be a while behind
        mpi_backend backend(MPI_COMM_WORLD, {.deadline = 1s});
        const auto tell = [&] {
            if (!fault_laws::at_fault(backend))
                MPI_Send(&word, 1, MPI_CHAR, ranks - 1, 0, MPI_COMM_WORLD);
        };
        REQUIRE_NOTHROW(fault_laws::slow_rank_is_named(backend, operation, until_told, tell));
    }
}
