#pragma once

#include <cstddef>
#include <span>

#include "locmoe/topology/cluster_costs.hpp"

namespace locmoe::inline v0::detail {

/// `nodes` that send to one at once take `slowdown` times as long as one that sends as much.
struct fan_in_point {
    std::size_t nodes = 0;
    double slowdown = 1;
};

/// The loss of `inter_node_costs::eta`, by points of ascending nodes: the line through the first
/// point that shows a loss and the last one. A loss of less than a tenth at the last point is none:
/// times are no more exact, and what a window may win of it, it may lose to waiting.
inline void fit_fan_in(std::span<const fan_in_point> points, inter_node_costs& costs) {
    constexpr double least = 1.1;
    constexpr double noise = 1.02;
    costs.fan_in_loss = 0;
    costs.fan_in_free = 1;
    if (points.empty() || !(points.back().slowdown >= least)) return;
    std::size_t i = 0;
    while (points[i].slowdown < noise) costs.fan_in_free = static_cast<double>(points[i++].nodes);
    const fan_in_point& first = points[i];
    const fan_in_point& last = points.back();
    if (last.slowdown > first.slowdown) {
        const double loss =
            (last.slowdown - first.slowdown) / static_cast<double>(last.nodes - first.nodes);
        const double free = static_cast<double>(first.nodes) - (first.slowdown - 1) / loss;
        if (free > costs.fan_in_free) costs.fan_in_free = free;
    }
    costs.fan_in_loss =
        (last.slowdown - 1) / (static_cast<double>(last.nodes) - costs.fan_in_free);
}

}  // namespace locmoe::detail
