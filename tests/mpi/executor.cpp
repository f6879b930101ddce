// The executor's laws again, over real messages.

#include "locmoe/adapt/mpi.hpp"

#include "catch.hpp"
#include "exec/executor_laws.hpp"

using namespace locmoe;

TEST_CASE("the executor carries every row over MPI", "[mpi]") {
    mpi_backend backend(MPI_COMM_WORLD);
    REQUIRE_NOTHROW(executor_laws::all_strategies_and_elements(backend, 6));
}

TEST_CASE("combine over MPI adds up in an order that the plan fixes", "[mpi]") {
    mpi_backend backend(MPI_COMM_WORLD);
    REQUIRE_NOTHROW(executor_laws::sums_have_one_order(backend, 6));
    REQUIRE_NOTHROW(executor_laws::carries_every_bit_pattern(backend));
}

TEST_CASE("one rank's bad input fails on all ranks of an MPI job", "[mpi]") {
    mpi_backend backend(MPI_COMM_WORLD);
    REQUIRE_NOTHROW(executor_laws::bad_input_fails_on_all_ranks(backend));
    REQUIRE_NOTHROW(executor_laws::each_wrong_argument_is_named(backend));
    REQUIRE_NOTHROW(executor_laws::disagreement_is_found(backend));
}
