#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "locmoe/plan/detail/relay_of.hpp"
#include "locmoe/plan/row_forwarder.hpp"
#include "locmoe/plan/strategy.hpp"

namespace locmoe {

namespace detail {
class node_aggregated_planner;
}

/// A row travels once to each destination node, whatever number of experts it has there, and a
/// relay on that node copies it to their ranks (the two-phase exchange of LocMoE and Tutel's 2DH,
/// with DeepEP's de-duplication). Combine adds up at the relay: it sends as few inter-node rows.
///
/// Three phases: to the ranks of the own node; to a relay on each other node; from the relays to
/// the experts' ranks. The relay of rank r on a node of m ranks is its rank number `local_index(r)
/// mod m`, so even nodes talk rail to rail and uneven ones share the load. Asks nothing of the node
/// sizes.
struct node_aggregated {
    /// Combine without partial sums: each pair's row comes back by itself and they are summed at
    /// the source in the order of `direct`, to the same bits, for more inter-node rows.
    bool exact_combine = false;

    std::string_view name() const {
        return exact_combine ? "node_aggregated, exact combine" : "node_aggregated";
    }
    detail::node_aggregated_planner planner(const plan_request& request) const;
};

namespace detail {

/// Two rounds: sources describe their rows to the ranks of their node and to the relays; the relays
/// describe them to the experts' ranks, source by source.
class node_aggregated_planner {
  public:
    static constexpr std::size_t rounds = 2;

    node_aggregated_planner(const plan_request& request, const node_aggregated& strategy)
        : request_(request),
          exact_(strategy.exact_combine),
          rows_(strategy.name(), request, {"own node", "to relays", "relays to experts"}),
          onward_(request.placement.expert_count(), nullptr) {
        const node_id home = request.nodes.node_of(request.rank);
        std::vector<row_forwarder::lane*> first(onward_.size(), nullptr);
        for (std::size_t e = 0; e < first.size(); ++e) {
            const rank_id to = request.placement.rank_of(static_cast<expert_id>(e));
            const node_id node = request.nodes.node_of(to);
            first[e] = node == home ? rows_.to(0, to)
                                    : rows_.to(1, relay_of(request.nodes, request.rank, node));
            if (node == home) onward_[e] = rows_.to(2, to);
        }
        rows_.start([&](expert_id e, row_index) { return first[static_cast<std::size_t>(e)]; });
    }

    std::vector<message> outgoing(std::size_t round) {
        if (round == 1) return rows_.send(2);
        std::vector<message> out = rows_.send(0);
        for (message& m : rows_.send(1)) out.push_back(std::move(m));
        return out;
    }

    void incoming(std::size_t round, const std::vector<message>& received) {
        const auto stays = [](expert_id) -> row_forwarder::lane* { return nullptr; };
        const auto relayed = [&](expert_id e) { return onward_[static_cast<std::size_t>(e)]; };
        if (round == 0) {
            for (const message& m : received)
                if (request_.nodes.same_node(m.peer, request_.rank)) rows_.receive(0, m, stays);
            for (const message& m : received)
                if (!request_.nodes.same_node(m.peer, request_.rank)) rows_.receive(1, m, relayed);
        } else {
            for (const message& m : received) rows_.receive(2, m, stays);
        }
    }

    exchange_plan finish() { return rows_.finish(exact_); }

  private:
    plan_request request_;
    bool exact_;
    row_forwarder rows_;
    std::vector<row_forwarder::lane*> onward_;  // by expert: from here, as a relay, to its rank
};

}  // namespace detail

inline detail::node_aggregated_planner node_aggregated::planner(const plan_request& request) const {
    return detail::node_aggregated_planner(request, *this);
}

}  // namespace locmoe
