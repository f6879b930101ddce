#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "locmoe/adapt/detail/check_mpi.hpp"  // with mpi.h
#include "locmoe/adapt/detail/mpi_watch.hpp"
#include "locmoe/core/error.hpp"
#include "locmoe/exec/backend.hpp"
#include "locmoe/exec/detail/kept_memory.hpp"

namespace locmoe::inline v0::detail {

/// Words on their way. Where their end is not waited for, they stay in memory.
struct outgoing_words {
    std::vector<std::int64_t> words;
    MPI_Request request = MPI_REQUEST_NULL;

    explicit outgoing_words(std::vector<std::int64_t> w) : words(std::move(w)) {}
    outgoing_words(outgoing_words&& other) noexcept
        : words(std::move(other.words)),
          request(std::exchange(other.request, MPI_REQUEST_NULL)) {}
    outgoing_words& operator=(outgoing_words&&) = delete;
    ~outgoing_words() {
        if (request == MPI_REQUEST_NULL) return;
        MPI_Request_free(&request);
        keep_memory(std::move(words));
    }
};

/// Takes one message where one is there, however long it is.
inline bool receive_words(mpi_watch& watch, MPI_Comm comm, const char* operation, int from, int tag,
                          message& received) {
    int there = 0;
    MPI_Status status;
    check_mpi(MPI_Iprobe(from, tag, comm, &there, &status), "MPI_Iprobe");
    if (!there) return false;
    int words = 0;
    check_mpi(MPI_Get_count(&status, MPI_INT64_T, &words), "MPI_Get_count");
    received.peer = status.MPI_SOURCE;
    received.words.resize(static_cast<std::size_t>(words));
    MPI_Request request = MPI_REQUEST_NULL;
    check_mpi(MPI_Irecv(received.words.data(), words, MPI_INT64_T, received.peer, tag, comm, &request),
              "MPI_Irecv");
    try {
        watch.wait(operation, request, MPI_STATUS_IGNORE);
    } catch (...) {
        if (request != MPI_REQUEST_NULL) MPI_Request_free(&request);
        keep_memory(std::move(received.words));
        throw;
    }
    return true;
}

}  // namespace locmoe::detail
