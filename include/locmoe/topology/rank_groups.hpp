#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "locmoe/core/error.hpp"
#include "locmoe/core/ids.hpp"
#include "locmoe/topology/topology.hpp"

namespace locmoe::inline v0 {

/// The ranks of a cluster in groups of g, none of them across nodes: ranks 0 to g - 1 of each node,
/// by local index, then g to 2 g - 1, ... Groups are numbered in the order of their lowest ranks.
class rank_groups {
  public:
    /// Throws argument_error unless g is at least 1 and divides the ranks of every node.
    rank_groups(const topology& nodes, std::size_t group_size) : size_(group_size) {
        using detail::concat;
        if (group_size == 0) detail::throw_argument("rank_groups", "group_size", "at least 1", "0");
        for (std::size_t n = 0; n < nodes.node_count(); ++n) {
            const std::size_t there = nodes.ranks_of(static_cast<node_id>(n)).size();
            if (there % group_size != 0)
                detail::throw_argument("rank_groups", "group_size",
                                       concat("a divisor of the ", there, " ranks of node ", n),
                                       concat(group_size));
        }
        group_of_.resize(nodes.rank_count());
        index_.resize(nodes.rank_count());
        for (rank_id r = 0; r < static_cast<rank_id>(nodes.rank_count()); ++r) {
            const std::size_t local = nodes.local_index(r);
            if (local % group_size != 0) continue;
            const std::size_t group = group_count();
            for (std::size_t i = 0; i < group_size; ++i) {
                const rank_id member = nodes.ranks_of(nodes.node_of(r))[local + i];
                group_of_[static_cast<std::size_t>(member)] = group;
                index_[static_cast<std::size_t>(member)] = i;
                ranks_.push_back(member);
            }
        }
    }

    std::size_t group_count() const noexcept { return ranks_.size() / size_; }  ///< P / g
    std::size_t group_size() const noexcept { return size_; }                   ///< g

    /// From 0 to group_count() - 1. `rank` is not checked.
    std::size_t group_of(rank_id rank) const { return group_of_[static_cast<std::size_t>(rank)]; }

    /// Where `rank` stands in its group, from 0.
    std::size_t index_in_group(rank_id rank) const {
        return index_[static_cast<std::size_t>(rank)];
    }

    /// The ranks of a group, ascending.
    std::span<const rank_id> ranks_of(std::size_t group) const {
        return {ranks_.data() + group * size_, size_};
    }

  private:
    std::size_t size_;
    std::vector<rank_id> ranks_;         // by group
    std::vector<std::size_t> group_of_;  // by rank
    std::vector<std::size_t> index_;     // by rank
};

}  // namespace locmoe
