#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "locmoe/core/error.hpp"
#include "locmoe/plan/detail/relay_of.hpp"
#include "locmoe/plan/row_forwarder.hpp"
#include "locmoe/plan/strategy.hpp"

namespace locmoe {

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

    std::string_view name() const {
        return exact_combine ? "store_and_forward, exact combine" : "store_and_forward";
    }
    detail::store_and_forward_planner planner(const plan_request& request) const;
};

namespace detail {

/// A round for each phase: what travels with the rows says where they are bound.
class store_and_forward_planner {
  public:
    std::size_t rounds;

    store_and_forward_planner(const plan_request& request, const store_and_forward& strategy)
        : rounds(phase_names(request, strategy.radix).size()),
          exact_(strategy.exact_combine),
          rows_(concat(strategy.name(), ", radix ", strategy.radix), request,
                phase_names(request, strategy.radix)),
          next_(request.placement.expert_count(), nullptr) {
        const std::size_t radix = strategy.radix;
        const std::size_t nodes = request.nodes.node_count();
        const auto home = static_cast<std::size_t>(request.nodes.node_of(request.rank));
        for (std::size_t e = 0; e < next_.size(); ++e) {
            const rank_id to = request.placement.rank_of(static_cast<expert_id>(e));
            const auto node = static_cast<std::size_t>(request.nodes.node_of(to));
            std::size_t distance = (node + nodes - home) % nodes;
            if (distance == 0) {
                next_[e] = rows_.to(rounds - 1, to);
                continue;
            }
            // The lowest digit goes first. On arrival it is 0, so the rest takes a later phase.
            std::size_t digit = 0;
            std::size_t unit = 1;
            for (; distance % radix == 0; distance /= radix, unit *= radix) ++digit;
            const std::size_t via = (home + distance % radix * unit) % nodes;
            next_[e] =
                rows_.to(digit, relay_of(request.nodes, request.rank, static_cast<node_id>(via)));
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
    static std::vector<std::string> phase_names(const plan_request& request, std::size_t radix) {
        if (radix < 2)
            throw_argument("store_and_forward", "radix", "at least 2", concat(radix), request.rank);
        std::vector<std::string> names;
        std::size_t unit = 1;
        for (std::size_t rest = request.nodes.node_count() - 1; rest > 0; rest /= radix) {
            names.push_back(concat("by multiples of ", unit, " nodes"));
            unit *= radix;
        }
        names.push_back("to experts");
        return names;
    }

    bool exact_;
    row_forwarder rows_;
    std::vector<row_forwarder::lane*> next_;  // by expert: from here towards it
};

}  // namespace detail

inline detail::store_and_forward_planner store_and_forward::planner(
    const plan_request& request) const {
    return detail::store_and_forward_planner(request, *this);
}

}  // namespace locmoe
