#include <cstddef>
#include <optional>

#include <boost/mpi/communicator.hpp>

#include "locmoe/adapt/boost_mpi.hpp"

#include "catch.hpp"
#include "exec/backend_laws.hpp"

using namespace locmoe;

TEST_CASE("a Boost communicator keeps the laws of a backend", "[mpi]") {
    std::optional<boost::mpi::communicator> users;
    users.emplace();
    const int ranks = users->size();
    boost_mpi_backend backend(*users);
    users.reset();
    CHECK(backend.communicator().size() == ranks);
    CHECK_NOTHROW(backend_laws::all(backend, 12));
}

TEST_CASE("a Boost communicator finds its ranks of one machine on one node", "[mpi]") {
    const boost::mpi::communicator world;
    CHECK(node_topology(world) == topology::single_node(static_cast<std::size_t>(world.size())));
}
