#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "locmoe/adapt/detail/idle_requests.hpp"
#include "locmoe/adapt/detail/mpi_meetings.hpp"
#include "locmoe/adapt/detail/mpi_watch.hpp"
#include "locmoe/adapt/detail/mpi_words.hpp"
#include "locmoe/adapt/detail/own_communicator.hpp"  // with mpi.h
#include "locmoe/core/error.hpp"
#include "locmoe/core/ids.hpp"
#include "locmoe/exec/backend.hpp"
#include "locmoe/exec/sent_traffic.hpp"
#include "locmoe/topology/topology.hpp"

namespace locmoe::inline v0 {

/// How blocks become MPI's messages, and how long ranks wait for each other.
struct mpi_options {
    /// A block of this many bytes or more goes as several messages, since MPI counts are int.
    std::size_t chunk_bytes = std::size_t{1} << 30;

    /// Blocks that are started again, with the same memory and peer, reuse MPI's request; not in
    /// transfers with a window. Off, since over shared memory Open MPI gains nothing by it: 0.99 to
    /// 1.03 times the speed on 4 and 8 ranks up to 64 KiB, and 0.6 for 64 bytes between two.
    bool persistent_requests = false;

    /// How long an operation, or the making of the backend, may wait for another rank before it is
    /// a backend_error on all ranks, within 2 seconds more; empty: forever.
    std::optional<std::chrono::milliseconds> deadline = std::chrono::minutes(10);
};

/// The ranks of a plain MPI communicator. Constructing and destroying it is collective. MPI must be
/// initialised, and called from one thread at a time. Throws argument_error where MPI is not, and
/// for an inter-communicator; backend_error with MPI's code and text where a call of MPI fails.
///
/// Once a rank was waited for beyond the deadline, or gave up, MPI_Finalize may wait for it for
/// ever or break: end the job by MPI_Abort.
class mpi_backend {
  public:
    /// Dropped before its end it gives up its receives; what it sends must then stay in memory.
    class transfer {
      public:
        transfer() = default;
        /// Leaves `other` as if it had never been started.
        transfer(transfer&& other) noexcept { *this = std::move(other); }
        /// Swaps: `other` then ends what was this one's.
        transfer& operator=(transfer&& other) noexcept {
            std::swap(receives_, other.receives_);
            std::swap(paced_, other.paced_);
            std::swap(open_, other.open_);
            std::swap(requests_, other.requests_);
            std::swap(tag_, other.tag_);
            std::swap(persistent_, other.persistent_);
            std::swap(sends_, other.sends_);
            return *this;
        }
        /// Cancels receives; what is still being sent goes on by itself.
        ~transfer() {
            const auto give_up = [](MPI_Request& request) {
                if (request == MPI_REQUEST_NULL) return;
                MPI_Cancel(&request);
                MPI_Request_free(&request);
            };
            for (pending& receive : receives_) give_up(receive.request);
            for (MPI_Request& request : requests_) give_up(request);
            for (pending_send& send : sends_)
                if (send.request != MPI_REQUEST_NULL) MPI_Request_free(&send.request);
        }

      private:
        friend mpi_backend;
        struct pending {
            MPI_Request request = MPI_REQUEST_NULL;
            int from = 0;
            int bytes = 0;
            std::byte* data = nullptr;
        };
        struct pending_send {
            MPI_Request request = MPI_REQUEST_NULL;
            int to = 0;
            int bytes = 0;
            const std::byte* data = nullptr;
        };
        struct paced_chunk {
            int from = 0;
            int bytes = 0;
            bool last = false;  // of its block
        };
        std::vector<pending> receives_;     // by block, each block's chunks in order
        std::vector<receive_block> paced_;  // not posted yet, the next one at the back
        std::vector<paced_chunk> open_;     // what requests_ stand for
        std::vector<MPI_Request> requests_;
        std::vector<pending_send> sends_;
        int tag_ = 0;
        bool persistent_ = false;  // but for paced receives, which there are none then
    };

    /// Works on a duplicate of `communicator`, which may be freed. Throws argument_error also where
    /// `chunk_bytes` is 0 or beyond INT_MAX.
    explicit mpi_backend(MPI_Comm communicator, mpi_options options = {})
        : comm_(communicator, "mpi_backend", options.deadline),
          chunk_bytes_(options.chunk_bytes),
          persistent_(options.persistent_requests),
          watch_(comm_.get(), watch_tag, options.deadline),
          meetings_(comm_, watch_, meeting_tag),
          sent_(static_cast<std::size_t>(comm_.rank_count())) {
        if (chunk_bytes_ == 0)
            detail::throw_argument("mpi_backend", "chunk_bytes", "at least 1", "0");
        detail::mpi_count(chunk_bytes_, "mpi_backend", "chunk_bytes");
    }
    mpi_backend(const mpi_backend&) = delete;
    mpi_backend& operator=(const mpi_backend&) = delete;
    /// Where an exception is what ends its life, the other ranks are told, as by `abandon`.
    ~mpi_backend() {
        int finalised = 0;
        MPI_Finalized(&finalised);
        if (!finalised && std::uncaught_exceptions() > exceptions_)
            abandon("an exception ended the life of its backend");
        if (watch_.given_up()) comm_.never_free();
    }

    /// This rank's number in the communicator.
    rank_id rank() const noexcept { return comm_.rank(); }
    /// The size of the communicator.
    std::size_t rank_count() const noexcept { return static_cast<std::size_t>(comm_.rank_count()); }

    /// What `start` has sent so far; the caller may clear it.
    sent_traffic& sent() noexcept { return sent_; }

    /// Transfers with a window have a tag of their own each: a receive may be posted after those of
    /// later transfers.
    transfer start(std::span<const send_block> sends, std::span<const receive_block> receives,
                   std::span<const receive_block> paced = {}, std::size_t window = 0) {
        detail::check_blocks(rank(), rank_count(), sends, receives);
        detail::check_blocks(rank(), rank_count(), {}, paced);
        watch_.enter("start");
        transfer started;
        started.receives_.reserve(receives.size());
        started.sends_.reserve(sends.size());
        started.tag_ = window == 0 ? data_tag
                                   : first_paced_tag + static_cast<int>(windows_++ % paced_tags);
        started.persistent_ = persistent_ && window == 0 && paced.empty();
        for (const receive_block& block : receives)
            for_each_chunk(block.bytes, [&](std::size_t at, int bytes) {
                auto& chunk = started.receives_.emplace_back();
                chunk.from = block.from;
                chunk.bytes = bytes;
                chunk.data = block.data + at;
                post(started, chunk);
            });
        started.paced_.assign(paced.rbegin(), paced.rend());
        for (std::size_t i = 0; i < paced.size() && (window == 0 || i < window); ++i)
            post_paced(started, started.requests_.size());
        for (const send_block& block : sends) {
            for_each_chunk(block.bytes, [&](std::size_t at, int bytes) {
                auto& chunk = started.sends_.emplace_back();
                chunk.to = block.to;
                chunk.bytes = bytes;
                chunk.data = block.data + at;
                post(started, chunk);
            });
            sent_.record(block.to, block.bytes);
        }
        return started;
    }

    /// Receives are looked at in their order: a chunk that is short ends the wait before the chunks
    /// that will then never come. A block that is too long is found by MPI alone, which may have
    /// written past its place by then (Open MPI), or end the job unless MPI_COMM_WORLD has
    /// MPI_ERRORS_RETURN (MPICH).
    void wait(transfer& started) {
        watch_.enter("wait");
        MPI_Status status;
        int code = MPI_SUCCESS;
        for (;;) {
            int i = MPI_UNDEFINED;
            watch_.until("wait", [&] {
                int done = 0;
                code = MPI_Testany(static_cast<int>(started.requests_.size()),
                                   started.requests_.data(), &i, &done, &status);
                return done != 0 || code != MPI_SUCCESS;
            });
            if (i == MPI_UNDEFINED) {
                detail::check_mpi(code, "MPI_Testany");
                break;
            }
            const auto chunk = started.open_[static_cast<std::size_t>(i)];
            check_chunk(code, "MPI_Testany", status, chunk.from, chunk.bytes);
            if (chunk.last && !started.paced_.empty())
                post_paced(started, static_cast<std::size_t>(i));
        }
        const auto finish = [&](MPI_Request& request) {
            watch_.until("wait", [&] {
                int done = 0;
                code = MPI_Test(&request, &done, &status);
                return done != 0 || code != MPI_SUCCESS;
            });
        };
        for (auto& chunk : started.receives_) {
            finish(chunk.request);
            if (started.persistent_)
                idle_.keep({false, chunk.from, chunk.data, chunk.bytes}, chunk.request);
            check_chunk(code, "MPI_Test", status, chunk.from, chunk.bytes);
        }
        started.receives_.clear();
        for (auto& chunk : started.sends_) {
            finish(chunk.request);
            if (started.persistent_)
                idle_.keep({true, chunk.to, chunk.data, chunk.bytes}, chunk.request);
            detail::check_mpi(code, "MPI_Test");
        }
        started.sends_.clear();
    }

    /// Costs what the messages cost and one barrier, however many ranks there are (the NBX
    /// algorithm: Hoefler, Siebert, Lumsdaine, "Scalable communication protocols for dynamic sparse
    /// data exchange", PPoPP 2010). A synchronous send ends when its receiver has begun to take it;
    /// so once all ranks have entered the barrier, nothing is on its way any more.
    std::vector<message> exchange_messages(std::vector<message> messages) {
        detail::check_messages(rank(), rank_count(), messages);
        watch_.enter("exchange_messages");
        // A rank that is through already may send messages of the next exchange, but not of the one
        // after it: two tags keep them apart.
        const int tag = message_tags[exchanges_++ % 2];
        std::vector<message> received;
        std::vector<detail::words_under_way> sends;
        sends.reserve(messages.size());
        for (message& m : messages) {
            if (m.peer == rank()) {
                received.push_back(std::move(m));
                continue;
            }
            const int words = detail::mpi_count(m.words.size(), "exchange_messages", "words");
            detail::words_under_way& sent = sends.emplace_back(std::move(m.words));
            detail::check_mpi(MPI_Issend(sent.words.data(), words, MPI_INT64_T, m.peer, tag,
                                         comm_.get(), &sent.request),
                              "MPI_Issend");
        }
        MPI_Request barrier = MPI_REQUEST_NULL;
        std::size_t taken = 0;
        int all_here = 0;
        std::vector<detail::words_under_way> coming;
        watch_.until("exchange_messages", [&] {
            while (auto fresh = detail::begin_receive(comm_.get(), MPI_ANY_SOURCE, tag))
                coming.push_back(*std::move(fresh));
            int done = 1;
            for (; taken < sends.size(); ++taken) {
                detail::check_mpi(MPI_Test(&sends[taken].request, &done, MPI_STATUS_IGNORE),
                                  "MPI_Test");
                if (!done) return false;
            }
            if (barrier == MPI_REQUEST_NULL)
                detail::check_mpi(MPI_Ibarrier(comm_.get(), &barrier), "MPI_Ibarrier");
            detail::check_mpi(MPI_Test(&barrier, &all_here, MPI_STATUS_IGNORE), "MPI_Test");
            return all_here != 0;
        });
        for (detail::words_under_way& c : coming)
            received.push_back(detail::end_receive(watch_, "exchange_messages", c));
        std::stable_sort(received.begin(), received.end(),
                         [](const message& a, const message& b) { return a.peer < b.peer; });
        return received;
    }

    /// Ranks meet in pairs, log2 P times, and twice more where P is no power of two.
    count_scan scan_counts(std::span<const std::int64_t> counts) {
        if (auto sums = meetings_.scan(counts)) return *std::move(sums);
        throw_unequal(counts.size());
    }

    /// Ranks meet as for `scan_counts`, with two numbers each; words travel only where a rank
    /// fails.
    std::uint64_t agree(std::string_view failure, std::uint64_t number = 0) {
        return meetings_.agree(failure, number);
    }

    /// Tells each other rank, and waits for none: they find the words as soon as they have to wait.
    void abandon(std::string_view words) {
        watch_.give_up(detail::concat("rank ", rank(), " gave up: ", words));
    }

  private:
    static constexpr int data_tag = 0;
    static constexpr int message_tags[2] = {1, 2};
    static constexpr int meeting_tag = 3;
    static constexpr int watch_tag = 4;
    static constexpr int first_paced_tag = 5;
    static constexpr unsigned paced_tags = 32'000;  // MPI has tags up to 32,767 at least

    /// All ranks know that their lengths differ; now they hear whose.
    [[noreturn]] void throw_unequal(std::size_t length) {
        std::vector<message> all = exchange_messages({{0, {static_cast<std::int64_t>(length)}}});
        if (rank() == 0) {
            std::size_t odd = 1;
            while (all[odd].words == all[0].words) ++odd;
            const std::vector<std::int64_t> words{all[0].words[0], static_cast<std::int64_t>(odd),
                                                  all[odd].words[0]};
            for (std::size_t r = 0; r < all.size(); ++r)
                all[r] = {static_cast<rank_id>(r), words};
        } else {
            all.clear();
        }
        const std::vector<std::int64_t> words = exchange_messages(std::move(all))[0].words;
        detail::throw_argument("scan_counts", "counts",
                               detail::concat(words[0], ", as on rank 0"), detail::concat(words[2]),
                               static_cast<rank_id>(words[1]));
    }

    void post(const transfer& started, transfer::pending& c) {
        if (!started.persistent_)
            return detail::check_mpi(MPI_Irecv(c.data, c.bytes, MPI_BYTE, c.from, started.tag_,
                                               comm_.get(), &c.request),
                                     "MPI_Irecv");
        c.request = idle_.take({false, c.from, c.data, c.bytes});
        if (c.request == MPI_REQUEST_NULL)
            detail::check_mpi(MPI_Recv_init(c.data, c.bytes, MPI_BYTE, c.from, started.tag_,
                                            comm_.get(), &c.request),
                              "MPI_Recv_init");
        detail::check_mpi(MPI_Start(&c.request), "MPI_Start");
    }
    void post(const transfer& started, transfer::pending_send& c) {
        if (!started.persistent_)
            return detail::check_mpi(MPI_Isend(c.data, c.bytes, MPI_BYTE, c.to, started.tag_,
                                               comm_.get(), &c.request),
                                     "MPI_Isend");
        c.request = idle_.take({true, c.to, c.data, c.bytes});
        if (c.request == MPI_REQUEST_NULL)
            detail::check_mpi(MPI_Send_init(c.data, c.bytes, MPI_BYTE, c.to, started.tag_,
                                            comm_.get(), &c.request),
                              "MPI_Send_init");
        detail::check_mpi(MPI_Start(&c.request), "MPI_Start");
    }

    /// Posts the next paced block, its first chunk in the place of a request that has ended.
    void post_paced(transfer& started, std::size_t place) {
        const receive_block block = started.paced_.back();
        started.paced_.pop_back();
        for_each_chunk(block.bytes, [&](std::size_t at, int bytes) {
            if (place == started.requests_.size()) {
                started.requests_.push_back(MPI_REQUEST_NULL);
                started.open_.emplace_back();
            }
            const bool last = static_cast<std::size_t>(bytes) < chunk_bytes_;
            started.open_[place] = {block.from, bytes, last};
            detail::check_mpi(MPI_Irecv(block.data + at, bytes, MPI_BYTE, block.from, started.tag_,
                                        comm_.get(), &started.requests_[place]),
                              "MPI_Irecv");
            place = started.requests_.size();
        });
    }

    void check_chunk(int code, const char* operation, const MPI_Status& status, int from,
                     int expected) const {
        int kind = MPI_SUCCESS;
        if (code != MPI_SUCCESS) MPI_Error_class(code, &kind);
        if (kind == MPI_ERR_TRUNCATE) throw_wrong_size(from, expected, code, "more");
        detail::check_mpi(code, operation);
        int got = 0;
        detail::check_mpi(MPI_Get_count(&status, MPI_BYTE, &got), "MPI_Get_count");
        if (got != expected) throw_wrong_size(from, expected, 0, std::to_string(got));
    }

    /// Every block ends with a chunk below the limit, empty if need be: so a receiver that expects
    /// more than was sent meets a short chunk, and waits for none that never comes.
    template <class Post>
    void for_each_chunk(std::size_t bytes, Post post) const {
        std::size_t at = 0;
        for (; bytes - at >= chunk_bytes_; at += chunk_bytes_)
            post(at, static_cast<int>(chunk_bytes_));
        post(at, static_cast<int>(bytes - at));
    }

    [[noreturn]] void throw_wrong_size(int from, int expected, int code,
                                       std::string_view got) const {
        throw backend_error("wait", code,
                            detail::concat("rank ", rank(), " expected ", expected,
                                           " bytes from rank ", from, ", got ", got));
    }

    detail::own_communicator comm_;
    std::size_t chunk_bytes_;
    bool persistent_;
    detail::mpi_watch watch_;
    detail::mpi_meetings meetings_;
    int exceptions_ = std::uncaught_exceptions();
    detail::idle_requests idle_;
    unsigned exchanges_ = 0;
    unsigned windows_ = 0;  // transfers with one so far
    sent_traffic sent_;
};

/// Which ranks share a node's memory, as MPI finds it (MPI_COMM_TYPE_SHARED); nodes are numbered by
/// their lowest rank. Collective. Throws what `mpi_backend` throws.
inline topology node_topology(MPI_Comm communicator) {
    const detail::own_communicator all(communicator, "node_topology");
    const auto node = detail::own_communicator::of_node(all);
    int lowest = all.rank();
    detail::check_mpi(MPI_Bcast(&lowest, 1, MPI_INT, 0, node.get()), "MPI_Bcast");
    std::vector<int> lowest_of(static_cast<std::size_t>(all.rank_count()));
    detail::check_mpi(MPI_Allgather(&lowest, 1, MPI_INT, lowest_of.data(), 1, MPI_INT, all.get()),
                      "MPI_Allgather");
    std::vector<node_id> node_of_rank(lowest_of.size());
    node_id nodes = 0;
    for (std::size_t r = 0; r < lowest_of.size(); ++r) {
        const auto first = static_cast<std::size_t>(lowest_of[r]);
        node_of_rank[r] = first == r ? nodes++ : node_of_rank[first];
    }
    return topology::from_node_of_rank(std::move(node_of_rank));
}

}  // namespace locmoe
