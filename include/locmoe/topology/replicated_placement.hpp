#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "locmoe/core/error.hpp"
#include "locmoe/core/ids.hpp"
#include "locmoe/core/matrix_view.hpp"
#include "locmoe/topology/expert_placement.hpp"
#include "locmoe/topology/topology.hpp"

namespace locmoe::inline v0 {

/// The ranks that hold a copy of one expert, ascending.
struct replica_group {
    expert_id expert = no_expert;  ///< logical
    std::vector<rank_id> ranks;    ///< each of them once
};

/// Experts with copies. A router chooses among *logical* experts; each of their replicas is a
/// *physical* expert, numbered by itself, so that assignment, plans and executor work on the
/// ordinary placement `physical()` and never hear of replicas. The shares say how much of a node's
/// tokens for an expert each replica serves. Every rank of a job must hold the same one.
///
/// Replicas are copies of one set of weights: all start equal, and after each backward pass the
/// gradients of an expert must be summed over the ranks of its group (an all-reduce for every entry
/// of `replica_groups()`, in the list's order, so that calls match on all ranks), before the
/// optimizer takes its step. A sum, no mean: each replica saw a part of the expert's tokens. So R
/// replicas cost 2 (R - 1) / R times the bytes of the expert's weights a step, and pay where they
/// save more than that on the way of the tokens: dispatch, combine and both backwards, times the
/// micro-batches of a step.
class replicated_placement {
  public:
    /// Physical expert p is a copy of logical expert `logical_of[p]`, 0 to `experts` - 1, each with
    /// one copy at least. `shares` [N, physical experts]: of a node's tokens for the expert, p
    /// serves the fraction share / (sum of the expert's shares on that node). Shares are not
    /// negative, their sums positive and below 2^53. Throws argument_error otherwise.
    static replicated_placement from_shares(expert_placement physical,
                                            std::vector<expert_id> logical_of, std::size_t experts,
                                            const topology& nodes,
                                            std::vector<std::int64_t> shares) {
        return replicated_placement(std::move(physical), std::move(logical_of), experts, nodes,
                                    std::move(shares));
    }

    /// Where each replica is: what to plan and to execute with.
    const expert_placement& physical() const noexcept { return physical_; }

    /// What the shares are kept for.
    const topology& nodes() const noexcept { return nodes_; }

    /// Logical experts: what to route among.
    std::size_t expert_count() const noexcept { return first_.size() - 1; }

    /// The logical expert that a physical one is a copy of. Not checked.
    expert_id logical_of(expert_id replica) const {
        return logical_of_[static_cast<std::size_t>(replica)];
    }

    /// The physical experts that are copies of `expert`, ascending.
    std::span<const expert_id> replicas_of(expert_id expert) const {
        const auto e = static_cast<std::size_t>(expert);
        return {replicas_.data() + first_[e], first_[e + 1] - first_[e]};
    }

    /// What `replica` serves of the tokens of `node` for its expert, in parts of `share_sum`.
    std::int64_t share(node_id node, expert_id replica) const {
        return shares_[static_cast<std::size_t>(node) * logical_of_.size() +
                       static_cast<std::size_t>(replica)];
    }

    /// All shares of a node's tokens for a logical expert.
    std::int64_t share_sum(node_id node, expert_id expert) const {
        std::int64_t sum = 0;
        for (const expert_id replica : replicas_of(expert)) sum += share(node, replica);
        return sum;
    }

    /// The experts with copies on several ranks, ascending: whose gradients are to be summed, and
    /// over which ranks.
    std::vector<replica_group> replica_groups() const {
        std::vector<replica_group> groups;
        for (std::size_t e = 0; e < expert_count(); ++e) {
            replica_group group{static_cast<expert_id>(e), {}};
            std::vector<char> holds(physical_.rank_count(), 0);
            for (const expert_id replica : replicas_of(group.expert))
                holds[static_cast<std::size_t>(physical_.rank_of(replica))] = 1;
            for (std::size_t r = 0; r < holds.size(); ++r)
                if (holds[r]) group.ranks.push_back(static_cast<rank_id>(r));
            if (group.ranks.size() > 1) groups.push_back(std::move(group));
        }
        return groups;
    }

    /// For each of a rank's choices of a logical expert the replica that serves it; `no_expert`
    /// stays. The m choices of an expert are dealt out by systematic sampling: choice i stands for
    /// the point (i + phase) / m of the shares laid end to end, with another phase on each rank of
    /// a node. So a replica gets its fraction of m to within one, on every rank and, where the
    /// ranks of a node make the same number of choices, on the node too. Deterministic, without a
    /// word to other ranks. Throws argument_error where the rank is none of the job or a choice is
    /// no logical expert.
    std::vector<expert_id> choose_replicas(std::span<const expert_id> chosen, rank_id rank) const {
        using detail::concat;
        if (rank < 0 || static_cast<std::size_t>(rank) >= nodes_.rank_count())
            detail::throw_argument("choose_replicas", "rank",
                                   concat("0 to ", nodes_.rank_count() - 1), concat(rank));
        struct dealing {
            std::size_t choices = 0;  // m
            std::size_t dealt = 0;    // i
            std::size_t replica = 0;  // place among the expert's replicas
            std::int64_t end = 0;     // of the replica's part of the shares
            std::int64_t sum = 0;
        };
        const node_id node = nodes_.node_of(rank);
        const double phase = (static_cast<double>(nodes_.local_index(rank)) + 0.5) /
                             static_cast<double>(nodes_.ranks_of(node).size());
        std::vector<dealing> deals(expert_count());
        for (std::size_t i = 0; i < chosen.size(); ++i) {
            if (chosen[i] == no_expert) continue;
            if (chosen[i] < 0 || static_cast<std::size_t>(chosen[i]) >= expert_count())
                detail::throw_argument("choose_replicas", concat("choice ", i),
                                       concat("0 to ", expert_count() - 1, ", or no_expert (-1)"),
                                       concat(chosen[i]), rank);
            ++deals[static_cast<std::size_t>(chosen[i])].choices;
        }
        for (std::size_t e = 0; e < expert_count(); ++e) {
            const auto expert = static_cast<expert_id>(e);
            deals[e].sum = share_sum(node, expert);
            deals[e].end = share(node, replicas_of(expert)[0]);
        }
        std::vector<expert_id> replicas(chosen.begin(), chosen.end());
        for (expert_id& choice : replicas) {
            if (choice == no_expert) continue;
            dealing& d = deals[static_cast<std::size_t>(choice)];
            const auto copies = replicas_of(choice);
            const double point = (static_cast<double>(d.dealt++) + phase) /
                                 static_cast<double>(d.choices) * static_cast<double>(d.sum);
            while (point >= static_cast<double>(d.end) && d.end < d.sum)
                d.end += share(node, copies[++d.replica]);
            choice = copies[d.replica];
        }
        return replicas;
    }

    friend bool operator==(const replicated_placement& a, const replicated_placement& b) {
        return a.physical_ == b.physical_ && a.logical_of_ == b.logical_of_ &&
               a.first_ == b.first_ && a.nodes_ == b.nodes_ && a.shares_ == b.shares_;
    }

  private:
    replicated_placement(expert_placement physical, std::vector<expert_id> logical_of,
                         std::size_t experts, const topology& nodes,
                         std::vector<std::int64_t> shares)
        : physical_(std::move(physical)),
          nodes_(nodes),
          logical_of_(std::move(logical_of)),
          shares_(std::move(shares)) {
        check_shapes(experts);
        // Of more experts than replicas one of the first has none: no need to look at them all.
        const std::size_t first = logical_of_.size() < experts ? logical_of_.size() + 1 : experts;
        first_.assign(first + 1, 0);
        for (const expert_id e : logical_of_)
            if (static_cast<std::size_t>(e) < first) ++first_[static_cast<std::size_t>(e) + 1];
        for (std::size_t e = 0; e < first; ++e) {
            if (first_[e + 1] == 0)
                detail::throw_argument("replicated_placement", detail::concat("expert ", e),
                                       "at least one replica", "none");
            first_[e + 1] += first_[e];
        }
        std::vector<std::size_t> next(first_.begin(), first_.end() - 1);
        replicas_.resize(logical_of_.size());
        for (std::size_t p = 0; p < logical_of_.size(); ++p)
            replicas_[next[static_cast<std::size_t>(logical_of_[p])]++] = static_cast<expert_id>(p);
        check_shares();
    }

    void check_shapes(std::size_t experts) const {
        using detail::concat;
        if (physical_.rank_count() != nodes_.rank_count())
            detail::throw_argument("replicated_placement", "physical",
                                   concat("one over ", nodes_.rank_count(), " ranks"),
                                   concat(physical_.rank_count()));
        if (logical_of_.size() != physical_.expert_count())
            detail::throw_argument("replicated_placement", "logical_of",
                                   concat(physical_.expert_count(), " experts"),
                                   concat(logical_of_.size()));
        if (shares_.size() != nodes_.node_count() * logical_of_.size())
            detail::throw_argument("replicated_placement", "shares",
                                   concat("[", nodes_.node_count(), ", ", logical_of_.size(), "]"),
                                   concat(shares_.size(), " numbers"));
        for (std::size_t p = 0; p < logical_of_.size(); ++p)
            if (logical_of_[p] < 0 || static_cast<std::size_t>(logical_of_[p]) >= experts)
                detail::throw_argument("replicated_placement", concat("logical_of ", p),
                                       concat("0 to n - 1 with n = ", experts),
                                       concat(logical_of_[p]));
    }

    void check_shares() const {
        using detail::concat;
        for (std::size_t n = 0; n < nodes_.node_count(); ++n)
            for (std::size_t e = 0; e < expert_count(); ++e) {
                std::int64_t sum = 0;
                for (const expert_id p : replicas_of(static_cast<expert_id>(e))) {
                    const std::int64_t s = share(static_cast<node_id>(n), p);
                    if (s < 0 || s >= exact_limit - sum)
                        detail::throw_argument("replicated_placement",
                                               concat("share of physical expert ", p),
                                               "0 or more, their sum below 2^53", concat(s));
                    sum += s;
                }
                if (sum == 0)
                    detail::throw_argument("replicated_placement",
                                           concat("shares of expert ", e, " for node ", n),
                                           "a positive sum", "0");
            }
    }

    static constexpr std::int64_t exact_limit = std::int64_t{1} << 53;  // whole numbers in a double

    expert_placement physical_;
    topology nodes_;
    std::vector<expert_id> logical_of_;
    std::vector<std::size_t> first_;  // logical expert -> its first place in replicas_, and one end
    std::vector<expert_id> replicas_;
    std::vector<std::int64_t> shares_;  // [N, physical experts]
};

/// What a placement makes of given loads, if every node keeps to its shares exactly.
struct load_estimate {
    double inter_node_fraction = 0;  ///< of all (token, slot) rows; 0 where there are none
    double load_max_over_mean =
        1;  ///< over the ranks that hold an expert; 1 where there is no load
};

/// `loads` [N, n]: rows that start on a node and are bound for a logical expert. Throws
/// argument_error where the shape is another.
inline load_estimate estimate_load(const replicated_placement& placed,
                                   matrix_view<const std::int64_t> loads) {
    using detail::concat;
    const topology& nodes = placed.nodes();
    if (loads.rows != nodes.node_count() || loads.cols != placed.expert_count())
        detail::throw_argument("estimate_load", "loads",
                               concat("[", nodes.node_count(), ", ", placed.expert_count(), "]"),
                               concat("[", loads.rows, ", ", loads.cols, "]"));
    std::vector<double> of_rank(nodes.rank_count(), 0);
    double all = 0, inter_node = 0;
    for (std::size_t n = 0; n < loads.rows; ++n)
        for (std::size_t e = 0; e < loads.cols; ++e) {
            const auto node = static_cast<node_id>(n);
            const auto expert = static_cast<expert_id>(e);
            const double part = static_cast<double>(loads(n, e)) /
                                static_cast<double>(placed.share_sum(node, expert));
            for (const expert_id p : placed.replicas_of(expert)) {
                const double rows = part * static_cast<double>(placed.share(node, p));
                const rank_id rank = placed.physical().rank_of(p);
                of_rank[static_cast<std::size_t>(rank)] += rows;
                all += rows;
                if (nodes.node_of(rank) != node) inter_node += rows;
            }
        }
    if (all == 0) return {};
    double highest = 0, holders = 0;
    for (std::size_t r = 0; r < of_rank.size(); ++r) {
        if (placed.physical().experts_of(static_cast<rank_id>(r)).empty()) continue;
        ++holders;
        if (of_rank[r] > highest) highest = of_rank[r];
    }
    return {inter_node / all, highest * holders / all};
}

}  // namespace locmoe
