#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "locmoe/adapt/detail/check_mpi.hpp"  // with mpi.h
#include "locmoe/adapt/detail/mpi_watch.hpp"
#include "locmoe/core/ids.hpp"
#include "locmoe/exec/backend.hpp"
#include "locmoe/exec/detail/kept_memory.hpp"

namespace locmoe::inline v0::detail {

/// Words on their way, out or in. Where their end is not waited for, they stay in memory.
struct words_under_way {
    rank_id peer = no_rank;  ///< that they come from; of words that leave, nobody asks
    std::vector<std::int64_t> words;
    MPI_Request request = MPI_REQUEST_NULL;

    explicit words_under_way(std::vector<std::int64_t> w) : words(std::move(w)) {}
    words_under_way(words_under_way&& other) noexcept
        : peer(other.peer),
          words(std::move(other.words)),
          request(std::exchange(other.request, MPI_REQUEST_NULL)) {}
    words_under_way& operator=(words_under_way&&) = delete;
    ~words_under_way() {
        if (request == MPI_REQUEST_NULL) return;
        MPI_Request_free(&request);
        keep_memory(std::move(words));
    }
};

/// Begins to take one message where one is there, however long it is.
inline std::optional<words_under_way> begin_receive(MPI_Comm comm, int from, int tag) {
    int there = 0;
    MPI_Status status;
    check_mpi(MPI_Iprobe(from, tag, comm, &there, &status), "MPI_Iprobe");
    if (!there) return std::nullopt;
    int words = 0;
    check_mpi(MPI_Get_count(&status, MPI_INT64_T, &words), "MPI_Get_count");
    words_under_way coming(std::vector<std::int64_t>(static_cast<std::size_t>(words)));
    coming.peer = status.MPI_SOURCE;
    check_mpi(MPI_Irecv(coming.words.data(), words, MPI_INT64_T, coming.peer, tag, comm,
                        &coming.request),
              "MPI_Irecv");
    return coming;
}

/// Waits for its end, and gives it out.
inline message end_receive(mpi_watch& watch, const char* operation, words_under_way& coming) {
    watch.wait(operation, coming.request, MPI_STATUS_IGNORE);
    return {coming.peer, std::move(coming.words)};
}

/// Takes one message where one is there.
inline bool receive_words(mpi_watch& watch, MPI_Comm comm, const char* operation, int from, int tag,
                          message& received) {
    auto coming = begin_receive(comm, from, tag);
    if (coming) received = end_receive(watch, operation, *coming);
    return coming.has_value();
}

}  // namespace locmoe::detail
