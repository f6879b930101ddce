#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "locmoe/core/detail/merge_sort.hpp"
#include "locmoe/core/error.hpp"
#include "locmoe/plan/exchange_plan.hpp"
#include "locmoe/plan/flow.hpp"
#include "locmoe/topology/topology.hpp"

namespace locmoe::inline v0 {

/// In which order a node dispatches to the other nodes and takes in from them, and for how many it
/// has credits out at a time. It changes no row's place, so it is correct for any plan, however
/// old.
struct message_order {
    std::string name;           ///< what `ordered` adds to the plan's strategy, such as "rotated"
    std::vector<node_id> to;    ///< [N - 1]: every other node once
    std::vector<node_id> from;  ///< [N - 1]
    std::size_t window = 0;     ///< nodes from which messages are let in at a time; 0: all

    /// A node lets in at least so many bytes, whatever the window: while one message ends and the
    /// next one's first byte is on its way, the others must keep the card busy. 2 MiB are 30
    /// latencies of 5 us at 12.5 GB/s.
    std::size_t window_bytes = std::size_t{2} << 20;
};

/// Node n gives to n + 1, n + 2, ... and takes from n - 1, n - 2, ...: with equal rows each
/// receiver meets one sender at a time. Throws argument_error for a node that is not there.
inline message_order rotated_order(const topology& nodes, node_id node, std::size_t window = 0) {
    const std::size_t count = nodes.node_count();
    const auto self = static_cast<std::size_t>(node);
    if (node < 0 || self >= count)
        detail::throw_argument("rotated_order", "node", detail::concat("0 to ", count - 1),
                               detail::concat(node));
    message_order order{"rotated", {}, {}, window};
    for (std::size_t distance = 1; distance < count; ++distance) {
        order.to.push_back(static_cast<node_id>((self + distance) % count));
        order.from.push_back(static_cast<node_id>((self + count - distance) % count));
    }
    return order;
}

namespace detail {

/// Orders the messages of one flow on one rank.
class flow_ordering {
  public:
    flow_ordering(const topology& nodes, rank_id rank, const message_order& order)
        : nodes_(nodes), rank_(rank), order_(order) {
        place_to_ = places(order.to, "to");
        place_from_ = places(order.from, "from");
    }

    void apply(flow& moved, bool forwards) const {
        for (phase& p : moved.phases) {
            p.send_order = sorted(p.sends, forwards ? place_to_ : place_from_, forwards);
            p.receive_order = sorted(p.receives, forwards ? place_from_ : place_to_, !forwards);
            p.window = {};
            if (order_.window == 0) continue;
            const auto node = nodes_.ranks_of(nodes_.node_of(rank_));
            p.window = {order_.window * most_of_a_node(p.receives),
                        order_.window_bytes / node.size()};
        }
    }

  private:
    /// By node, where it stands in the order; the own node last.
    std::vector<std::size_t> places(const std::vector<node_id>& listed, const char* name) const {
        const std::size_t count = nodes_.node_count();
        std::vector<std::size_t> place(count, count);
        const auto self = static_cast<std::size_t>(nodes_.node_of(rank_));
        std::size_t met = 0;
        for (const node_id node : listed) {
            const auto n = static_cast<std::size_t>(node);
            if (node < 0 || n >= count || n == self || place[n] != count) break;
            place[n] = met++;
        }
        if (met != count - 1 || listed.size() != met)
            throw_argument("ordered", name, concat("the other ", count - 1, " nodes once each"),
                           concat(listed.size(), " nodes, of which ", met, " are sound"), rank_);
        return place;
    }

    /// By node, then by the distance of the places that both ranks have inside theirs: upwards for
    /// one side, downwards for the other, so that the two meet.
    std::vector<std::size_t> sorted(const std::vector<segment>& segments,
                                    const std::vector<std::size_t>& place, bool upwards) const {
        std::vector<std::pair<std::pair<std::size_t, std::size_t>, std::size_t>> keys;
        const std::size_t own = nodes_.local_index(rank_);
        for (std::size_t i = 0; i < segments.size(); ++i) {
            const node_id node = nodes_.node_of(segments[i].peer);
            const std::size_t ranks = nodes_.ranks_of(node).size();
            const std::size_t peer = nodes_.local_index(segments[i].peer);
            const std::size_t distance =
                (upwards ? peer + ranks - own % ranks : own % ranks + ranks - peer) % ranks;
            keys.push_back({{place[static_cast<std::size_t>(node)], distance}, i});
        }
        merge_sort(keys, [](const auto& a, const auto& b) { return a < b; });
        std::vector<std::size_t> order;
        for (const auto& key : keys) order.push_back(key.second);
        return order;
    }

    /// How many messages come from one node, at most; at least 1, so that all ranks have a window.
    std::size_t most_of_a_node(const std::vector<segment>& receives) const {
        std::vector<std::size_t> messages(nodes_.node_count(), 0);
        std::size_t most = 1;
        for (const segment& s : receives)
            if (s.tier == link_tier::inter_node) {
                const auto node = static_cast<std::size_t>(nodes_.node_of(s.peer));
                if (++messages[node] > most) most = messages[node];
            }
        return most;
    }

    const topology& nodes_;
    rank_id rank_;
    const message_order& order_;
    std::vector<std::size_t> place_to_;
    std::vector<std::size_t> place_from_;
};

}  // namespace detail

/// The same plan with its messages in the order of its rank's node, dispatch forwards, combine
/// backwards; what stays inside the node goes last and without a window. Every rank must use an
/// order, and all a window or none. Throws argument_error where the order is not one of the other
/// nodes of `nodes`.
inline exchange_plan ordered(exchange_plan plan, const topology& nodes,
                             const message_order& order) {
    if (plan.rank_count != nodes.rank_count())
        detail::throw_argument("ordered", "nodes",
                               detail::concat("a topology of ", plan.rank_count, " ranks"),
                               detail::concat(nodes.rank_count()), plan.rank);
    const detail::flow_ordering ordering(nodes, plan.rank, order);
    ordering.apply(plan.dispatch, true);
    ordering.apply(plan.pair_dispatch, true);
    ordering.apply(plan.combine, false);
    ordering.apply(plan.pair_combine, false);
    plan.strategy += detail::concat(", ", order.name, " order");
    if (order.window > 0) plan.strategy += detail::concat(", window ", order.window);
    return plan;
}

}  // namespace locmoe
