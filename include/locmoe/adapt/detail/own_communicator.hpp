#pragma once

#ifndef OMPI_SKIP_MPICXX
#define OMPI_SKIP_MPICXX 1
#endif
#ifndef MPICH_SKIP_MPICXX
#define MPICH_SKIP_MPICXX 1
#endif
#include <cstddef>
#include <limits>
#include <string>
#include <utility>

#include <mpi.h>

#include "locmoe/core/error.hpp"

namespace locmoe::inline v0::detail {

inline void check_mpi(int code, const char* operation) {
    if (code == MPI_SUCCESS) return;
    char text[MPI_MAX_ERROR_STRING] = "";
    int length = 0;
    MPI_Error_string(code, text, &length);
    throw backend_error(operation, code, std::string(text, static_cast<std::size_t>(length)));
}

/// The one place where a count becomes MPI's int.
inline int mpi_count(std::size_t count, const char* function, const char* argument) {
    constexpr auto most = static_cast<std::size_t>(std::numeric_limits<int>::max());
    if (count > most) throw_argument(function, argument, concat("at most ", most), concat(count));
    return static_cast<int>(count);
}

/// A communicator of our own with a user's ranks: our messages never meet the user's, and errors
/// come back as codes.
class own_communicator {
  public:
    own_communicator(MPI_Comm users, const char* function) {
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
        check_mpi(MPI_Comm_dup(users, &comm_), "MPI_Comm_dup");
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
