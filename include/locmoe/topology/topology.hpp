#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "locmoe/core/error.hpp"
#include "locmoe/core/ids.hpp"

namespace locmoe::inline v0 {

/// What a message crosses: nothing (same rank), a node's memory or switch, the network.
enum class link_tier : std::uint8_t {
    self,        ///< the same rank
    intra_node,  ///< another rank of the node
    inter_node   ///< a rank of another node
};

/// "self", "intra-node" or "inter-node", for reports.
constexpr const char* tier_name(link_tier tier) {
    switch (tier) {
        case link_tier::self: return "self";
        case link_tier::intra_node: return "intra-node";
        case link_tier::inter_node: return "inter-node";
    }
    return "unknown";
}

/// Which rank sits on which node. Nodes may hold different numbers of ranks, and a node's ranks
/// need not be neighbours. Every rank of a job must hold the same topology.
class topology {
  public:
    /// Ranks 0 to g - 1 on node 0, g to 2 g - 1 on node 1, ... Throws argument_error where there is
    /// no rank, or more than ids can number.
    static topology uniform(std::size_t nodes, std::size_t ranks_per_node) {
        if (nodes > 0 && ranks_per_node > most_ids / nodes)
            detail::throw_argument("topology", "ranks", detail::concat("at most ", most_ids),
                                   detail::concat(nodes, " times ", ranks_per_node));
        std::vector<node_id> node_of_rank(nodes * ranks_per_node);
        for (std::size_t r = 0; r < node_of_rank.size(); ++r)
            node_of_rank[r] = static_cast<node_id>(r / ranks_per_node);
        return from_node_of_rank(std::move(node_of_rank));
    }

    /// All ranks on one node: nothing is inter-node.
    static topology single_node(std::size_t ranks) { return uniform(1, ranks); }

    /// Rank r sits on `node_of_rank[r]`. Node ids are 0 to N - 1, each with at least one rank.
    /// Throws argument_error where there is no rank, an id is negative or a node stays empty.
    static topology from_node_of_rank(std::vector<node_id> node_of_rank) {
        return topology(std::move(node_of_rank));
    }

    std::size_t rank_count() const noexcept { return node_of_rank_.size(); }  ///< P
    std::size_t node_count() const noexcept { return first_.size() - 1; }     ///< N

    /// From 0 to N - 1. `rank` is not checked.
    node_id node_of(rank_id rank) const { return node_of_rank_[index(rank)]; }

    /// The ranks of a node, ascending.
    std::span<const rank_id> ranks_of(node_id node) const {
        const auto n = static_cast<std::size_t>(node);
        return {ranks_.data() + first_[n], first_[n + 1] - first_[n]};
    }

    /// Where `rank` stands among the ranks of its node, from 0.
    std::size_t local_index(rank_id rank) const { return local_index_[index(rank)]; }

    /// True of a rank and itself.
    bool same_node(rank_id a, rank_id b) const { return node_of(a) == node_of(b); }

    /// What a message from a to b crosses, the same both ways.
    link_tier tier(rank_id a, rank_id b) const {
        if (a == b) return link_tier::self;
        return same_node(a, b) ? link_tier::intra_node : link_tier::inter_node;
    }

    friend bool operator==(const topology& a, const topology& b) {
        return a.node_of_rank_ == b.node_of_rank_;
    }

  private:
    explicit topology(std::vector<node_id> node_of_rank) : node_of_rank_(std::move(node_of_rank)) {
        using detail::concat;
        if (node_of_rank_.empty())
            detail::throw_argument("topology", "node_of_rank", "at least one rank", "none");
        node_id highest = 0;
        for (std::size_t r = 0; r < node_of_rank_.size(); ++r) {
            const node_id node = node_of_rank_[r];
            if (node < 0 || static_cast<std::size_t>(node) >= node_of_rank_.size())
                detail::throw_argument("topology", concat("node of rank ", r),
                                       concat("0 to ", node_of_rank_.size() - 1), concat(node));
            if (node > highest) highest = node;
        }
        const std::size_t nodes = static_cast<std::size_t>(highest) + 1;
        first_.assign(nodes + 1, 0);
        for (const node_id node : node_of_rank_) ++first_[static_cast<std::size_t>(node) + 1];
        for (std::size_t n = 0; n < nodes; ++n) {
            if (first_[n + 1] == 0)
                detail::throw_argument("topology", concat("node ", n), "at least one rank", "none");
            first_[n + 1] += first_[n];
        }
        std::vector<std::size_t> next(first_.begin(), first_.end() - 1);
        ranks_.resize(node_of_rank_.size());
        local_index_.resize(node_of_rank_.size());
        for (std::size_t r = 0; r < node_of_rank_.size(); ++r) {
            const auto n = static_cast<std::size_t>(node_of_rank_[r]);
            local_index_[r] = next[n] - first_[n];
            ranks_[next[n]++] = static_cast<rank_id>(r);
        }
    }

    static std::size_t index(rank_id rank) { return static_cast<std::size_t>(rank); }

    std::vector<node_id> node_of_rank_;
    std::vector<std::size_t> first_;  // node -> its first place in ranks_, and one end
    std::vector<rank_id> ranks_;
    std::vector<std::size_t> local_index_;
};

}  // namespace locmoe
