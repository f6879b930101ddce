#pragma once

#include <cstddef>
#include <limits>
#include <optional>
#include <string_view>

#include "locmoe/core/error.hpp"

namespace locmoe::inline v0 {

/// What a message between ranks of one node costs, in seconds and bytes a second.
struct intra_node_costs {
    double latency = 2e-6;     ///< alpha: from the send to the first byte
    double overhead = 0.5e-6;  ///< gamma: a rank starts, and takes in, one message each so long
    double message_bandwidth = 30e9;  ///< of one message that has its ranks for itself
    double rank_bandwidth = 30e9;     ///< B_l: a rank's out and in, each; infinity: no limit
};

/// What a message between nodes costs. A node's ranks share its network card, which sends and
/// receives at full speed at once.
struct inter_node_costs {
    double latency = 5e-6;           ///< alpha, between nodes of one leaf switch
    double overhead = 1e-6;          ///< gamma
    double rank_bandwidth = 12.5e9;  ///< B_inj: what one rank can use of the card; infinity: all
    double nic_bandwidth = 12.5e9;   ///< B_nic: a node's out and in, each
    double fan_in_loss = 0;          ///< see eta; 0: none
    double fan_in_free = 1;          ///< as many nodes send to one without loss

    /// What is left of a card's bandwidth while messages of f other nodes come in:
    /// 1 / (1 + fan_in_loss max(0, f - fan_in_free)). Counts nodes, since one node's messages
    /// together are no faster than its card. Smooth: it has no point of collapse.
    double eta(std::size_t f) const {
        const double over = static_cast<double>(f) - fan_in_free;
        return over > 0 ? 1 / (1 + fan_in_loss * over) : 1;
    }

    /// How many nodes a `message_order` should let in at a time: as many as cost nothing, and two
    /// at least, since one may be late. 0, for all, without a loss.
    std::size_t window() const {
        constexpr double no_limit = 1e9;
        if (!(fan_in_loss > 0 && fan_in_free < no_limit)) return 0;
        return fan_in_free < 2 ? 2 : static_cast<std::size_t>(fan_in_free);
    }
};

/// Nodes 0 to m - 1 on leaf switch 0, m to 2 m - 1 on leaf switch 1, ... The spine above is ideal.
struct leaf_switches {
    std::size_t nodes = 4;           ///< m
    double uplink_bandwidth = 50e9;  ///< B_up: a leaf's up and down, each
    double latency = 2e-6;           ///< what a message to another leaf takes longer
};

/// The parameters of the cost model: what an exchange on a cluster is priced by. All in seconds and
/// bytes a second. The defaults stand for a present-day node: 30 GB/s a rank inside, one network
/// card of 100 Gbit/s, an accelerator's memory, a network without oversubscription.
struct cluster_costs {
    intra_node_costs intra_node;          ///< between ranks of one node
    inter_node_costs inter_node;          ///< between nodes
    std::optional<leaf_switches> leaves;  ///< none: all nodes on one switch
    double pack_bandwidth = 200e9;  ///< B_pack: bytes of rows gathered a second; infinity: free
};

/// Throws argument_error, with the field's name, unless latencies and overheads are finite and not
/// negative, bandwidths positive, the card's and a message's finite, the fan-in's loss finite and
/// not negative, its free number at least 1, and a leaf has a node.
inline void check_costs(const cluster_costs& costs) {
    constexpr double infinity = std::numeric_limits<double>::infinity();
    const auto seconds = [&](std::string_view field, double value) {
        if (!(value >= 0 && value < infinity))
            detail::throw_argument("cluster_costs", field, "seconds, 0 or more",
                                   detail::concat(value));
    };
    const auto bandwidth = [&](std::string_view field, double value, bool may_be_infinite) {
        if (!(value > 0 && (may_be_infinite || value < infinity)))
            detail::throw_argument("cluster_costs", field,
                                   may_be_infinite ? "bytes a second above 0, or infinity"
                                                   : "bytes a second above 0, finite",
                                   detail::concat(value));
    };
    seconds("intra_node.latency", costs.intra_node.latency);
    seconds("intra_node.overhead", costs.intra_node.overhead);
    bandwidth("intra_node.message_bandwidth", costs.intra_node.message_bandwidth, false);
    bandwidth("intra_node.rank_bandwidth", costs.intra_node.rank_bandwidth, true);
    seconds("inter_node.latency", costs.inter_node.latency);
    seconds("inter_node.overhead", costs.inter_node.overhead);
    bandwidth("inter_node.rank_bandwidth", costs.inter_node.rank_bandwidth, true);
    bandwidth("inter_node.nic_bandwidth", costs.inter_node.nic_bandwidth, false);
    const inter_node_costs& between = costs.inter_node;
    if (!(between.fan_in_loss >= 0 && between.fan_in_loss < infinity))
        detail::throw_argument("cluster_costs", "inter_node.fan_in_loss", "0 or more, finite",
                               detail::concat(between.fan_in_loss));
    if (!(between.fan_in_free >= 1 && between.fan_in_free < infinity))
        detail::throw_argument("cluster_costs", "inter_node.fan_in_free", "1 or more nodes, finite",
                               detail::concat(between.fan_in_free));
    bandwidth("pack_bandwidth", costs.pack_bandwidth, true);
    if (!costs.leaves) return;
    if (costs.leaves->nodes == 0)
        detail::throw_argument("cluster_costs", "leaves.nodes", "at least one", "none");
    bandwidth("leaves.uplink_bandwidth", costs.leaves->uplink_bandwidth, true);
    seconds("leaves.latency", costs.leaves->latency);
}

}  // namespace locmoe
