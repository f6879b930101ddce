// Many steps over MPI: the same laws as in threads, and the same bits.

#include <cstddef>
#include <cstdio>
#include <vector>

#include "locmoe/adapt/mpi.hpp"

#include "catch.hpp"
#include "exec/soak_laws.hpp"
#include "locmoe/exec/in_process.hpp"

using namespace locmoe;

TEST_CASE("many steps over MPI lose no row, hold no memory and repeat to the bit", "[mpi]") {
    mpi_backend backend(MPI_COMM_WORLD);
    const std::size_t steps = soak_laws::steps();
    soak_laws::outcome first, again;
    REQUIRE_NOTHROW(first = soak_laws::run(backend, steps));
    REQUIRE_NOTHROW(again = soak_laws::run(backend, steps));
    CHECK(first.integers.value == again.integers.value);
    CHECK(first.floats.value == again.floats.value);
    CHECK_NOTHROW(soak_laws::check_memory(again, steps, backend.rank()));
    if (steps >= 1000 && backend.rank() == 0)
        std::printf("soak over MPI: %zu steps twice, %zu KiB early, %zu KiB in the end\n", steps,
                    first.early_kib, again.late_kib);
}

TEST_CASE("MPI and threads give the same bits", "[mpi]") {
    mpi_backend backend(MPI_COMM_WORLD);
    const auto here = soak_laws::run(backend, 10);
    std::vector<soak_laws::outcome> threads(backend.rank_count());
    run_in_process(backend.rank_count(), [&](in_process_backend& b) {
        threads[static_cast<std::size_t>(b.rank())] = soak_laws::run(b, 10);
    });
    const auto& same = threads[static_cast<std::size_t>(backend.rank())];
    CHECK(here.integers.value == same.integers.value);
    CHECK(here.floats.value == same.floats.value);
}
