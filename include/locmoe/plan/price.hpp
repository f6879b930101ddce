#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "locmoe/plan/cost_estimate.hpp"
#include "locmoe/plan/message_order.hpp"
#include "locmoe/plan/row_loads.hpp"
#include "locmoe/topology/cluster_costs.hpp"
#include "locmoe/topology/topology.hpp"

namespace locmoe::inline v0 {

namespace detail {

inline std::int64_t nanoseconds(double seconds) { return std::llround(seconds * 1e9); }

/// The most that any place of one kind sends or takes in.
class busiest {
  public:
    explicit busiest(std::size_t places) : out_(places, 0), in_(places, 0) {}

    void add(std::size_t place, std::int64_t out, std::int64_t in) {
        out_[place] += out;
        in_[place] += in;
    }
    double rows_in() const { return most_of(in_); }
    double rows() const {
        const double out = most_of(out_);
        const double in = most_of(in_);
        return out > in ? out : in;
    }

  private:
    static double most_of(const std::vector<std::int64_t>& rows) {
        std::int64_t most = 0;
        for (const std::int64_t n : rows) most = n > most ? n : most;
        return static_cast<double>(most);
    }

    std::vector<std::int64_t> out_;
    std::vector<std::int64_t> in_;
};

/// Seconds of one phase, each of its parts at the rank, node or leaf that has most of it.
struct phase_seconds {
    double pack = 0;
    double latency = 0;
    double posting = 0;    ///< gamma times the messages that one rank sends
    double taking_in = 0;  ///< and gets
    double message = 0;    ///< one message by itself
    double bytes = 0;      ///< the narrowest link
    double spread = 0;     ///< of the sizes of messages, as a part of their mean
};

/// How many nodes a card hears from at once where each node lets in `window`, or as many as give it
/// message_order's bytes. Where a rank gets m messages of a node, these come at different times,
/// and about 2 - 1/m times as many nodes have some under way (fitted to `simulate`).
inline std::size_t let_in(std::size_t window, std::size_t senders, double messages_in,
                          double card_bytes) {
    const auto all = static_cast<double>(senders);
    const double full = static_cast<double>(message_order{}.window_bytes) * all / card_bytes;
    double nodes = full > static_cast<double>(window) ? full : static_cast<double>(window);
    if (messages_in > all) nodes *= 2 - all / messages_in;
    return nodes < all ? static_cast<std::size_t>(std::ceil(nodes)) : senders;
}

inline phase_seconds time_phase(const row_loads& loads, std::size_t phase, double row_bytes,
                                const cluster_costs& costs, std::size_t window) {
    const topology& nodes = loads.nodes();
    const bool outside = loads.phases()[phase].tier == link_tier::inter_node;
    busiest ranks(nodes.rank_count());
    busiest cards(nodes.node_count());
    std::int64_t packed = 0;
    std::int64_t messages_out = 0;
    std::int64_t messages_in = 0;
    std::int64_t message_rows = 0;
    for (std::size_t r = 0; r < nodes.rank_count(); ++r) {
        const auto rank = static_cast<rank_id>(r);
        const std::int64_t out = loads.at(phase, rank, row_loads::rows_out);
        const std::int64_t in = loads.at(phase, rank, row_loads::rows_in);
        ranks.add(r, out, in);
        cards.add(static_cast<std::size_t>(nodes.node_of(rank)), out, in);
        if (out > packed) packed = out;
        const auto look_at = [&](std::int64_t rows, std::int64_t count, std::int64_t& most) {
            if (count == 0) return;
            if (count > most) most = count;
            if (rows / count > message_rows) message_rows = rows / count;
        };
        look_at(out, loads.messages(phase, rank, row_loads::messages_out), messages_out);
        look_at(in, loads.messages(phase, rank, row_loads::messages_in), messages_in);
    }
    phase_seconds t;
    if (messages_out == 0) return t;
    if (message_rows > 0) t.spread = 1 / std::sqrt(static_cast<double>(message_rows));
    const auto seconds = [&](double rows, double bandwidth) {
        return rows * row_bytes / bandwidth;
    };
    const auto raise = [](double& most, double other) { most = other > most ? other : most; };
    t.pack = seconds(static_cast<double>(packed), costs.pack_bandwidth);
    if (outside) {
        const inter_node_costs& link = costs.inter_node;
        t.latency = link.latency;
        t.posting = link.overhead * static_cast<double>(messages_out);
        t.taking_in = link.overhead * static_cast<double>(messages_in);
        t.message = seconds(static_cast<double>(message_rows),
                            link.rank_bandwidth < link.nic_bandwidth ? link.rank_bandwidth
                                                                     : link.nic_bandwidth);
        const std::size_t peers = loads.phases()[phase].peers;
        std::size_t senders = nodes.node_count() - 1 < peers ? nodes.node_count() - 1 : peers;
        if (window > 0 && cards.rows_in() > 0)
            senders = let_in(window, senders, static_cast<double>(messages_in),
                             cards.rows_in() * row_bytes);
        raise(t.bytes, seconds(cards.rows(), link.nic_bandwidth));
        raise(t.bytes, seconds(cards.rows_in(), link.nic_bandwidth * link.eta(senders)));
        raise(t.bytes, seconds(ranks.rows(), link.rank_bandwidth));
        // One of so many that a card waits for may be late (0.03 to 0.1 in `simulate`).
        if (window > 0) t.bytes *= 1 + 0.1 / static_cast<double>(window);
        if (costs.leaves && loads.leaf_count() > 1) {
            t.latency += costs.leaves->latency;
            for (std::size_t leaf = 0; leaf < loads.leaf_count(); ++leaf)
                raise(t.bytes, seconds(static_cast<double>(loads.uplink_rows(phase, leaf)),
                                       costs.leaves->uplink_bandwidth));
        }
    } else {
        const intra_node_costs& link = costs.intra_node;
        t.latency = link.latency;
        t.posting = link.overhead * static_cast<double>(messages_out);
        t.taking_in = link.overhead * static_cast<double>(messages_in);
        t.message = seconds(static_cast<double>(message_rows), link.message_bandwidth);
        raise(t.bytes, seconds(ranks.rows(), link.rank_bandwidth));
        raise(t.bytes, t.message);
    }
    return t;
}

/// From when the rows are packed. Messages that share a link end together, but a rank takes them in
/// one by one: the more the bytes set the time, the less it is done with them at the last byte. How
/// far that is hidden was fitted to `simulate`: 0.3 of it never is, nor what it takes in beyond the
/// pace of its senders, unless messages of very different size end at very different times.
inline double transfer_seconds(const phase_seconds& t, double gamma) {
    const auto larger = [](double a, double b) { return a > b ? a : b; };
    if (t.posting == 0) return 0;
    const double paced = larger(t.posting, t.taking_in) + t.message;
    const double flowing = gamma + t.bytes;
    const double least = t.posting < t.bytes ? t.posting : t.bytes;
    const double late = t.taking_in - t.posting - 0.45 * t.spread * t.bytes;
    const double rest = larger(0.3 * least, late);
    return t.latency + larger(paced, flowing) + rest * (t.bytes < paced ? t.bytes / paced : 1);
}

}  // namespace detail

/// What an exchange of rows of `row_bytes` bytes costs under `costs`. `loads` are the sums over all
/// ranks, `expert_rows` [P] the rows that each rank's experts get.
///
/// A phase starts once the phases that it needs are in and the phases before it are posted. It
/// takes
///
///     pack + latency + max(gamma m + one message, gamma + bytes / bandwidth) + rest
///
/// or, where an earlier phase still has the links of its tier, bytes / bandwidth from its end on;
/// rest: what a rank still takes in at the end, 0.3 gamma m or more where it gets more messages
/// than it sends (`transfer_seconds`);
/// pack: the rows that one rank sends, at pack_bandwidth; m: messages of one rank; bytes /
/// bandwidth: the slowest of a node's card, a rank's link and a leaf's uplinks; each at the rank,
/// node or leaf that has most. In the end the rows are placed, at pack_bandwidth. (The cost model
/// of LogGP with shared links; the overheads of many messages run beside the bytes of the earlier
/// ones.)
///
/// It takes the worst of each part as if they met on one rank: under skew it is mostly too high.
/// Messages of phases that pass rows on are counted as if no two sources' rows shared one, up to
/// the phase's peers. A card that hears from f nodes at once takes in eta(f) of its bandwidth; f is
/// all that send to it, or what the `window` of a rotated order lets in (`message_order`). Metadata
/// is left out.
inline cost_estimate price(std::string strategy, const row_loads& loads,
                           std::span<const std::int64_t> expert_rows, std::size_t row_bytes,
                           const cluster_costs& costs, std::size_t window = 0) {
    using detail::nanoseconds;
    cost_estimate estimate;
    estimate.strategy = std::move(strategy);
    estimate.window = window;
    const auto bytes = static_cast<double>(row_bytes);
    std::vector<double> done;  // by phase
    double posted = 0;
    double outside_free = 0;  // the links of each tier
    double inside_free = 0;
    for (std::size_t p = 0; p < loads.phases().size(); ++p) {
        const phase_shape& shape = loads.phases()[p];
        const detail::phase_seconds t = detail::time_phase(loads, p, bytes, costs, window);
        double start = posted;
        for (std::size_t before = 0; before < shape.needs; ++before)
            if (done[before] > start) start = done[before];
        const bool outside = shape.tier == link_tier::inter_node;
        const double gamma = outside ? costs.inter_node.overhead : costs.intra_node.overhead;
        const double moves = detail::transfer_seconds(t, gamma);
        double& link_free = outside ? outside_free : inside_free;
        const double alone = start + t.pack + moves;
        const double behind = link_free + t.bytes;
        posted = start + t.pack + t.posting;
        done.push_back(alone > behind ? alone : behind);
        if (t.bytes > 0) link_free = done.back();
        estimate.phases.push_back({shape.name, shape.tier, shape.needs, nanoseconds(t.latency),
                                   nanoseconds(moves - t.latency - t.bytes), nanoseconds(t.bytes),
                                   nanoseconds(t.pack)});
    }
    double end = posted;
    for (const double d : done) end = d > end ? d : end;
    std::int64_t most = 0;
    for (const std::int64_t rows : expert_rows) most = rows > most ? rows : most;
    const double deliver = static_cast<double>(most) * bytes / costs.pack_bandwidth;
    estimate.deliver = nanoseconds(deliver);
    estimate.nanoseconds = nanoseconds(end + deliver);
    return estimate;
}

}  // namespace locmoe
