#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "locmoe/plan/detail/even_out.hpp"
#include "locmoe/plan/detail/relay_of.hpp"
#include "locmoe/plan/node_aggregated.hpp"
#include "locmoe/plan/row_forwarder.hpp"
#include "locmoe/plan/row_loads.hpp"
#include "locmoe/plan/strategy.hpp"

namespace locmoe::inline v0 {

namespace detail {
class node_balanced_planner;
}

/// `node_aggregated`, but first the ranks of a node even out what they send to other nodes, so that
/// a skewed routing keeps every rail, or each rank's share of the network card, equally busy (the
/// idea of FAST). The rows that ranks of one node then send to other nodes differ by at most one,
/// and in all they are as many as in `node_aggregated`. Where loads are even already it is
/// `node_aggregated` with one more count exchanged inside the node.
///
/// Four phases: surplus rows to ranks of the own node that have fewer; to a relay on each other
/// node; to the ranks of the own node; from the relays to the experts' ranks. Asks nothing of the
/// node sizes.
struct node_balanced {
    /// Combine without partial sums, to the bits of `direct`: as in `node_aggregated`.
    bool exact_combine = false;

    /// "node_balanced", or "node_balanced, exact combine".
    std::string_view name() const {
        return exact_combine ? "node_balanced, exact combine" : "node_balanced";
    }
    /// Makes the planner, of four rounds: loads inside the node, handed rows, rows for relays and
    /// the own node, the relays' rows.
    detail::node_balanced_planner planner(const plan_request& request) const;

    /// The loads of `node_aggregated`; `settle` evens them out.
    std::string loads_name() const { return node_aggregated{}.loads_name(); }
    /// Those of `node_aggregated`; `settle` puts the phase that evens out before them.
    std::vector<phase_shape> phase_shapes(const topology& nodes) const {
        return node_aggregated{}.phase_shapes(nodes);
    }
    /// Adds what `node_aggregated` does.
    void add_loads(const plan_request& request, row_loads& loads) const {
        node_aggregated{}.add_loads(request, loads);
    }
    row_loads settle(const row_loads& sums) const;
    /// Declines where there is one node, or each node has one rank: nothing to even out.
    std::string declines(const topology& nodes) const {
        if (nodes.node_count() == 1) return "there is one node";
        return detail::largest_node(nodes) == 1 ? "each node has one rank" : "";
    }
};

namespace detail {

/// Four rounds: the ranks of a node tell each other how many rows they have for each other node,
/// and all work out the same handovers; then the words of the handed rows, of the rows for relays
/// and for the own node, and of the relays' rows.
class node_balanced_planner {
  public:
    static constexpr std::size_t rounds = 4;

    node_balanced_planner(const plan_request& request, const node_balanced& strategy)
        : request_(request),
          exact_(strategy.exact_combine),
          home_(request.nodes.node_of(request.rank)),
          self_(request.nodes.local_index(request.rank)),
          rows_(strategy.name(), request,
                {"even out", "to relays", "own node", "relays to experts"}),
          loads_(request.nodes.ranks_of(home_).size(),
                 std::vector<row_index>(request.nodes.node_count(), 0)) {
        const assignment& a = request.assigned;
        std::vector<std::size_t> last_token(request.nodes.node_count(), a.token_count);
        std::size_t i = 0;
        for (std::size_t token = 0; token < a.token_count; ++token)
            for (std::size_t slot = 0; slot < a.choice_count; ++slot, ++i) {
                if (a.expert[i] == no_expert) continue;
                const auto node = static_cast<std::size_t>(
                    request.nodes.node_of(request.placement.rank_of(a.expert[i])));
                if (last_token[node] != token) ++loads_[self_][node];
                last_token[node] = token;
            }
        loads_[self_][static_cast<std::size_t>(home_)] = 0;
    }

    std::vector<message> outgoing(std::size_t round) {
        if (round == 0) return own_loads();
        if (round == 1) return rows_.send(0);
        if (round == 3) return rows_.send(3);
        std::vector<message> out = rows_.send(1);
        for (message& m : rows_.send(2)) out.push_back(std::move(m));
        return out;
    }

    void incoming(std::size_t round, const std::vector<message>& received) {
        const auto by_table = [](const std::vector<row_forwarder::lane*>& lanes) {
            return [&lanes](expert_id e) { return lanes[static_cast<std::size_t>(e)]; };
        };
        const auto stays = [](expert_id) -> row_forwarder::lane* { return nullptr; };
        if (round == 0) {
            for (const message& m : received) take_loads(m);
            set_out();
        } else if (round == 1) {
            for (const message& m : received) rows_.receive(0, m, by_table(to_relays_));
        } else if (round == 2) {
            for (const message& m : received)
                if (!request_.nodes.same_node(m.peer, request_.rank))
                    rows_.receive(1, m, by_table(to_experts_));
            for (const message& m : received)
                if (request_.nodes.same_node(m.peer, request_.rank)) rows_.receive(2, m, stays);
        } else {
            for (const message& m : received) rows_.receive(3, m, stays);
        }
    }

    exchange_plan finish() { return rows_.finish(exact_); }

  private:
    /// To each rank of the own node: (node, rows) for every node that this rank has rows for.
    std::vector<message> own_loads() const {
        std::vector<std::int64_t> words;
        for (std::size_t node = 0; node < loads_[self_].size(); ++node)
            if (loads_[self_][node] > 0)
                words.insert(words.end(), {static_cast<std::int64_t>(node), loads_[self_][node]});
        std::vector<message> out;
        for (const rank_id to : request_.nodes.ranks_of(home_))
            if (to != request_.rank && !words.empty()) out.push_back({to, words});
        return out;
    }

    void take_loads(const message& m) {
        const bool neighbour = request_.nodes.same_node(m.peer, request_.rank);
        bool sound = neighbour && m.words.size() % 2 == 0;
        for (std::size_t i = 0; sound && i < m.words.size(); i += 2) {
            const std::int64_t node = m.words[i];
            sound = node >= 0 && static_cast<std::size_t>(node) < loads_[self_].size() &&
                    node != home_ && m.words[i + 1] > 0;
            if (sound)
                loads_[request_.nodes.local_index(m.peer)][static_cast<std::size_t>(node)] =
                    m.words[i + 1];
        }
        if (!sound)
            throw plan_error(concat("locmoe: node_balanced: the loads that rank ", m.peer,
                                    " told rank ", request_.rank,
                                    " do not fit there: do all ranks hold the same topology?"));
    }

    /// Gives every own row its lane. Of the rows for one node the first stay with this rank, then
    /// come those for the next rank of the own node, and so on round: that distance is their way.
    void set_out() {
        const std::size_t ranks = loads_.size();
        const std::size_t nodes = loads_[self_].size();
        std::vector<std::vector<row_index>> handed(ranks, std::vector<row_index>(nodes, 0));
        handed[0] = loads_[self_];
        for (const handover& h : even_out(std::move(loads_))) {
            if (h.from != self_) continue;
            handed[(h.to + ranks - self_) % ranks][h.node] = h.rows;
            handed[0][h.node] -= h.rows;
        }
        struct share {
            row_forwarder::lane* out;
            row_index rows;
        };
        struct destination {
            std::vector<share> shares;
            std::size_t at = 0;
            row_index last_token = -1;
        };
        std::vector<destination> destinations(nodes);
        for (std::size_t node = 0; node < nodes; ++node)
            for (std::size_t way = 0; way < ranks; ++way) {
                if (handed[way][node] == 0) continue;
                const auto to = static_cast<node_id>(node);
                destinations[node].shares.push_back(
                    {way == 0
                         ? rows_.to(1, relay_of(request_.nodes, request_.rank, to))
                         : rows_.to(0, request_.nodes.ranks_of(home_)[(self_ + way) % ranks], way),
                     handed[way][node]});
            }

        const std::size_t experts = request_.placement.expert_count();
        std::vector<row_forwarder::lane*> own_node(experts, nullptr);
        std::vector<destination*> away(experts, nullptr);
        to_relays_.assign(experts, nullptr);
        to_experts_.assign(experts, nullptr);
        for (std::size_t e = 0; e < experts; ++e) {
            const rank_id to = request_.placement.rank_of(static_cast<expert_id>(e));
            const node_id node = request_.nodes.node_of(to);
            if (node == home_) {
                own_node[e] = rows_.to(2, to);
                to_experts_[e] = rows_.to(3, to);
            } else {
                away[e] = &destinations[static_cast<std::size_t>(node)];
                to_relays_[e] = rows_.to(1, relay_of(request_.nodes, request_.rank, node));
            }
        }
        rows_.start([&](expert_id expert, row_index token) {
            const auto e = static_cast<std::size_t>(expert);
            if (away[e] == nullptr) return own_node[e];
            destination& d = *away[e];
            if (d.last_token != token) {
                d.last_token = token;
                if (d.shares[d.at].rows == 0) ++d.at;
                --d.shares[d.at].rows;
            }
            return d.shares[d.at].out;
        });
    }

    plan_request request_;
    bool exact_;
    node_id home_;
    std::size_t self_;  // local index
    row_forwarder rows_;
    std::vector<std::vector<row_index>> loads_;    // [ranks of the node, nodes]: rows to send there
    std::vector<row_forwarder::lane*> to_relays_;  // by expert
    std::vector<row_forwarder::lane*> to_experts_;  // by expert: from here, as a relay, to its rank
};

}  // namespace detail

/// What a rank has beyond its node's mean goes to the others first; then all send the mean. Relays
/// take in, and pass on, about equally much as well.
inline row_loads node_balanced::settle(const row_loads& sums) const {
    using side = row_loads::side;
    const topology& nodes = sums.nodes();
    const std::size_t neighbours = detail::largest_node(nodes) - 1;
    row_loads even(nodes,
                   {{"even out", link_tier::intra_node, 0, neighbours},
                    {"to relays", link_tier::inter_node, 1, nodes.rank_count()},
                    {"own node", link_tier::intra_node, 0, neighbours},
                    {"relays to experts", link_tier::intra_node, 2, neighbours}},
                   sums.leaf_nodes());
    even.take_part(1, sums, 0, 1);
    even.take_part(2, sums, 1, 1);
    even.take_part(3, sums, 2, 1);
    for (std::size_t n = 0; n < nodes.node_count(); ++n) {
        const auto ranks = nodes.ranks_of(static_cast<node_id>(n));
        const auto mean_of = [&](std::size_t phase, side which) {
            std::int64_t all = 0;
            for (const rank_id r : ranks) all += even.at(phase, r, which);
            const auto count = static_cast<std::int64_t>(ranks.size());
            return (all + count - 1) / count;
        };
        const std::int64_t mean = mean_of(1, side::rows_out);
        for (const rank_id r : ranks) {
            const std::int64_t surplus = even.at(1, r, side::rows_out) - mean;
            even.at(0, r, side::rows_out) = surplus > 0 ? surplus : 0;
            even.at(0, r, side::messages_out) = even.at(0, r, side::rows_out);
            even.at(0, r, side::rows_in) = surplus < 0 ? -surplus : 0;
            even.at(0, r, side::messages_in) = even.at(0, r, side::rows_in);
        }
        const auto spread = [&](std::size_t phase, side which) {
            const std::int64_t each = mean_of(phase, which);
            for (const rank_id r : ranks) even.at(phase, r, which) = each;
        };
        spread(1, side::rows_out);
        spread(1, side::rows_in);
        spread(3, side::rows_out);
        // Rows change hands, not destinations: nobody has fewer messages than the one with most.
        for (const side which : {side::messages_out, side::messages_in}) {
            std::int64_t most = 0;
            for (const rank_id r : ranks)
                if (even.at(1, r, which) > most) most = even.at(1, r, which);
            for (const rank_id r : ranks) even.at(1, r, which) = most;
        }
    }
    return even;
}

inline detail::node_balanced_planner node_balanced::planner(const plan_request& request) const {
    return detail::node_balanced_planner(request, *this);
}

}  // namespace locmoe
