#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "locmoe/exec/backend.hpp"
#include "locmoe/plan/exchange_plan.hpp"
#include "locmoe/plan/message_order.hpp"
#include "locmoe/plan/open_shop.hpp"
#include "locmoe/topology/cluster_costs.hpp"
#include "locmoe/topology/topology.hpp"

namespace locmoe::inline v0 {

/// Which order `choose_order` takes, and the window that it may give it.
struct order_options {
    /// Nodes let in at a time, where fan-in costs bandwidth; empty: as the costs say
    std::optional<std::size_t> window = std::nullopt;
    std::size_t open_shop_nodes = 64;  ///< from so many nodes on, the open-shop order
};

/// This rank's node's order for `plan` and for plans of later batches: rotated, or from
/// `open_shop_nodes` on the open-shop order of the rows that dispatch moves between nodes. It has a
/// window only where `costs` say that fan-in costs bandwidth: elsewhere fair sharing is within a
/// per cent of the bound by itself, and a window can but delay a skewed routing.
///
/// Collective; every rank gives the same `nodes`, `costs` and options. From `open_shop_nodes` on it
/// is one scan of N^2 counts, so do it rarely. Throws backend_error on every rank where a plan is
/// that of another rank or topology.
template <exchange_backend Backend>
message_order choose_order(Backend& backend, const topology& nodes, const exchange_plan& plan,
                           const cluster_costs& costs, order_options options = {}) {
    const bool fits = plan.rank_count == nodes.rank_count() && plan.rank == backend.rank();
    backend.agree(fits ? "" : "choose_order: the plan is of another rank or topology");
    std::size_t window = costs.inter_node.window();
    if (window > 0 && options.window) window = *options.window;
    const node_id own = nodes.node_of(plan.rank);
    const std::size_t count = nodes.node_count();
    if (count < options.open_shop_nodes) return rotated_order(nodes, own, window);

    std::vector<std::int64_t> rows(count * count, 0);
    for (const phase& p : plan.dispatch.phases)
        for (const segment& s : p.sends)
            rows[static_cast<std::size_t>(own) * count +
                 static_cast<std::size_t>(nodes.node_of(s.peer))] += s.rows;
    const std::vector<std::int64_t> all = backend.scan_counts(rows).total;
    auto orders = open_shop_orders({all.data(), count, count}, window);
    return std::move(orders[static_cast<std::size_t>(own)]);
}

}  // namespace locmoe
