#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "locmoe/core/error.hpp"
#include "locmoe/plan/exchange_plan.hpp"
#include "locmoe/topology/cluster_costs.hpp"
#include "locmoe/topology/topology.hpp"

namespace locmoe::inline v0 {

/// Seconds that an exchange of a routing takes at least, by what sets the limit.
struct exchange_bound {
    double nodes = 0;   ///< a node's network card
    double leaves = 0;  ///< a leaf switch's uplinks
    double ranks = 0;   ///< a rank's own links, inside and outwards together

    /// The largest of the three.
    double seconds() const {
        const double most = nodes > leaves ? nodes : leaves;
        return most > ranks ? most : ranks;
    }
};

namespace detail {

/// Rows that cross into and out of the places of one kind, each token once to a place.
class crossings {
  public:
    explicit crossings(std::size_t places)
        : in_(places, 0), out_(places, 0), last_token_(places, -1) {}

    void cross(std::size_t from, std::size_t to, std::int64_t token) {
        if (from == to || last_token_[to] == token) return;
        last_token_[to] = token;
        ++in_[to];
        ++out_[from];
    }
    /// The same, but the source sends a token once, and another place passes it on.
    void cross_once(std::size_t from, std::size_t to, std::int64_t token) {
        if (from == to || last_token_[to] == token) return;
        const bool sent = last_token_[from] == token;
        last_token_[from] = last_token_[to] = token;
        ++in_[to];
        if (!sent) ++out_[from];
    }
    /// The same, where any of several sources may send it.
    void take_in(std::size_t to, std::int64_t token) {
        if (last_token_[to] == token) return;
        last_token_[to] = token;
        ++in_[to];
    }
    double rows(std::size_t place) const {
        return static_cast<double>(in_[place] > out_[place] ? in_[place] : out_[place]);
    }

  private:
    std::vector<std::int64_t> in_;
    std::vector<std::int64_t> out_;
    std::vector<std::int64_t> last_token_;
};

}  // namespace detail

/// What bandwidth allows for one dispatch, or one combine, of rows of `row_bytes` bytes: a token
/// goes from its node to each other node that wants it once, likewise between leaves; each rank
/// that wants it takes it in once, and its own rank lets it go once. Combine brings as many partial
/// sums back. `plans` are those of all ranks, of any strategy: only their kept pairs are looked at.
/// Groups stand on one node each: their tokens count once, and every rank of a group that wants one
/// takes it in.
///
/// Loose where latency, overhead or packing count. It holds for exchanges that carry no row through
/// a third node. Throws argument_error for costs or plans that do not fit.
inline exchange_bound lower_bound(std::span<const exchange_plan> plans, std::size_t row_bytes,
                                  const topology& nodes, const cluster_costs& costs) {
    using detail::concat;
    check_costs(costs);
    const std::size_t ranks = nodes.rank_count();
    if (plans.size() != ranks)
        detail::throw_argument("lower_bound", "plans", concat("one for each of ", ranks, " ranks"),
                               concat(plans.size()));
    std::vector<const exchange_plan*> at;  // by expert: the plan of a rank that holds it
    for (const exchange_plan& plan : plans)
        for (const expert_id e : plan.experts) {
            const auto expert = static_cast<std::size_t>(e);
            if (expert >= at.size()) at.resize(expert + 1, nullptr);
            at[expert] = &plan;
        }

    const std::size_t leaf = costs.leaves ? costs.leaves->nodes : nodes.node_count();
    detail::crossings by_node(nodes.node_count());
    detail::crossings by_leaf((nodes.node_count() - 1) / leaf + 1);
    detail::crossings by_rank(ranks);
    std::int64_t token = 0;
    std::vector<const exchange_plan*> wanted;  // [T, k] of one rank
    for (const exchange_plan& plan : plans) {
        if (plan.rank != plan.first_of_group()) continue;
        const auto from = static_cast<std::size_t>(plan.rank);
        const auto home = static_cast<std::size_t>(nodes.node_of(plan.rank));
        wanted.assign(plan.token_count * plan.choice_count, nullptr);
        for (std::size_t i = 0; i < plan.pair_count(); ++i)
            wanted.at(static_cast<std::size_t>(plan.pair_slots[i])) =
                at.at(static_cast<std::size_t>(plan.pair_experts[i]));
        for (std::size_t i = 0; i < wanted.size(); ++i) {
            if (wanted[i] == nullptr) continue;
            const std::int64_t id = token + static_cast<std::int64_t>(i / plan.choice_count);
            const auto there = static_cast<std::size_t>(nodes.node_of(wanted[i]->rank));
            by_node.cross(home, there, id);
            by_leaf.cross(home / leaf, there / leaf, id);
            if (plan.group.empty())
                by_rank.cross_once(from, static_cast<std::size_t>(wanted[i]->rank), id);
            else if (wanted[i]->first_of_group() != plan.rank)
                for (const rank_id r : wanted[i]->group)
                    by_rank.take_in(static_cast<std::size_t>(r), id);
        }
        token += static_cast<std::int64_t>(plan.token_count);
    }

    exchange_bound bound;
    const auto raise = [&](double& most, double rows, double bandwidth) {
        const double seconds = rows * static_cast<double>(row_bytes) / bandwidth;
        if (rows > 0 && seconds > most) most = seconds;
    };
    const auto least = [](double a, double b) { return a < b ? a : b; };
    for (std::size_t n = 0; n < nodes.node_count(); ++n) {
        const auto there = nodes.ranks_of(static_cast<node_id>(n));
        const auto count = static_cast<double>(there.size());
        raise(bound.nodes, by_node.rows(n),
              least(costs.inter_node.nic_bandwidth, count * costs.inter_node.rank_bandwidth));
        const double inside = least(costs.intra_node.rank_bandwidth,
                                    (count - 1) * costs.intra_node.message_bandwidth);
        const double outside = nodes.node_count() == 1 ? 0
                                                       : least(costs.inter_node.rank_bandwidth,
                                                               costs.inter_node.nic_bandwidth);
        for (const rank_id r : there)
            raise(bound.ranks, by_rank.rows(static_cast<std::size_t>(r)), inside + outside);
    }
    if (costs.leaves)
        for (std::size_t l = 0; l <= (nodes.node_count() - 1) / leaf; ++l)
            raise(bound.leaves, by_leaf.rows(l), costs.leaves->uplink_bandwidth);
    return bound;
}

}  // namespace locmoe
