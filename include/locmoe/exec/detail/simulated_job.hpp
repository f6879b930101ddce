#pragma once

#include <chrono>
#include <compare>
#include <condition_variable>
#include <cstddef>
#include <cstring>
#include <limits>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "locmoe/core/error.hpp"
#include "locmoe/core/ids.hpp"
#include "locmoe/plan/simulate.hpp"
#include "locmoe/topology/cluster_costs.hpp"
#include "locmoe/topology/detail/fluid_network.hpp"
#include "locmoe/topology/topology.hpp"

namespace locmoe::inline v0::detail {

class simulated_job;

/// A transfer's two sides on one rank. Dropped early, its open blocks never end.
struct simulated_flight {
    struct receive {
        rank_id from = 0;
        std::size_t number = 0;
        std::byte* data = nullptr;
        std::size_t bytes = 0;
    };

    simulated_job& job;
    std::vector<receive> paced;  // and not posted yet before `next`
    std::size_t next = 0;
    std::size_t room = 0;  // in the window
    std::size_t open = 0;  // blocks that have not left or arrived
    double done = 0;       // when the last did
    std::string failure;   // a block of the wrong size

    explicit simulated_flight(simulated_job& of) : job(of) {}
    simulated_flight(const simulated_flight&) = delete;
    simulated_flight& operator=(const simulated_flight&) = delete;
    inline ~simulated_flight();
};

/// What the threads of one simulated job share: each rank's clock, and the network. Time moves only
/// when every rank waits: then nothing can be posted before the next message arrives, so the
/// network may go on to it, and whoever it lets go on runs from that time on.
class simulated_job {
  public:
    enum class doing { running, waiting, meeting, left };

    struct seat {
        std::condition_variable woken;
        doing now_doing = doing::running;
        const simulated_flight* flight = nullptr;  // waited for
        double now = 0;
        double took_in = -std::numeric_limits<double>::infinity();  // the last block
    };

    simulated_job(const topology& nodes, const cluster_costs& costs, simulate_options options,
                  std::optional<std::chrono::milliseconds> deadline)
        : nodes_(nodes),
          costs_(costs),
          deadline_(deadline),
          network_(nodes_, costs_, options.resolution),
          seats_(nodes.rank_count()),
          running_(nodes.rank_count()) {
        const double round = nodes.node_count() > 1
                                 ? costs.inter_node.latency + costs.inter_node.overhead
                                 : costs.intra_node.latency + costs.intra_node.overhead;
        for (std::size_t reached = 1; reached < seats_.size(); reached *= 2) meeting_ += round;
    }

    const topology& nodes() const { return nodes_; }
    const cluster_costs& costs() const { return costs_; }
    std::unique_lock<std::mutex> lock() { return std::unique_lock(mutex_); }
    seat& at(rank_id rank) { return seats_[static_cast<std::size_t>(rank)]; }

    double overhead(rank_id a, rank_id b) const {
        return nodes_.same_node(a, b) ? costs_.intra_node.overhead : costs_.inter_node.overhead;
    }

    void post_send(rank_id from, rank_id to, std::size_t number, const std::byte* data,
                   std::size_t bytes, simulated_flight* flight) {
        block& b = open_[{from, to, number}];
        b.sender = flight;
        b.data = data;
        b.bytes = bytes;
        side_ready({from, to, number}, b, at(from).now);
    }

    void post_receive(rank_id from, rank_id to, std::size_t number, std::byte* data,
                      std::size_t bytes, simulated_flight* flight) {
        post_receive(at(to).now, from, to, number, data, bytes, flight, false);
    }

    /// Paced receives, as many as there is room for.
    void post_paced(double time, rank_id to, simulated_flight* flight) {
        for (; flight->room > 0 && flight->next < flight->paced.size(); --flight->room) {
            const simulated_flight::receive& r = flight->paced[flight->next++];
            post_receive(time, r.from, to, r.number, r.data, r.bytes, flight, true);
        }
    }

    /// Its memory is going away: a block of it that is still open never ends, on neither side.
    void drop(const simulated_flight* flight) {
        const auto forget = [&](block& b) {
            if (b.sender == flight) b.sender = nullptr;
            if (b.receiver == flight) b.receiver = nullptr;
        };
        for (auto& [id, b] : open_) forget(b);
        for (auto& [id, b] : matched_) forget(b);
        for (auto& [number, one] : on_the_way_) forget(one.second);
    }

    /// Ends when the flight has. False where it never will.
    bool wait(std::unique_lock<std::mutex>& held, rank_id rank, simulated_flight& flight) {
        seat& own = at(rank);
        own.flight = &flight;
        if (!broken_) post_paced(own.now, rank, &flight);
        if (!broken_ && over(own)) {
            if (flight.done > own.now) own.now = flight.done;
            return true;
        }
        return sleep(held, rank, doing::waiting);
    }

    /// Ends when all ranks have come, at the time of the last and what a meeting costs. False where
    /// they never will.
    bool meet(std::unique_lock<std::mutex>& held, rank_id rank) {
        return sleep(held, rank, doing::meeting);
    }

    /// The rank's function is over.
    void leave(rank_id rank, bool failed) {
        const auto held = lock();
        if (at(rank).now_doing == doing::running) --running_;
        at(rank).now_doing = doing::left;
        if (failed)
            break_off("");
        else if (running_ == 0)
            move_time();
    }

    /// The threads' own meeting says why.
    void abandon() {
        const auto held = lock();
        break_off("");
    }

    bool broken() const { return broken_; }
    /// Why, where no rank's leaving is to blame.
    const std::string& cause() const { return cause_; }

    double latest() const {
        double most = 0;
        for (const seat& s : seats_)
            if (s.now > most) most = s.now;
        return most;
    }

  private:
    /// Orders blocks alike in every run, whichever thread came first.
    struct key {
        rank_id from = 0;
        rank_id to = 0;
        std::size_t number = 0;  // among all blocks of this pair
        friend auto operator<=>(const key&, const key&) = default;
    };

    struct block {
        simulated_flight* sender = nullptr;
        simulated_flight* receiver = nullptr;
        const std::byte* data = nullptr;
        std::byte* into = nullptr;
        std::size_t bytes = 0;
        std::size_t expected = 0;
        std::size_t sides = 0;
        double ready = 0;
        bool paced = false;
    };

    void post_receive(double time, rank_id from, rank_id to, std::size_t number, std::byte* data,
                      std::size_t bytes, simulated_flight* flight, bool paced) {
        block& b = open_[{from, to, number}];
        b.receiver = flight;
        b.into = data;
        b.expected = bytes;
        b.paced = paced;
        side_ready({from, to, number}, b, time);
    }

    void side_ready(const key& id, block& b, double time) {
        if (time > b.ready) b.ready = time;
        if (++b.sides < 2) return;
        if (b.bytes != b.expected && b.receiver != nullptr)
            b.receiver->failure = concat("rank ", id.to, " expected ", b.expected,
                                         " bytes from rank ", id.from, ", got ", b.bytes);
        matched_.insert(open_.extract(id));
    }

    bool sleep(std::unique_lock<std::mutex>& held, rank_id rank, doing what) {
        seat& own = at(rank);
        if (broken_) return false;
        own.now_doing = what;
        if (--running_ == 0) move_time();
        const auto woken = [&] { return own.now_doing == doing::running || broken_; };
        if (!deadline_)
            own.woken.wait(held, woken);
        else if (!own.woken.wait_for(held, *deadline_, woken))
            break_off(concat("rank ", rank, " waited for rank ", first_running(), " for ",
                             deadline_->count(), " ms"));
        return own.now_doing == doing::running;
    }

    /// Time stands still because of it.
    std::size_t first_running() const {
        std::size_t r = 0;
        while (r < seats_.size() && seats_[r].now_doing != doing::running) ++r;
        return r;
    }

    /// Called when no rank runs: until one does again.
    void move_time() {
        while (!broken_ && !wake_some()) {
            for (auto& [id, b] : matched_) {
                network_.start(b.ready, id.from, id.to, static_cast<double>(b.bytes), started_);
                on_the_way_.emplace(started_++, std::pair(id, b));
            }
            matched_.clear();
            const auto arrived = network_.next();
            if (!arrived) {
                if (!all_left()) break_off(stuck());
                return;
            }
            const auto place = on_the_way_.find(arrived->message);
            const auto [id, b] = place->second;
            on_the_way_.erase(place);
            arrive(arrived->time, id, b);
        }
    }

    void arrive(double time, const key& id, const block& b) {
        if (b.sender == nullptr || b.receiver == nullptr || b.bytes != b.expected) return;
        std::memcpy(b.into, b.data, b.bytes);
        const auto end = [](simulated_flight& flight, double at) {
            --flight.open;
            if (at > flight.done) flight.done = at;
        };
        seat& to = at(id.to);
        const double earliest = to.took_in + overhead(id.from, id.to);
        to.took_in = time > earliest ? time : earliest;
        end(*b.sender, time);
        end(*b.receiver, to.took_in);
        if (!b.paced) return;
        ++b.receiver->room;
        if (to.now_doing == doing::waiting && to.flight == b.receiver)
            post_paced(to.took_in > to.now ? to.took_in : to.now, id.to, b.receiver);
    }

    /// The flight that is waited for has ended, or never will in the right way.
    static bool over(const seat& s) { return s.flight->open == 0 || !s.flight->failure.empty(); }

    bool wake_some() {
        std::size_t in_meeting = 0;
        double last = 0;
        for (seat& s : seats_) {
            if (s.now_doing == doing::waiting && over(s)) wake(s, s.flight->done);
            if (s.now_doing == doing::meeting) {
                ++in_meeting;
                if (s.now > last) last = s.now;
            }
        }
        if (in_meeting == seats_.size())
            for (seat& s : seats_) wake(s, last + meeting_);
        return running_ > 0;
    }

    void wake(seat& s, double time) {
        if (time > s.now) s.now = time;
        s.now_doing = doing::running;
        ++running_;
        s.woken.notify_one();
    }

    bool all_left() const {
        for (const seat& s : seats_)
            if (s.now_doing != doing::left) return false;
        return true;
    }

    /// Nothing is under way and every rank waits. Where one has left, the threads' own meeting says
    /// which.
    std::string stuck() const {
        std::string text;
        for (std::size_t r = 0; r < seats_.size(); ++r) {
            if (seats_[r].now_doing == doing::left) return "";
            if (seats_[r].now_doing == doing::waiting && text.empty())
                text = concat("rank ", r,
                              " waits for a transfer that its peers have not started, or have "
                              "dropped, and no rank can go on");
        }
        return text;
    }

    void break_off(std::string cause) {
        if (broken_) return;
        broken_ = true;
        cause_ = std::move(cause);
        for (seat& s : seats_) s.woken.notify_one();
    }

    const topology& nodes_;
    const cluster_costs& costs_;
    const std::optional<std::chrono::milliseconds> deadline_;
    std::mutex mutex_;
    fluid_network network_;
    std::vector<seat> seats_;
    std::size_t running_;
    double meeting_ = 0;
    std::map<key, block> open_;     // one side posted
    std::map<key, block> matched_;  // both, not yet on the network
    std::map<std::size_t, std::pair<key, block>> on_the_way_;
    std::size_t started_ = 0;
    bool broken_ = false;
    std::string cause_;
};

simulated_flight::~simulated_flight() {
    if (open == 0) return;
    const auto held = job.lock();
    job.drop(this);
}

}  // namespace locmoe::detail
