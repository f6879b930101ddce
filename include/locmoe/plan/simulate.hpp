#pragma once

#include <cstddef>
#include <limits>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "locmoe/core/error.hpp"
#include "locmoe/plan/exchange_plan.hpp"
#include "locmoe/topology/cluster_costs.hpp"
#include "locmoe/topology/detail/fluid_network.hpp"
#include "locmoe/topology/topology.hpp"

namespace locmoe::inline v0 {

/// How exactly `simulate` follows the links.
struct simulate_options {
    /// Links are shared out anew at most once in this fraction of the time since the network was
    /// last idle; times come out late by about as much. 0: whenever a message begins or ends.
    double resolution = 2e-3;
};

/// One phase on one rank, in seconds from the exchange's start.
struct phase_times {
    double ready = 0;   ///< what the phase needs is in: packing begins
    double posted = 0;  ///< all messages packed and handed to the network
    double done = 0;    ///< all messages of this rank have left and arrived

    friend bool operator==(const phase_times&, const phase_times&) = default;
};

/// When everything in one exchange happens.
struct simulated_exchange {
    std::vector<std::vector<phase_times>> phases;  ///< [P][phases]
    std::vector<double> finished;                  ///< [P]: the rows are delivered
    double seconds = 0;                            ///< until the last rank has finished

    friend bool operator==(const simulated_exchange&, const simulated_exchange&) = default;
};

namespace detail {

inline void check_simulation(const cluster_costs& costs, simulate_options options) {
    check_costs(costs);
    if (!(options.resolution >= 0 && options.resolution <= 1))
        throw_argument("simulate", "resolution", "0 to 1", concat(options.resolution));
}

/// All ranks' programs, each in the order of the executor, over one network.
class exchange_simulation {
  public:
    exchange_simulation(std::span<const exchange_plan> plans, flow exchange_plan::* which,
                        std::size_t row_bytes, const topology& nodes, const cluster_costs& costs,
                        simulate_options options)
        : nodes_(nodes),
          costs_(costs),
          row_bytes_(static_cast<double>(row_bytes)),
          network_(nodes_, costs_, options.resolution),
          ranks_(plans.size()) {
        if (plans.size() != nodes.rank_count())
            throw_argument("simulate", "plans",
                           concat("one for each of ", nodes.rank_count(), " ranks"),
                           concat(plans.size()));
        for (const exchange_plan& plan : plans) {
            const auto r = static_cast<std::size_t>(plan.rank);
            if (plan.rank < 0 || r >= ranks_.size() || ranks_[r].moved != nullptr)
                throw_argument("simulate", "plans", "the plan of each rank once",
                               concat("another of rank ", plan.rank));
            ranks_[r].moved = &(plan.*which);
            ranks_[r].phases.resize(ranks_[r].moved->phases.size());
            ranks_[r].times.resize(ranks_[r].moved->phases.size());
        }
        if (row_bytes > 0) list_messages();
    }

    simulated_exchange run() {
        for (std::size_t r = 0; r < ranks_.size(); ++r) go_on(r);
        while (const auto arrived = network_.next()) arrive(arrived->time, arrived->message);

        simulated_exchange result;
        for (state& rank : ranks_) {
            LOCMOE_ASSERT(rank.arrived == rank.times.size());
            const double now = rank.now + pack_seconds(rank.moved->deliver);
            result.phases.push_back(std::move(rank.times));
            result.finished.push_back(now);
            if (now > result.seconds) result.seconds = now;
        }
        return result;
    }

  private:
    struct in_flight {
        rank_id from = 0;
        rank_id to = 0;
        std::size_t phase = 0;
        row_index rows = 0;
        link_tier tier = link_tier::self;
        double ready = 0;  // the later of the sides that are ready
        std::size_t sides = 0;
        bool paced = false;  // its receive takes a place in the window
    };

    struct messages_of_phase {
        std::vector<std::size_t> out;    // in the order of the plan's sends
        std::vector<std::size_t> in;     // by sender; those without a window
        std::vector<std::size_t> paced;  // in the order of the plan's receives
        std::size_t next = 0;            // of paced, to post
        std::size_t room = 0;            // in the window
        std::size_t open = 0;            // sides that have not ended
    };

    struct state {
        const flow* moved = nullptr;
        std::vector<messages_of_phase> phases;
        std::vector<phase_times> times;
        std::size_t next = 0;                                       // phase to post
        std::size_t arrived = 0;                                    // phases waited for
        double now = 0;                                             // the rank is busy until then
        double took_in = -std::numeric_limits<double>::infinity();  // the last message
    };

    double overhead(link_tier tier) const {
        return tier == link_tier::intra_node ? costs_.intra_node.overhead
                                             : costs_.inter_node.overhead;
    }

    double pack_seconds(const row_sums& rows) const {
        return static_cast<double>(rows.from.size()) * row_bytes_ / costs_.pack_bandwidth;
    }

    /// Every send meets its receive, as plan laws ask. Throws plan_error otherwise.
    void list_messages() {
        for (std::size_t r = 0; r < ranks_.size(); ++r)
            for (std::size_t p = 0; p < ranks_[r].phases.size(); ++p)
                for (std::size_t i = 0; i < ranks_[r].moved->phases[p].sends.size(); ++i) {
                    const segment& s = ranks_[r].moved->phases[p].nth_send(i);
                    const auto to = static_cast<std::size_t>(s.peer);
                    if (s.peer < 0 || to >= ranks_.size() || p >= ranks_[to].phases.size())
                        refuse(r, p, concat("a send to rank ", s.peer));
                    const auto self = static_cast<rank_id>(r);
                    ranks_[r].phases[p].out.push_back(messages_.size());
                    ranks_[to].phases[p].in.push_back(messages_.size());
                    messages_.push_back({self, s.peer, p, s.rows, nodes_.tier(self, s.peer)});
                }
        std::vector<row_index> sent(ranks_.size(), 0);
        for (std::size_t r = 0; r < ranks_.size(); ++r)
            for (std::size_t p = 0; p < ranks_[r].phases.size(); ++p) {
                messages_of_phase& own = ranks_[r].phases[p];
                own.open = own.out.size() + own.in.size();
                const auto& receives = ranks_[r].moved->phases[p].receives;
                for (const std::size_t m : own.in)
                    sent[static_cast<std::size_t>(messages_[m].from)] += messages_[m].rows;
                std::size_t met = 0;
                for (const segment& s : receives)
                    if (s.peer >= 0 && static_cast<std::size_t>(s.peer) < ranks_.size() &&
                        sent[static_cast<std::size_t>(s.peer)] == s.rows)
                        ++met;
                if (met != own.in.size() || met != receives.size())
                    refuse(r, p, "receives that are not what is sent to it");
                for (const std::size_t m : own.in)
                    sent[static_cast<std::size_t>(messages_[m].from)] = 0;
                pace(ranks_[r].moved->phases[p], own);
            }
    }

    /// Takes what waits for room in the phase's window out of `in`.
    void pace(const phase& step, messages_of_phase& own) {
        own.room = step.open_receives(static_cast<std::size_t>(row_bytes_));
        if (own.room == 0) return;
        std::vector<std::size_t> of_rank(ranks_.size());
        std::vector<std::size_t> at_once;
        for (const std::size_t m : own.in) {
            messages_[m].paced = messages_[m].tier == link_tier::inter_node;
            if (!messages_[m].paced) at_once.push_back(m);
            of_rank[static_cast<std::size_t>(messages_[m].from)] = m;
        }
        for (std::size_t i = 0; i < step.receives.size(); ++i) {
            const std::size_t m = of_rank[static_cast<std::size_t>(step.nth_receive(i).peer)];
            if (messages_[m].paced) own.paced.push_back(m);
        }
        own.in = std::move(at_once);
    }

    [[noreturn]] static void refuse(std::size_t rank, std::size_t phase, std::string_view what) {
        throw plan_error(
            concat("locmoe: simulate: rank ", rank, " has in phase ", phase, " ", what));
    }

    /// Packs and posts every phase whose needs are in, then waits for all.
    void go_on(std::size_t r) {
        state& rank = ranks_[r];
        for (;;) {
            const bool posted_all = rank.next == rank.times.size();
            const std::size_t needs =
                posted_all ? rank.next : rank.moved->phases[rank.next].needs;
            for (; rank.arrived < needs; ++rank.arrived) {
                post_paced(rank.phases[rank.arrived], rank.now);
                if (rank.phases[rank.arrived].open > 0) return;
                if (rank.times[rank.arrived].done > rank.now)
                    rank.now = rank.times[rank.arrived].done;
            }
            if (posted_all) return;
            phase_times& times = rank.times[rank.next];
            times.ready = rank.now;
            rank.now += pack_seconds(rank.moved->phases[rank.next].pack);
            messages_of_phase& own = rank.phases[rank.next++];
            for (const std::size_t m : own.in) side_ready(m, rank.now);
            post_paced(own, rank.now);
            for (const std::size_t m : own.out) {
                rank.now += overhead(messages_[m].tier);
                side_ready(m, rank.now);
            }
            times.posted = times.done = rank.now;
        }
    }

    void post_paced(messages_of_phase& own, double time) {
        for (; own.room > 0 && own.next < own.paced.size(); --own.room)
            side_ready(own.paced[own.next++], time);
    }

    void side_ready(std::size_t message, double time) {
        in_flight& m = messages_[message];
        if (time > m.ready) m.ready = time;
        if (++m.sides == 2)
            network_.start(m.ready, m.from, m.to, static_cast<double>(m.rows) * row_bytes_,
                           message);
    }

    void arrive(double time, std::size_t message) {
        const in_flight& m = messages_[message];
        state& from = ranks_[static_cast<std::size_t>(m.from)];
        state& to = ranks_[static_cast<std::size_t>(m.to)];
        end_side(from, m.phase, time);
        const double earliest = to.took_in + overhead(m.tier);
        to.took_in = time > earliest ? time : earliest;
        end_side(to, m.phase, to.took_in);
        if (m.paced) {
            messages_of_phase& own = to.phases[m.phase];
            ++own.room;  // posted again at once by a rank that waits for it, else once it does
            if (to.arrived == m.phase && waits(to))
                post_paced(own, to.took_in > to.now ? to.took_in : to.now);
        }
        go_on(static_cast<std::size_t>(m.from));
        go_on(static_cast<std::size_t>(m.to));
    }

    /// The rank is in the wait for its first phase that has not arrived.
    static bool waits(const state& rank) {
        return rank.next == rank.times.size() ||
               rank.arrived < rank.moved->phases[rank.next].needs;
    }

    static void end_side(state& rank, std::size_t phase, double time) {
        --rank.phases[phase].open;
        if (time > rank.times[phase].done) rank.times[phase].done = time;
    }

    const topology& nodes_;
    const cluster_costs& costs_;
    double row_bytes_;
    fluid_network network_;
    std::vector<state> ranks_;
    std::vector<in_flight> messages_;
};

}  // namespace detail

/// When each phase of one flow would begin and end on every rank of a cluster that is not there,
/// with rows of `row_bytes` bytes. No payload moves; the same plans and costs give the same times,
/// to the bit, in whatever order the plans are listed.
///
/// All ranks start at 0 and do what the executor does: wait for what a phase needs, pack it
/// (pack_bandwidth; each row that is read counts), post its messages, one each `overhead`; at the
/// end deliver the rows, again at pack_bandwidth. Where a phase has a window, the next receive is
/// posted when one has been taken in and the rank waits for that phase. A message begins, after its
/// latency, once both its sides are posted (the rendezvous of large MPI messages) and shares links
/// max-min fairly (detail/fluid_network.hpp). A rank takes in one message each `overhead`. So a
/// single message takes latency + overhead + bytes / bandwidth.
///
/// Left out: the packing's share of a node's memory, all metadata.
/// Throws argument_error for costs or plans that do not fit, plan_error where a send has no
/// receive.
inline simulated_exchange simulate(std::span<const exchange_plan> plans,
                                   flow exchange_plan::* which, std::size_t row_bytes,
                                   const topology& nodes, const cluster_costs& costs,
                                   simulate_options options = {}) {
    detail::check_simulation(costs, options);
    return detail::exchange_simulation(plans, which, row_bytes, nodes, costs, options).run();
}

}  // namespace locmoe
