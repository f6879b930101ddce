#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "locmoe/core/error.hpp"
#include "locmoe/plan/detail/once_counter.hpp"
#include "locmoe/plan/detail/relay_of.hpp"
#include "locmoe/plan/row_forwarder.hpp"
#include "locmoe/plan/row_loads.hpp"
#include "locmoe/plan/strategy.hpp"

namespace locmoe::inline v0 {

namespace detail {
class store_and_forward_planner;
}

/// For tiny messages between many nodes: rows go to their node in ceil(log_r N) phases, one for
/// each digit to the base `radix` of the distance between the nodes, and then inside it to their
/// ranks (the algorithm of Bruck et al. 1997 with tunable radix and uneven counts, as in TuNA; rows
/// go once per node for as long as their ways agree). A rank sends at most (r - 1) ceil(log_r N)
/// messages to other nodes and g - 1 inside its own, in planning as in dispatch and combine; in
/// return a row crosses up to ceil(log_r N) links. With radix N it is `node_aggregated`, the rows
/// of the own node going last.
///
/// It goes by nodes, not by ranks, because inside a node messages are cheap, while every further
/// hop between nodes costs the network card all its bytes. Any number of nodes, of any sizes.
struct store_and_forward {
    std::size_t radix = 2;  ///< at least 2, otherwise `planner` throws argument_error

    /// Combine without partial sums, to the bits of `direct`: as in `node_aggregated`.
    bool exact_combine = false;

    /// With its options: "store_and_forward, radix 2".
    std::string name() const {
        return detail::concat("store_and_forward", exact_combine ? ", exact combine" : "",
                              ", radix ", radix);
    }
    /// Makes the planner, of a round for each phase, ceil(log_r N) + 1.
    detail::store_and_forward_planner planner(const plan_request& request) const;

    /// "radix 2" or whatever its radix is.
    std::string loads_name() const { return detail::concat("radix ", radix); }
    /// Throws argument_error for a radix below 2.
    std::vector<phase_shape> phase_shapes(const topology& nodes) const {
        check_radix(no_rank);
        const std::size_t neighbours = detail::largest_node(nodes) - 1;
        const std::size_t uneven = neighbours / detail::smallest_node(nodes) + 1;
        std::vector<phase_shape> shapes;
        std::size_t unit = 1;
        for (std::size_t rest = nodes.node_count() - 1; rest > 0; rest /= radix) {
            shapes.push_back({detail::concat("by multiples of ", unit, " nodes"),
                              link_tier::inter_node, shapes.size(), (radix - 1) * uneven});
            unit *= radix;
        }
        shapes.push_back({"to experts", link_tier::intra_node, shapes.size(), neighbours});
        return shapes;
    }
    /// Adds this rank's rows, hop by hop along their ways. For a radix of at least 2.
    void add_loads(const plan_request& request, row_loads& loads) const;
    /// Declines where there are at most `radix` nodes: there `node_aggregated` does the same.
    std::string declines(const topology& nodes) const {
        return nodes.node_count() <= radix ? "there are no more nodes than its radix" : "";
    }

  private:
    friend detail::store_and_forward_planner;
    void check_radix(rank_id rank) const {
        if (radix < 2)
            detail::throw_argument("store_and_forward", "radix", "at least 2",
                                   detail::concat(radix), rank);
    }
};

namespace detail {

/// From `rank` the next step towards another node. The lowest digit goes first. On arrival it is 0,
/// so the rest takes a later phase.
inline hop digit_hop(const topology& nodes, std::size_t radix, rank_id rank, node_id node) {
    const auto home = static_cast<std::size_t>(nodes.node_of(rank));
    const std::size_t count = nodes.node_count();
    std::size_t distance = (static_cast<std::size_t>(node) + count - home) % count;
    std::size_t digit = 0;
    std::size_t unit = 1;
    for (; distance % radix == 0; distance /= radix, unit *= radix) ++digit;
    const std::size_t via = (home + distance % radix * unit) % count;
    return {digit, relay_of(nodes, rank, static_cast<node_id>(via))};
}

/// A round for each phase: what travels with the rows says where they are bound.
class store_and_forward_planner {
  public:
    std::size_t rounds;

    store_and_forward_planner(const plan_request& request, const store_and_forward& strategy)
        : rounds(names_of(request, strategy).size()),
          exact_(strategy.exact_combine),
          rows_(strategy.name(), request,
                names_of(request, strategy)),
          next_(request.placement.expert_count(), nullptr) {
        for (std::size_t e = 0; e < next_.size(); ++e) {
            const rank_id to = request.placement.rank_of(static_cast<expert_id>(e));
            const node_id node = request.nodes.node_of(to);
            if (node == request.nodes.node_of(request.rank)) {
                next_[e] = rows_.to(rounds - 1, to);
            } else {
                const hop via = digit_hop(request.nodes, strategy.radix, request.rank, node);
                next_[e] = rows_.to(via.phase, via.to);
            }
        }
        rows_.start([&](expert_id e, row_index) { return next_[static_cast<std::size_t>(e)]; });
    }

    std::vector<message> outgoing(std::size_t round) { return rows_.send(round); }

    void incoming(std::size_t round, const std::vector<message>& received) {
        for (const message& m : received)
            rows_.receive(round, m,
                          [&](expert_id e) { return next_[static_cast<std::size_t>(e)]; });
    }

    exchange_plan finish() { return rows_.finish(exact_); }

  private:
    static std::vector<std::string> names_of(const plan_request& request,
                                             const store_and_forward& strategy) {
        strategy.check_radix(request.rank);
        std::vector<std::string> names;
        for (const phase_shape& shape : strategy.phase_shapes(request.nodes))
            names.push_back(shape.name);
        return names;
    }

    bool exact_;
    row_forwarder rows_;
    std::vector<row_forwarder::lane*> next_;  // by expert: from here towards it
};

}  // namespace detail

inline void store_and_forward::add_loads(const plan_request& request, row_loads& loads) const {
    const topology& nodes = request.nodes;
    const std::size_t count = nodes.node_count();
    const auto home = static_cast<std::size_t>(nodes.node_of(request.rank));
    struct hop {
        rank_id from = 0;
        rank_id to = 0;
    };
    // A hop by one digit is known by its phase and the node that it leads to.
    const std::size_t last = loads.phases().size() - 1;
    std::vector<hop> hops(last * count);
    std::vector<std::vector<std::size_t>> way_to(count);
    std::vector<rank_id> relay(count);
    for (std::size_t n = 0; n < count; ++n) {
        rank_id at = request.rank;
        std::size_t node = home;
        std::size_t distance = (n + count - home) % count;
        std::size_t unit = 1;
        for (std::size_t digit = 0; distance > 0; ++digit, distance /= radix, unit *= radix) {
            if (distance % radix == 0) continue;
            node = (node + distance % radix * unit) % count;
            const rank_id to = detail::relay_of(nodes, at, static_cast<node_id>(node));
            hops[digit * count + node] = {at, to};
            way_to[n].push_back(digit * count + node);
            at = to;
        }
        relay[n] = at;
    }
    detail::once_counter by_hop(hops.size());
    detail::once_counter by_rank(nodes.rank_count());
    detail::for_each_pair(request, [&](std::int64_t token, rank_id to) {
        for (const std::size_t h : way_to[static_cast<std::size_t>(nodes.node_of(to))])
            by_hop.add(h, token);
        by_rank.add(static_cast<std::size_t>(to), token);
    });
    for (std::size_t h = 0; h < hops.size(); ++h)
        loads.add(h / count, hops[h].from, hops[h].to, by_hop.rows(h));
    for (std::size_t r = 0; r < nodes.rank_count(); ++r) {
        const auto to = static_cast<rank_id>(r);
        loads.add(last, relay[static_cast<std::size_t>(nodes.node_of(to))], to, by_rank.rows(r));
    }
}

inline detail::store_and_forward_planner store_and_forward::planner(
    const plan_request& request) const {
    return detail::store_and_forward_planner(request, *this);
}

}  // namespace locmoe
