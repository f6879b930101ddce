#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "locmoe/core/error.hpp"
#include "locmoe/topology/cluster_costs.hpp"

namespace locmoe::inline v0 {

/// How long `calibrate` measures, and how much it sends. The same on all ranks.
struct calibrate_options {
    double seconds = 0.5;          ///< to aim at; a slow link is given fewer and smaller messages
    std::size_t repetitions = 20;  ///< of each measurement, at most
    std::size_t most_bytes = std::size_t{4} << 20;  ///< on its way from a rank at once, at most
};

/// What `calibrate` found. A tier that no two ranks share was not measured and keeps the default
/// costs; leaf switches are never measured, so `costs` has none.
struct calibration {
    cluster_costs costs;      ///< as measured, else the default
    bool intra_node = false;  ///< measured: some node has two ranks
    bool inter_node = false;  ///< measured: there are two nodes
    bool fan_in = false;      ///< measured: three nodes have as many ranks as the second largest
};

/// What was measured and what not, for a person.
inline std::string describe(const calibration& found) {
    using detail::concat;
    const auto ns = [](double seconds) {
        return concat(static_cast<std::int64_t>(seconds * 1e9 + 0.5), " ns");
    };
    const auto rate = [](double bytes_a_second) {
        return bytes_a_second < 9e18
                   ? concat(static_cast<std::int64_t>(bytes_a_second / 1e6 + 0.5), " MB/s")
                   : std::string("no limit");
    };
    const auto origin = [](bool measured) { return measured ? "measured" : "not there, default"; };
    const auto& [inside, between, leaves, pack] = found.costs;
    const std::string loss =
        between.fan_in_loss > 0
            ? concat("1 / (1 + ", between.fan_in_loss, " (f - ", between.fan_in_free,
                     ")) of a card's bandwidth is left to more than ", between.fan_in_free,
                     " nodes that send to one")
            : std::string("no loss");
    return concat("intra-node (", origin(found.intra_node), "): latency ", ns(inside.latency),
                  ", overhead ", ns(inside.overhead), ", a message ",
                  rate(inside.message_bandwidth), ", a rank ", rate(inside.rank_bandwidth),
                  "\ninter-node (", origin(found.inter_node), "): latency ", ns(between.latency),
                  ", overhead ", ns(between.overhead), ", a rank ", rate(between.rank_bandwidth),
                  ", a card ", rate(between.nic_bandwidth), "\npacking (measured): ", rate(pack),
                  "\nfan-in (", origin(found.fan_in), "): ", loss,
                  "\nleaf switches: not measured\n");
}

}  // namespace locmoe
