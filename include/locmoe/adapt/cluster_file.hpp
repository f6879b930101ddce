#pragma once

#include <cstddef>
#include <fstream>
#include <limits>
#include <string>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>

#include "locmoe/adapt/detail/cluster_reader.hpp"
#include "locmoe/core/error.hpp"
#include "locmoe/core/ids.hpp"
#include "locmoe/topology/cluster_costs.hpp"
#include "locmoe/topology/topology.hpp"

namespace locmoe::inline v0 {

/// A cluster that need not be there: its ranks' nodes, and what messages cost on it.
struct cluster {
    topology nodes;       ///< where its ranks sit
    cluster_costs costs;  ///< by default where nothing else was stated
};

namespace detail {

/// A number with as few digits as read back to the same bits.
inline std::string cluster_number(double value) {
    if (value == std::numeric_limits<double>::infinity()) return "\"unlimited\"";
    return nlohmann::json(value).dump();
}

/// The shortest of the three forms that says it.
inline std::string json_nodes(const topology& nodes) {
    std::string sizes;
    bool in_order = true;
    bool even = true;
    rank_id next = 0;
    for (std::size_t n = 0; n < nodes.node_count(); ++n) {
        const auto ranks = nodes.ranks_of(static_cast<node_id>(n));
        for (const rank_id r : ranks) in_order = in_order && r == next++;
        even = even && ranks.size() == nodes.ranks_of(0).size();
        sizes += concat(n == 0 ? "" : ", ", ranks.size());
    }
    if (in_order && even)
        return concat(R"("nodes": {"count": )", nodes.node_count(), R"(, "ranks": )",
                      nodes.ranks_of(0).size(), "}");
    if (in_order) return concat(R"("nodes": [)", sizes, "]");
    std::string all;
    for (std::size_t r = 0; r < nodes.rank_count(); ++r)
        all += concat(r == 0 ? "" : ", ", nodes.node_of(static_cast<rank_id>(r)));
    return concat(R"("node_of_rank": [)", all, "]");
}

}  // namespace detail

/// Reads a cluster from JSON (RFC 8259), such as
///
///     {"nodes": {"count": 8, "ranks": 8},
///      "intra_node": {"latency": 2e-6, "rank_bandwidth": 30e9},
///      "inter_node": {"nic_bandwidth": 12.5e9}}
///
/// - Which rank sits where is one of: `"nodes": {"count": n, "ranks": g}`, g ranks on each of n
///   nodes; `"nodes": [8, 4, ...]`, each node's ranks in turn; `"node_of_rank": [0, 1, 0, ...]`.
/// - Costs stand under the names of cluster_costs, in seconds and bytes a second; "unlimited" is
///   an infinite bandwidth, where there may be one. What is not stated is as by default, so without
///   "leaves" there are none.
///
/// Throws argument_error "NAME:LINE:COLUMN: reason" at the first place that is no JSON (comments,
/// text after the end, bytes that are not UTF-8), has an unknown key or one a second time, a value
/// of the wrong type, or one that no cluster has; columns count bytes.
inline cluster parse_cluster(std::string_view text, std::string_view name = "cluster") {
    auto [nodes, costs] = detail::cluster_reader(text, name).read();
    return {std::move(nodes), costs};
}

/// The same from a file, of which no more than most_cluster_bytes are kept in memory.
inline cluster read_cluster(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::string text(most_cluster_bytes + 1, '\0');
    file.read(text.data(), static_cast<std::streamsize>(text.size()));
    if (file.bad() || !(file || file.eof()))
        throw argument_error(detail::concat(path, ": expected a file that can be read"));
    text.resize(static_cast<std::size_t>(file.gcount()));
    return parse_cluster(text, path);
}

/// The JSON that parse_cluster reads back to the same cluster, every number to the bit. Throws
/// argument_error where there are more than most_cluster_ranks, or check_costs does.
inline std::string cluster_json(const topology& nodes, const cluster_costs& costs) {
    using detail::concat;
    using detail::cluster_number;
    check_costs(costs);
    const auto limit = [](std::string_view argument, std::size_t count) {
        if (count > most_cluster_ranks)
            detail::throw_argument("cluster_json", argument, concat("at most ", most_cluster_ranks),
                                   concat(count));
    };
    limit("ranks", nodes.rank_count());
    if (costs.leaves) limit("leaves.nodes", costs.leaves->nodes);
    const auto& [inside, between, leaves, pack] = costs;
    std::string text = concat("{\n  ", detail::json_nodes(nodes),
                              ",\n  \"intra_node\": {\"latency\": ", cluster_number(inside.latency),
                              ", \"overhead\": ", cluster_number(inside.overhead),
                              ", \"message_bandwidth\": ", cluster_number(inside.message_bandwidth),
                              ", \"rank_bandwidth\": ", cluster_number(inside.rank_bandwidth),
                              "},\n  \"inter_node\": {\"latency\": ", cluster_number(between.latency),
                              ", \"overhead\": ", cluster_number(between.overhead),
                              ", \"rank_bandwidth\": ", cluster_number(between.rank_bandwidth),
                              ", \"nic_bandwidth\": ", cluster_number(between.nic_bandwidth),
                              ", \"fan_in_loss\": ", cluster_number(between.fan_in_loss),
                              ", \"fan_in_free\": ", cluster_number(between.fan_in_free), "},\n");
    if (leaves)
        text += concat("  \"leaves\": {\"nodes\": ", leaves->nodes,
                       ", \"uplink_bandwidth\": ", cluster_number(leaves->uplink_bandwidth),
                       ", \"latency\": ", cluster_number(leaves->latency), "},\n");
    return text + concat("  \"pack_bandwidth\": ", cluster_number(pack), "\n}\n");
}

/// The same into a file. Throws argument_error where it cannot be written, too.
inline void write_cluster(const std::string& path, const topology& nodes,
                          const cluster_costs& costs) {
    const std::string text = cluster_json(nodes, costs);
    std::ofstream file(path, std::ios::binary);
    if (!file.write(text.data(), static_cast<std::streamsize>(text.size())).flush())
        throw argument_error(detail::concat(path, ": expected a file that can be written"));
}

}  // namespace locmoe
