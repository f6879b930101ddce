#pragma once

#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "locmoe/core/error.hpp"
#include "locmoe/core/ids.hpp"
#include "locmoe/routing/routing.hpp"

namespace locmoe::inline v0 {

/// Experts in disjoint groups, which may differ in size: those of a node, or of a domain of text.
/// Every expert is in one of them.
class expert_groups {
  public:
    /// Expert e in group floor(e G / n): neighbours together. Throws argument_error unless
    /// 1 <= G <= n.
    static expert_groups blocked(std::size_t experts, std::size_t groups) {
        if (groups == 0 || groups > experts)
            detail::throw_argument("expert_groups", "groups", detail::concat("1 to n = ", experts),
                                   detail::concat(groups));
        std::vector<std::size_t> group_of(experts);
        for (std::size_t e = 0; e < experts; ++e) group_of[e] = e * groups / experts;
        return expert_groups(std::move(group_of));
    }

    /// One group for each node that holds an expert, in the order of the nodes. `where` has been
    /// checked.
    static expert_groups by_node(const route_context& where) {
        std::vector<std::size_t> group_of_node(where.nodes.node_count(), 0);
        const auto node_of = [&](std::size_t e) {
            return static_cast<std::size_t>(
                where.nodes.node_of(where.placement.rank_of(static_cast<expert_id>(e))));
        };
        const std::size_t n = where.placement.expert_count();
        for (std::size_t e = 0; e < n; ++e) group_of_node[node_of(e)] = 1;
        std::size_t groups = 0;
        for (std::size_t& g : group_of_node) g = g == 0 ? 0 : groups++;
        std::vector<std::size_t> group_of(n);
        for (std::size_t e = 0; e < n; ++e) group_of[e] = group_of_node[node_of(e)];
        return expert_groups(std::move(group_of));
    }

    /// Expert e in `group_of_expert[e]`. Throws argument_error where there is no expert or a group
    /// between two others stays empty.
    static expert_groups from_group_of_expert(std::vector<std::size_t> group_of_expert) {
        return expert_groups(std::move(group_of_expert));
    }

    std::size_t expert_count() const noexcept { return group_of_.size(); }  ///< n
    std::size_t group_count() const noexcept { return first_.size() - 1; }  ///< G
    /// 0 to G - 1; not checked.
    std::size_t group_of(std::size_t expert) const { return group_of_[expert]; }

    /// The experts of a group, ascending.
    std::span<const expert_id> experts_of(std::size_t group) const {
        return {experts_.data() + first_[group], first_[group + 1] - first_[group]};
    }

    /// Whether the groups one after the other hold the experts in order, as those that `blocked`
    /// makes and, of a blocked placement, the nodes do.
    bool in_order() const noexcept { return in_order_; }

  private:
    explicit expert_groups(std::vector<std::size_t> group_of) : group_of_(std::move(group_of)) {
        using detail::concat;
        if (group_of_.empty())
            detail::throw_argument("expert_groups", "experts", "at least one", "none");
        const std::size_t n = group_of_.size();
        for (std::size_t e = 0; e < n; ++e) {
            if (group_of_[e] >= n)
                detail::throw_argument("expert_groups", concat("group of expert ", e),
                                       concat("0 to n - 1 with n = ", n), concat(group_of_[e]));
            if (group_of_[e] + 2 > first_.size()) first_.resize(group_of_[e] + 2, 0);
            ++first_[group_of_[e] + 1];
        }
        for (std::size_t g = 0; g < group_count(); ++g) {
            if (first_[g + 1] == 0)
                detail::throw_argument("expert_groups", concat("group ", g), "at least one expert",
                                       "none");
            first_[g + 1] += first_[g];
        }
        experts_.resize(n);
        std::vector<std::size_t> next(first_.begin(), first_.end() - 1);
        for (std::size_t e = 0; e < n; ++e)
            experts_[next[group_of_[e]]++] = static_cast<expert_id>(e);
        for (std::size_t e = 1; e < n; ++e)
            in_order_ = in_order_ && group_of_[e - 1] <= group_of_[e];
    }

    std::vector<std::size_t> group_of_;
    std::vector<std::size_t> first_;  // group -> its first place in experts_, and one end
    std::vector<expert_id> experts_;
    bool in_order_ = true;
};

}  // namespace locmoe
