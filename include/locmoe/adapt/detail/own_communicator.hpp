#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <utility>

#include "locmoe/adapt/detail/check_mpi.hpp"  // with mpi.h
#include "locmoe/adapt/detail/mpi_watch.hpp"
#include "locmoe/core/error.hpp"
#include "locmoe/exec/detail/kept_memory.hpp"

namespace locmoe::inline v0::detail {

/// A communicator of our own with a user's ranks: our messages never meet the user's, and errors
/// come back as codes.
class own_communicator {
  public:
    /// Collective. Throws backend_error on all ranks where one does not come before the deadline;
    /// then the user's communicator is of no use any more either.
    own_communicator(MPI_Comm users, const char* function,
                     std::optional<std::chrono::milliseconds> deadline = std::nullopt) {
        int initialised = 0;
        int finalised = 0;
        check_mpi(MPI_Initialized(&initialised), "MPI_Initialized");
        check_mpi(MPI_Finalized(&finalised), "MPI_Finalized");
        if (!initialised || finalised)
            throw_argument(function, "MPI", "initialised",
                           finalised ? "finalised" : "not initialised");
        if (users == MPI_COMM_NULL)
            throw_argument(function, "communicator", "one that has ranks", "MPI_COMM_NULL");
        int between_groups = 0;
        check_mpi(MPI_Comm_test_inter(users, &between_groups), "MPI_Comm_test_inter");
        if (between_groups)
            throw_argument(function, "communicator", "an intra-communicator",
                           "an inter-communicator");
        duplicate(users, function, deadline);
        take_over();
    }
    /// The ranks of `from` that share this one's memory, in their order.
    static own_communicator of_node(const own_communicator& from) {
        own_communicator node;
        check_mpi(MPI_Comm_split_type(from.comm_, MPI_COMM_TYPE_SHARED, from.rank(), MPI_INFO_NULL,
                                      &node.comm_),
                  "MPI_Comm_split_type");
        node.take_over();
        return node;
    }
    own_communicator(own_communicator&& other) noexcept
        : comm_(std::exchange(other.comm_, MPI_COMM_NULL)),
          rank_(other.rank_),
          ranks_(other.ranks_) {}
    own_communicator& operator=(own_communicator&&) = delete;
    ~own_communicator() {
        int finalised = 0;
        MPI_Finalized(&finalised);
        if (!finalised && to_free_ && comm_ != MPI_COMM_NULL) MPI_Comm_free(&comm_);
    }

    /// Freeing it may wait for all of its ranks.
    void never_free() { to_free_ = false; }

    MPI_Comm get() const { return comm_; }
    int rank() const { return rank_; }
    int rank_count() const { return ranks_; }

  private:
    own_communicator() = default;

    /// Until there is a communicator of our own, the watch speaks by the highest tag of the user's,
    /// if a rank is late. Without a deadline nothing is to be watched (and SMPI has no idup).
    void duplicate(MPI_Comm users, const char* function,
                   std::optional<std::chrono::milliseconds> deadline) {
        if (!deadline) return check_mpi(MPI_Comm_dup(users, &comm_), "MPI_Comm_dup");
        const int* highest_tag = nullptr;
        int known = 0;
        check_mpi(MPI_Comm_get_attr(users, MPI_TAG_UB, &highest_tag, &known), "MPI_Comm_get_attr");
        mpi_watch watch(users, known ? *highest_tag : 32'767, deadline);
        auto copy = std::make_unique<MPI_Comm>(MPI_COMM_NULL);
        MPI_Request request = MPI_REQUEST_NULL;
        check_mpi(MPI_Comm_idup(users, copy.get(), &request), "MPI_Comm_idup");
        try {
            watch.wait(function, request, MPI_STATUS_IGNORE);
            watch.heed(function);
        } catch (...) {
            keep_memory(std::move(copy));  // MPI may still write it
            throw;
        }
        comm_ = *copy;
    }

    void take_over() {
        check_mpi(MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
        check_mpi(MPI_Comm_rank(comm_, &rank_), "MPI_Comm_rank");
        check_mpi(MPI_Comm_size(comm_, &ranks_), "MPI_Comm_size");
    }

    MPI_Comm comm_ = MPI_COMM_NULL;
    int rank_ = 0;
    int ranks_ = 0;
    bool to_free_ = true;
};

}  // namespace locmoe::detail
