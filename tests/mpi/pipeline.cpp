// The pipeline's laws again, over real messages.

#include "locmoe/adapt/boost_mpi.hpp"

#include "catch.hpp"
#include "exec/pipeline_laws.hpp"

using namespace locmoe;

TEST_CASE("a pipeline over Boost.MPI gives the bits of the exchange without chunks", "[mpi]") {
    boost_mpi_backend backend{boost::mpi::communicator()};
    REQUIRE_NOTHROW(pipeline_laws::all_strategies_and_elements(backend, 3));
}

TEST_CASE("a pipeline that cannot run fails on all ranks of an MPI job", "[mpi]") {
    boost_mpi_backend backend{boost::mpi::communicator()};
    REQUIRE_NOTHROW(pipeline_laws::bad_input_fails_on_all_ranks(backend));
    REQUIRE_NOTHROW(pipeline_laws::a_failing_expert_strands_nobody(backend));
}
