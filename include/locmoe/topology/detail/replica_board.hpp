#pragma once

#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "locmoe/core/ids.hpp"
#include "locmoe/topology/topology.hpp"

namespace locmoe::inline v0::detail {

/// Replicas on ranks, while they are being placed: at most one of an expert on a rank, no more than
/// the rank has slots. A replica of expert e counts as the load `replica_load[e]`.
class replica_board {
  public:
    replica_board(const topology& nodes, std::span<const std::size_t> slots,
                  std::span<const double> replica_load)
        : nodes_(nodes),
          replica_load_(replica_load),
          free_(slots.begin(), slots.end()),
          held_(slots.size(), 0),
          load_(slots.size(), 0),
          holds_(slots.size() * replica_load.size(), 0) {}

    /// On the least loaded of the node's ranks with room, if that stays under the cap or is empty:
    /// what is above the cap by itself will be so everywhere. False where there is no such rank.
    bool put_on_node(std::size_t expert, node_id node, double cap) {
        std::size_t best = load_.size();
        for (const rank_id rank : nodes_.ranks_of(node)) {
            const auto r = static_cast<std::size_t>(rank);
            if (has_room(r, expert) && lighter(r, best)) best = r;
        }
        if (best == load_.size()) return false;
        if (held_[best] > 0 && load_[best] + replica_load_[expert] > cap) return false;
        put(expert, best);
        return true;
    }

    /// On the least loaded of all ranks with room, if any has.
    void put_anywhere(std::size_t expert) {
        std::size_t best = load_.size();
        for (std::size_t r = 0; r < load_.size(); ++r)
            if (has_room(r, expert) && lighter(r, best)) best = r;
        if (best != load_.size()) put(expert, best);
    }

    /// One exchange that takes most off the most loaded rank, where that is above the cap: inside
    /// its node if that helps, for then no replica leaves its node. False where there is nothing to
    /// do.
    bool relieve(double cap) {
        std::size_t heavy = 0;
        for (std::size_t r = 1; r < load_.size(); ++r)
            if (load_[r] > load_[heavy]) heavy = r;
        if (load_[heavy] <= cap) return false;
        exchange best = best_exchange(heavy, true);
        if (best.rank == heavy) best = best_exchange(heavy, false);
        if (best.rank == heavy) return false;
        take(best.given, heavy);
        if (best.taken != nothing) take(best.taken, best.rank);
        put(best.given, best.rank);
        if (best.taken != nothing) put(best.taken, heavy);
        return true;
    }

    /// Rank by rank, experts ascending: the rank of each replica, and the expert that it is one of.
    std::pair<std::vector<rank_id>, std::vector<expert_id>> replicas() const {
        std::pair<std::vector<rank_id>, std::vector<expert_id>> out;
        for (std::size_t r = 0; r < load_.size(); ++r)
            for (std::size_t e = 0; e < replica_load_.size(); ++e) {
                if (!holds(r, e)) continue;
                out.first.push_back(static_cast<rank_id>(r));
                out.second.push_back(static_cast<expert_id>(e));
            }
        return out;
    }

  private:
    static constexpr std::size_t nothing = static_cast<std::size_t>(-1);

    /// One replica for another, or for a free slot; `rank` is the heavy one where nothing helps.
    struct exchange {
        std::size_t rank;
        std::size_t given;
        std::size_t taken;
        double load;  // of the heavier of the two ranks, afterwards
    };

    exchange best_exchange(std::size_t heavy, bool same_node) const {
        // Gains within rounding error count as none, or the same two could be exchanged for ever.
        exchange best{heavy, nothing, nothing, load_[heavy] * (1 - 1e-9)};
        const auto weigh = [&](std::size_t r, std::size_t given, std::size_t taken, double moved) {
            const double given_up = load_[heavy] - moved, taken_on = load_[r] + moved;
            const double after = given_up > taken_on ? given_up : taken_on;
            if (after < best.load) best = {r, given, taken, after};
        };
        for (std::size_t r = 0; r < load_.size(); ++r) {
            if (r == heavy || (same_node && !nodes_.same_node(static_cast<rank_id>(r),
                                                              static_cast<rank_id>(heavy))))
                continue;
            for (std::size_t given = 0; given < replica_load_.size(); ++given) {
                if (!holds(heavy, given) || holds(r, given)) continue;
                if (free_[r] > 0) weigh(r, given, nothing, replica_load_[given]);
                for (std::size_t taken = 0; taken < replica_load_.size(); ++taken)
                    if (holds(r, taken) && !holds(heavy, taken))
                        weigh(r, given, taken, replica_load_[given] - replica_load_[taken]);
            }
        }
        return best;
    }

    void put(std::size_t expert, std::size_t rank) {
        --free_[rank];
        ++held_[rank];
        load_[rank] += replica_load_[expert];
        holds_[rank * replica_load_.size() + expert] = 1;
    }
    void take(std::size_t expert, std::size_t rank) {
        ++free_[rank];
        --held_[rank];
        load_[rank] -= replica_load_[expert];
        holds_[rank * replica_load_.size() + expert] = 0;
    }
    bool holds(std::size_t rank, std::size_t expert) const {
        return holds_[rank * replica_load_.size() + expert] != 0;
    }
    bool has_room(std::size_t rank, std::size_t expert) const {
        return free_[rank] > 0 && !holds(rank, expert);
    }
    bool lighter(std::size_t rank, std::size_t than) const {
        if (than == load_.size()) return true;
        if (load_[rank] != load_[than]) return load_[rank] < load_[than];
        return held_[rank] < held_[than];
    }

    const topology& nodes_;
    std::span<const double> replica_load_;  // [n]
    std::vector<std::size_t> free_;
    std::vector<std::size_t> held_;
    std::vector<double> load_;
    std::vector<char> holds_;  // [P, n]
};

}  // namespace locmoe::detail
