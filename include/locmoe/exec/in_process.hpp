#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "locmoe/core/error.hpp"
#include "locmoe/core/ids.hpp"
#include "locmoe/exec/backend.hpp"
#include "locmoe/exec/sent_traffic.hpp"

namespace locmoe::inline v0 {

/// How long ranks that are threads wait for each other.
struct in_process_options {
    /// How long an operation may wait for another rank before it is a backend_error on all ranks;
    /// empty: forever.
    std::optional<std::chrono::milliseconds> deadline = std::chrono::minutes(10);
};

namespace detail {

/// A block on its way. It lives in the sender's transfer, and the receiver reads it there.
struct posted_send {
    enum class step { open, being_read, read };

    rank_id from = 0;
    rank_id to = 0;
    const std::byte* data = nullptr;
    std::size_t bytes = 0;
    std::size_t number = 0;  // among all blocks of this ordered pair of ranks, by start
    step at = step::open;
};

struct pending_receive {
    rank_id from = 0;
    std::byte* data = nullptr;
    std::size_t bytes = 0;
    std::size_t number = 0;
};

/// What the threads of one job share. All of it is guarded by one mutex, but for the rows
/// themselves, which are copied outside of it.
class in_process_job {
  public:
    struct seat {
        std::condition_variable woken;
        std::vector<posted_send*> inbox;
        std::size_t meetings = 0;  // entered so far
        rank_id waits_for = no_rank;
        bool left = false;
        bool told = false;  // of another rank's failure: what it throws afterwards only follows
    };

    /// What one rank brings to a meeting.
    struct deposit {
        std::vector<message> messages;  // to this rank, by sender
        std::vector<std::int64_t> counts;
        std::string failure;
        std::uint64_t number = 0;
    };

    in_process_job(std::size_t ranks, in_process_options options)
        : options_(options),
          seats_(ranks),
          deposits_{std::vector<deposit>(ranks), std::vector<deposit>(ranks)} {
        for (seat& s : seats_) s.inbox.reserve(2 * ranks);  // a block or two from each rank
    }

    std::size_t rank_count() const { return seats_.size(); }
    std::unique_lock<std::mutex> lock() { return std::unique_lock(mutex_); }
    seat& at(rank_id rank) { return seats_[static_cast<std::size_t>(rank)]; }

    void throw_if_broken(rank_id rank, const char* operation, const char* why = "") {
        if (broken_.empty()) return;
        at(rank).told = true;
        throw backend_error(operation, 0, concat(why, broken_));
    }

    /// Ends every operation of every rank, under way or to come. The first cause stays.
    void break_off(std::string cause) {
        if (broken_.empty()) broken_ = std::move(cause);
        wake_all();
    }

    /// Sleeps until `ready()`. `missing()` is the rank that is waited for meanwhile.
    template <class Ready, class Missing>
    void sleep_until(std::unique_lock<std::mutex>& held, rank_id rank, const char* operation,
                     Ready ready, Missing missing) {
        using clock = std::chrono::steady_clock;
        const auto end =
            options_.deadline ? clock::now() + *options_.deadline : clock::time_point();
        for (bool late = false;;) {
            at(rank).waits_for = no_rank;
            if (ready()) return;
            throw_if_broken(rank, operation);
            const rank_id absent = missing();
            std::string cause;
            if (at(absent).left)
                cause = concat("rank ", absent, " left: its function returned");
            else if (late)
                cause = concat("rank ", rank, " waited for rank ", last_awaited(absent), " for ",
                               options_.deadline->count(), " ms");
            if (!cause.empty()) {
                cause += concat(" (in ", operation, " of rank ", rank, ")");
                break_off(cause);
                throw backend_error(operation, 0, cause);
            }
            at(rank).waits_for = absent;
            if (options_.deadline)
                late = at(rank).woken.wait_until(held, end) == std::cv_status::timeout;
            else
                at(rank).woken.wait(held);
        }
    }

    /// Where the ranks lay down what they bring to the next meeting. Two sets take turns: nobody
    /// can be two meetings ahead of a rank that still reads.
    std::vector<deposit>& table() { return deposits_[meeting_ % 2]; }

    /// Ends when every rank has entered the same operation.
    void meet(std::unique_lock<std::mutex>& held, rank_id rank, const char* operation) {
        if (arrived_ == 0) meeting_name_ = operation;
        if (std::string_view(meeting_name_) != operation) {
            const std::string cause = concat("rank ", rank, " entered ", operation,
                                             " where other ranks entered ", meeting_name_);
            break_off(cause);
            throw backend_error(operation, 0, cause);
        }
        const std::size_t mine = meeting_;
        ++at(rank).meetings;
        if (++arrived_ == rank_count()) {
            arrived_ = 0;
            ++meeting_;
            wake_all();
        }
        sleep_until(
            held, rank, operation, [&] { return meeting_ != mine; },
            [&] {
                rank_id r = 0;
                while (at(r).meetings > mine)
                    ++r;
                return r;
            });
    }

    /// The rank's function is over; `failure` is null where it returned.
    void leave(rank_id rank, const char* failure) {
        const auto held = lock();
        at(rank).left = true;
        if (failure == nullptr)
            wake_all();
        else
            break_off(concat("rank ", rank, " left: ", failure));
    }

    bool was_told(rank_id rank) { return at(rank).told; }

  private:
    /// Whom a rank waits for, and that one in turn: the one that does not wait is to blame.
    rank_id last_awaited(rank_id rank) {
        for (std::size_t i = 0; i < seats_.size() && at(rank).waits_for != no_rank; ++i)
            rank = at(rank).waits_for;
        return rank;
    }

    void wake_all() {
        for (seat& s : seats_)
            s.woken.notify_one();
    }

    const in_process_options options_;
    std::mutex mutex_;
    std::vector<seat> seats_;
    std::vector<deposit> deposits_[2];
    const char* meeting_name_ = "";
    std::size_t meeting_ = 0;  // how many are over
    std::size_t arrived_ = 0;
    std::string broken_;
};

/// A transfer's two sides on one rank; it serves one transfer after the other. Dropped early, it
/// takes back what nobody has read yet.
struct in_process_flight {
    in_process_job& job;
    rank_id rank;
    std::vector<posted_send> sends;
    std::vector<pending_receive> receives;  // not yet there

    in_process_flight(in_process_job& of, rank_id by) : job(of), rank(by) {}
    in_process_flight(const in_process_flight&) = delete;
    in_process_flight& operator=(const in_process_flight&) = delete;

    void drop() {
        auto held = job.lock();
        for (posted_send& sent : sends) {
            while (sent.at == posted_send::step::being_read)
                job.at(rank).woken.wait(held);
            if (sent.at == posted_send::step::open) std::erase(job.at(sent.to).inbox, &sent);
        }
        sends.clear();
        receives.clear();
    }
};

}  // namespace detail

/// The embedded default: the ranks are threads of this process, which `run_in_process` starts. A
/// row is copied once, by its receiver, out of the sender's memory. What goes wrong on one rank
/// ends the operations of all others with a backend_error that names it.
class in_process_backend {
  public:
    /// Lives no longer than the backend that started it.
    class transfer {
      private:
        friend in_process_backend;
        struct give_back {
            in_process_backend* backend;
            void operator()(detail::in_process_flight* flight) const noexcept {
                flight->drop();
                backend->idle_.emplace_back(flight);  // there is room: see take_idle
            }
        };
        std::unique_ptr<detail::in_process_flight, give_back> flight_;
    };

    /// For `run_in_process`, which makes one on each rank's thread.
    in_process_backend(detail::in_process_job& job, rank_id rank)
        : job_(job),
          rank_(rank),
          next_send_(job.rank_count(), 0),
          next_receive_(job.rank_count(), 0),
          sent_(job.rank_count()) {}
    in_process_backend(const in_process_backend&) = delete;
    in_process_backend& operator=(const in_process_backend&) = delete;

    /// The rank that this thread is.
    rank_id rank() const noexcept { return rank_; }
    /// The `ranks` of `run_in_process`.
    std::size_t rank_count() const noexcept { return job_.rank_count(); }

    /// What `start` has sent so far; the caller may clear it.
    sent_traffic& sent() noexcept { return sent_; }

    /// A window changes nothing: a receiver copies one block at a time anyhow.
    transfer start(std::span<const send_block> sends, std::span<const receive_block> receives,
                   std::span<const receive_block> paced = {}, std::size_t /*window*/ = 0) {
        detail::check_blocks(rank_, rank_count(), sends, receives);
        detail::check_blocks(rank_, rank_count(), {}, paced);
        transfer started;
        started.flight_ = take_idle();
        auto& flight = *started.flight_;
        flight.receives.reserve(receives.size() + paced.size());
        for (const auto blocks : {receives, paced})
            for (const receive_block& r : blocks)
                flight.receives.push_back(
                    {r.from, r.data, r.bytes, next_receive_[index(r.from)]++});
        flight.sends.reserve(sends.size());
        for (const send_block& s : sends) {
            flight.sends.push_back({rank_, s.to, s.data, s.bytes, next_send_[index(s.to)]++});
            sent_.record(s.to, s.bytes);
        }
        const auto held = enter("start");
        for (detail::posted_send& post : flight.sends) {
            job_.at(post.to).inbox.push_back(&post);
            job_.at(post.to).woken.notify_one();
        }
        return started;
    }

    /// Copies what comes, whichever block is there first, then waits until its own have been read.
    /// Throws argument_error for a transfer that was not started.
    void wait(transfer& started) {
        if (!started.flight_)
            detail::throw_argument("wait", "transfer", "one that was started", "none", rank_);
        auto& flight = *started.flight_;
        auto held = enter("wait");
        while (!flight.receives.empty())
            read_one(flight, held);
        std::size_t read = 0;
        job_.sleep_until(
            held, rank_, "wait",
            [&] {
                while (read < flight.sends.size() &&
                       flight.sends[read].at == detail::posted_send::step::read)
                    ++read;
                return read == flight.sends.size();
            },
            [&] { return flight.sends[read].to; });
    }

    /// Moves the messages to their receivers, without a copy of their words.
    std::vector<message> exchange_messages(std::vector<message> messages) {
        detail::check_messages(rank_, rank_count(), messages);
        auto held = enter("exchange_messages");
        auto& table = job_.table();
        for (message& m : messages) {
            auto& box = table[index(m.peer)].messages;
            auto place = box.end();
            while (place != box.begin() && (place - 1)->peer > rank_)
                --place;
            m.peer = rank_;
            box.insert(place, std::move(m));
        }
        job_.meet(held, rank_, "exchange_messages");
        return std::exchange(table[index(rank_)].messages, {});
    }

    /// Every rank reads the counts of all others: P times their length.
    count_scan scan_counts(std::span<const std::int64_t> counts) {
        auto held = enter("scan_counts");
        auto& table = job_.table();
        table[index(rank_)].counts.assign(counts.begin(), counts.end());
        job_.meet(held, rank_, "scan_counts");
        held.unlock();  // the table stays as it is until this rank enters its next meeting
        for (std::size_t r = 1; r < table.size(); ++r)  // the same verdict on every rank
            if (table[r].counts.size() != table[0].counts.size())
                detail::throw_argument("scan_counts", "counts",
                                       detail::concat(table[0].counts.size(), ", as on rank 0"),
                                       detail::concat(table[r].counts.size()),
                                       static_cast<rank_id>(r));
        count_scan scan{std::vector<std::int64_t>(counts.size(), 0),
                        std::vector<std::int64_t>(counts.size(), 0)};
        for (std::size_t r = 0; r < table.size(); ++r)
            for (std::size_t i = 0; i < counts.size(); ++i) {
                if (r < index(rank_)) scan.before[i] += table[r].counts[i];
                scan.total[i] += table[r].counts[i];
            }
        return scan;
    }

    /// One meeting of all threads.
    std::uint64_t agree(std::string_view failure, std::uint64_t number = 0) {
        auto held = enter("agree");
        auto& table = job_.table();
        table[index(rank_)].failure = failure;
        table[index(rank_)].number = number;
        job_.meet(held, rank_, "agree");
        std::uint64_t sum = 0;
        for (std::size_t r = 0; r < table.size(); ++r) {
            if (!table[r].failure.empty())
                throw backend_error("agree", 0, detail::concat("rank ", r, ": ", table[r].failure));
            sum += table[r].number;
        }
        return sum;
    }

    /// Wakes all threads that wait.
    void abandon(std::string_view words) {
        const auto held = job_.lock();
        job_.break_off(detail::concat("rank ", rank_, " gave up: ", words));
    }

  private:
    static std::size_t index(rank_id rank) { return static_cast<std::size_t>(rank); }

    // A flight that was given back, or a new one.
    std::unique_ptr<detail::in_process_flight, transfer::give_back> take_idle() {
        if (idle_.empty()) {
            idle_.reserve(++flights_);  // all may come back
            return {new detail::in_process_flight(job_, rank_), {this}};
        }
        auto flight = std::move(idle_.back());
        idle_.pop_back();
        return {flight.release(), {this}};
    }

    std::unique_lock<std::mutex> enter(const char* operation) {
        auto held = job_.lock();
        job_.throw_if_broken(rank_, operation, "of no use any more: ");
        return held;
    }

    /// Copies whichever block is there first.
    void read_one(detail::in_process_flight& flight, std::unique_lock<std::mutex>& held) {
        auto& inbox = job_.at(rank_).inbox;
        std::size_t r = 0;  // the receive, and the send that it meets
        std::size_t s = 0;
        job_.sleep_until(
            held, rank_, "wait",
            [&] {
                for (r = 0; r < flight.receives.size(); ++r)
                    for (s = 0; s < inbox.size(); ++s)
                        if (inbox[s]->from == flight.receives[r].from &&
                            inbox[s]->number == flight.receives[r].number)
                            return true;
                return false;
            },
            [&] { return flight.receives.front().from; });
        detail::posted_send& sent = *inbox[s];
        const detail::pending_receive into = flight.receives[r];
        if (sent.bytes != into.bytes) {
            const std::string cause =
                detail::concat("rank ", rank_, " expected ", into.bytes, " bytes from rank ",
                               sent.from, ", got ", sent.bytes);
            job_.break_off(cause);
            throw backend_error("wait", 0, cause);
        }
        inbox.erase(inbox.begin() + static_cast<std::ptrdiff_t>(s));
        flight.receives.erase(flight.receives.begin() + static_cast<std::ptrdiff_t>(r));
        sent.at = detail::posted_send::step::being_read;
        held.unlock();
        std::memcpy(into.data, sent.data, into.bytes);
        held.lock();
        sent.at = detail::posted_send::step::read;
        job_.at(sent.from).woken.notify_one();
    }

    detail::in_process_job& job_;
    rank_id rank_;
    std::vector<std::size_t> next_send_;     // numbers the blocks to each rank
    std::vector<std::size_t> next_receive_;  // and those from it
    sent_traffic sent_;
    std::size_t flights_ = 0;  // made so far
    std::vector<std::unique_ptr<detail::in_process_flight>> idle_;
};

/// Runs `function(in_process_backend&)` on `ranks` threads and returns when all have ended. Throws
/// what the lowest failing rank's function threw; errors that merely told a rank of another's
/// failure do not count. Throws argument_error where `ranks` is 0.
template <class Function>
void run_in_process(std::size_t ranks, Function&& function, in_process_options options = {}) {
    if (ranks == 0) detail::throw_argument("run_in_process", "ranks", "at least one", "none");
    detail::in_process_job job(ranks, options);
    std::vector<std::exception_ptr> failures(ranks);
    const auto run = [&](rank_id rank) {
        auto& failure = failures[static_cast<std::size_t>(rank)];
        try {
            in_process_backend backend(job, rank);
            function(backend);
            job.leave(rank, nullptr);
        } catch (const std::exception& e) {
            failure = std::current_exception();
            job.leave(rank, e.what());
        } catch (...) {
            failure = std::current_exception();
            job.leave(rank, "an exception of unknown type");
        }
    };
    {
        std::vector<std::jthread> threads;
        threads.reserve(ranks);
        for (std::size_t r = 0; r < ranks; ++r) {
            try {
                threads.emplace_back(run, static_cast<rank_id>(r));
            } catch (const std::exception& e) {  // no more threads: let those that run end
                failures[r] = std::current_exception();
                job.leave(static_cast<rank_id>(r), e.what());
                break;
            }
        }
    }
    for (std::size_t r = 0; r < ranks; ++r)
        if (failures[r] && !job.was_told(static_cast<rank_id>(r)))
            std::rethrow_exception(failures[r]);
}

}  // namespace locmoe
