#include "locmoe/exec/calibrate.hpp"

#include <cstddef>
#include <cstring>
#include <vector>

#include "locmoe/adapt/mpi.hpp"

#include "catch.hpp"

using namespace locmoe;

namespace {

/// Sound costs, and the same bits as on rank 0.
void check_same(const calibration& found) {
    CHECK_NOTHROW(check_costs(found.costs));
    CHECK_FALSE(found.costs.leaves);
    struct numbers {
        intra_node_costs intra_node;
        inter_node_costs inter_node;
        double pack_bandwidth;
    };
    static_assert(sizeof(numbers) == 11 * sizeof(double));  // no padding
    const numbers mine{found.costs.intra_node, found.costs.inter_node, found.costs.pack_bandwidth};
    numbers first = mine;
    MPI_Bcast(&first, sizeof first, MPI_BYTE, 0, MPI_COMM_WORLD);
    CHECK(std::memcmp(&mine, &first, sizeof first) == 0);
}

}  // namespace

TEST_CASE("calibrate gives the ranks of an MPI job the same costs", "[mpi]") {
    mpi_backend backend(MPI_COMM_WORLD);
    const std::size_t ranks = backend.rank_count();
    check_same(calibrate(backend, node_topology(MPI_COMM_WORLD), {.seconds = 0.2}));

    std::vector<node_id> alternating(ranks);
    for (std::size_t r = 0; r < ranks; ++r) alternating[r] = static_cast<node_id>(r % 2);
    const auto two_nodes = topology::from_node_of_rank(alternating);
    const calibration found = calibrate(backend, two_nodes, {.seconds = 0.2});
    check_same(found);
    CHECK(found.intra_node == (ranks > 2));
    CHECK(found.inter_node == (ranks > 1));
}
