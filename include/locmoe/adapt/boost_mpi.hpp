#pragma once

#include <boost/mpi/communicator.hpp>

#include "locmoe/adapt/mpi.hpp"
#include "locmoe/topology/topology.hpp"

namespace locmoe::inline v0 {

/// The ranks of a `boost::mpi::communicator`. It speaks to the MPI_Comm underneath, since Boost.MPI
/// has neither sparse exchanges nor non-blocking collectives, and keeps the communicator alive.
class boost_mpi_backend : public mpi_backend {
  public:
    /// Keeps a copy of `communicator`. Throws what `mpi_backend` throws.
    explicit boost_mpi_backend(boost::mpi::communicator communicator, mpi_options options = {})
        : mpi_backend(static_cast<MPI_Comm>(communicator), options),
          communicator_(std::move(communicator)) {}

    /// The one that was passed; messages go over a duplicate of it.
    const boost::mpi::communicator& communicator() const noexcept { return communicator_; }

  private:
    boost::mpi::communicator communicator_;
};

/// Which ranks share a node's memory; see `node_topology(MPI_Comm)`.
inline topology node_topology(const boost::mpi::communicator& communicator) {
    return node_topology(static_cast<MPI_Comm>(communicator));
}

}  // namespace locmoe
