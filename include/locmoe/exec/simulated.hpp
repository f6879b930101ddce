#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "locmoe/core/error.hpp"
#include "locmoe/core/ids.hpp"
#include "locmoe/exec/backend.hpp"
#include "locmoe/exec/detail/simulated_job.hpp"
#include "locmoe/exec/in_process.hpp"
#include "locmoe/exec/sent_traffic.hpp"
#include "locmoe/plan/simulate.hpp"
#include "locmoe/topology/cluster_costs.hpp"
#include "locmoe/topology/topology.hpp"

namespace locmoe::inline v0 {

/// Ranks as threads of this process, each with a clock of its own that says how long it would all
/// have taken on a cluster that is not there. Rows and messages do travel; what runs on it cannot
/// tell, but for the clock. The same program gives the same times in every run, to the bit, unless
/// it acts on something beside the backend.
///
/// - A block costs what it costs in `simulate`: one overhead to post, a latency from when both its
///   sides are posted, its bytes on links shared max-min fairly, one overhead between blocks that
///   are taken in.
/// - `agree`, `scan_counts` and `exchange_messages` end on all ranks ceil(log2 P) times latency and
///   overhead after the last has come; their contents travel free.
/// - Computation takes no time but what the rank says by `advance`: simulated_kernels does so.
class simulated_backend {
  public:
    /// Lives no longer than the backend that started it.
    class transfer {
      private:
        friend simulated_backend;
        std::unique_ptr<detail::simulated_flight> flight_;
    };

    /// For `run_simulated`, which makes one on each rank's thread.
    simulated_backend(detail::simulated_job& job, in_process_backend& threads)
        : job_(job),
          threads_(threads),
          seat_(job.at(threads.rank())),
          next_send_(threads.rank_count(), 0),
          next_receive_(threads.rank_count(), 0),
          sent_(threads.rank_count()) {}
    simulated_backend(const simulated_backend&) = delete;
    simulated_backend& operator=(const simulated_backend&) = delete;

    /// The rank that this thread is.
    rank_id rank() const noexcept { return threads_.rank(); }
    /// The ranks of `nodes()`.
    std::size_t rank_count() const noexcept { return threads_.rank_count(); }
    /// The simulated cluster's, as `run_simulated` was given it.
    const topology& nodes() const noexcept { return job_.nodes(); }
    /// What the clocks go by.
    const cluster_costs& costs() const noexcept { return job_.costs(); }

    /// This rank's clock, in seconds from the job's start.
    double now() const noexcept { return seat_.now; }

    /// Lets this rank compute for `seconds`, 0 or more.
    void advance(double seconds) {
        if (!(seconds >= 0 && seconds < std::numeric_limits<double>::infinity()))
            detail::throw_argument("advance", "seconds", "0 or more", detail::concat(seconds),
                                   rank());
        seat_.now += seconds;
    }

    /// What `start` has sent so far; the caller may clear it.
    sent_traffic& sent() noexcept { return sent_; }

    /// Moves the clock on by one overhead for each block that is sent.
    transfer start(std::span<const send_block> sends, std::span<const receive_block> receives,
                   std::span<const receive_block> paced = {}, std::size_t window = 0) {
        detail::check_blocks(rank(), rank_count(), sends, receives);
        detail::check_blocks(rank(), rank_count(), {}, paced);
        transfer started;
        started.flight_ = std::make_unique<detail::simulated_flight>(job_);
        auto* flight = started.flight_.get();
        flight->open = sends.size() + receives.size() + paced.size();
        flight->room = window == 0 ? paced.size() : window;
        for (const receive_block& r : paced)
            flight->paced.push_back({r.from, next_receive_[index(r.from)]++, r.data, r.bytes});
        auto held = job_.lock();
        refuse_broken(held, "start");
        for (const receive_block& r : receives)
            job_.post_receive(r.from, rank(), next_receive_[index(r.from)]++, r.data, r.bytes,
                              flight);
        job_.post_paced(seat_.now, rank(), flight);
        for (const send_block& s : sends) {
            seat_.now += job_.overhead(rank(), s.to);
            job_.post_send(rank(), s.to, next_send_[index(s.to)]++, s.data, s.bytes, flight);
            sent_.record(s.to, s.bytes);
        }
        flight->done = seat_.now;
        return started;
    }

    /// Moves the clock on to when the last block has left or come in. Throws argument_error for a
    /// transfer that was not started.
    void wait(transfer& started) {
        if (!started.flight_)
            detail::throw_argument("wait", "transfer", "one that was started", "none", rank());
        auto held = job_.lock();
        refuse_broken(held, "wait");
        if (!job_.wait(held, rank(), *started.flight_)) throw_broken(held, "wait");
        if (!started.flight_->failure.empty())
            throw backend_error("wait", 0, started.flight_->failure);
    }

    /// As `in_process_backend`; then all clocks show the meeting's end.
    std::vector<message> exchange_messages(std::vector<message> messages) {
        detail::check_messages(rank(), rank_count(), messages);
        meet("exchange_messages");
        return threads_.exchange_messages(std::move(messages));
    }

    /// As `in_process_backend`; then all clocks show the meeting's end.
    count_scan scan_counts(std::span<const std::int64_t> counts) {
        meet("scan_counts");
        return threads_.scan_counts(counts);
    }

    /// As `in_process_backend`; then all clocks show the meeting's end.
    std::uint64_t agree(std::string_view failure, std::uint64_t number = 0) {
        meet("agree");
        return threads_.agree(failure, number);
    }

    /// As `in_process_backend`; who waits for simulated time wakes as well.
    void abandon(std::string_view words) {
        threads_.abandon(words);
        job_.abandon();
    }

  private:
    static std::size_t index(rank_id rank) { return static_cast<std::size_t>(rank); }

    /// The threads may meet once all ranks are about to: before, one that sleeps there would hold
    /// up the time of those that wait for messages.
    void meet(const char* operation) {
        auto held = job_.lock();
        refuse_broken(held, operation);
        if (!job_.meet(held, rank())) throw_broken(held, operation);
    }

    void refuse_broken(std::unique_lock<std::mutex>& held, const char* operation) {
        if (job_.broken()) throw_broken(held, operation, "of no use any more: ");
    }

    [[noreturn]] void throw_broken(std::unique_lock<std::mutex>& held, const char* operation,
                                   const char* why = "") {
        const std::string cause = job_.cause();
        held.unlock();
        if (cause.empty()) threads_.agree("");  // throws, and names the rank that has left
        throw backend_error(operation, 0, detail::concat(why, cause));
    }

    detail::simulated_job& job_;
    in_process_backend& threads_;
    detail::simulated_job::seat& seat_;
    std::vector<std::size_t> next_send_;     // numbers the blocks to each rank
    std::vector<std::size_t> next_receive_;  // and those from it
    sent_traffic sent_;
};

/// Runs `function(simulated_backend&)` on a thread for each rank of `nodes`, and returns the time
/// on the latest clock in the end, in seconds. The deadline of `waiting` is in real time. Throws
/// what run_in_process throws, and argument_error for costs that do not fit.
template <class Function>
double run_simulated(const topology& nodes, const cluster_costs& costs, Function&& function,
                     simulate_options options = {}, in_process_options waiting = {}) {
    detail::check_simulation(costs, options);
    detail::simulated_job job(nodes, costs, options, waiting.deadline);
    const auto run = [&](in_process_backend& threads) {
        threads.agree("");  // all threads are there: from here on, each rank leaves by name
        bool returned = false;
        struct leaving {
            detail::simulated_job& job;
            rank_id rank;
            bool& returned;
            ~leaving() { job.leave(rank, !returned); }
        } at_the_end{job, threads.rank(), returned};
        simulated_backend backend(job, threads);
        function(backend);
        returned = true;
    };
    run_in_process(nodes.rank_count(), run, waiting);
    return job.latest();
}

}  // namespace locmoe
