#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "locmoe/plan/detail/once_counter.hpp"
#include "locmoe/plan/detail/relay_of.hpp"
#include "locmoe/plan/row_forwarder.hpp"
#include "locmoe/plan/row_loads.hpp"
#include "locmoe/plan/strategy.hpp"

namespace locmoe::inline v0 {

namespace detail {
class node_aggregated_planner;
}

/// A row travels once to each destination node, whatever number of experts it has there, and a
/// relay on that node copies it to their ranks (the two-phase exchange of LocMoE and Tutel's 2DH,
/// with DeepEP's de-duplication). Combine adds up at the relay: it sends as few inter-node rows.
///
/// Three phases: to a relay on each other node; to the ranks of the own node; from the relays to
/// the experts' ranks. The relay of rank r on a node of m ranks is its rank number `local_index(r)
/// mod m`, so even nodes talk rail to rail and uneven ones share the load. Asks nothing of the node
/// sizes.
///
/// With several chunks the phases over the relays are as many times as short, each for a range of
/// the tokens: while the relays pass on one chunk, the next is on its way to them. It pays where a
/// few hot experts make the relays' part long. Same rows, same sums, more messages.
struct node_aggregated {
    std::size_t chunks = 1;  ///< at least 1, otherwise `planner` throws argument_error

    /// Combine without partial sums: each pair's row comes back by itself and they are summed at
    /// the source in the order of `direct`, to the same bits, for more inter-node rows.
    bool exact_combine = false;

    /// With the options that are not the default: "node_aggregated, 4 chunks".
    std::string name() const {
        return detail::concat(
            "node_aggregated", exact_combine ? ", exact combine" : "",
            chunks == 1 ? std::string() : detail::concat(", ", chunks, " chunks"));
    }
    /// Makes the planner, of two rounds: to relays and the own node, then from relays to experts.
    detail::node_aggregated_planner planner(const plan_request& request) const;

    /// The loads of one chunk; `settle` cuts them up.
    std::string loads_name() const { return "rows once per node"; }
    /// To relays; own node; relays to experts, the only one that waits.
    std::vector<phase_shape> phase_shapes(const topology& nodes) const {
        const std::size_t neighbours = detail::largest_node(nodes) - 1;
        return {{"to relays", link_tier::inter_node, 0, nodes.rank_count()},
                {"own node", link_tier::intra_node, 0, neighbours},
                {"relays to experts", link_tier::intra_node, 1, neighbours}};
    }
    /// Adds this rank's rows, and what its relays on other nodes pass on of them.
    void add_loads(const plan_request& request, row_loads& loads) const;
    row_loads settle(const row_loads& sums) const;
    /// Declines where there is one node: no row would have a relay.
    std::string declines(const topology& nodes) const {
        return nodes.node_count() == 1 ? "there is one node" : "";
    }
};

namespace detail {

/// Where the phases of each chunk stand. A chunk leaves for the relays once the one before it has
/// been passed on to the experts, so that both are under way at once. The rows for the own node
/// fill the wait for the last chunk; after all relays, whatever the number of chunks, so that
/// combine always adds them up first.
struct aggregated_phases {
    std::size_t chunks;

    std::size_t to_relays(std::size_t chunk) const { return 2 * chunk; }
    std::size_t own_node() const { return 2 * chunks - 1; }
    std::size_t to_experts(std::size_t chunk) const {
        return 2 * chunk + (chunk + 1 < chunks ? 1 : 2);
    }
    std::vector<std::string> names() const {
        std::vector<std::string> all(1 + 2 * chunks);
        all[own_node()] = "own node";
        for (std::size_t c = 0; c < chunks; ++c) {
            const std::string part = chunks == 1 ? std::string() : concat(", chunk ", c);
            all[to_relays(c)] = "to relays" + part;
            all[to_experts(c)] = "relays to experts" + part;
        }
        return all;
    }
};

/// Two rounds: sources describe their rows to the ranks of their node and to the relays; the relays
/// describe them to the experts' ranks, source by source. With several chunks, a message to or from
/// a relay ends with the number of its chunk.
class node_aggregated_planner {
  public:
    static constexpr std::size_t rounds = 2;

    node_aggregated_planner(const plan_request& request, const node_aggregated& strategy)
        : request_(request),
          exact_(strategy.exact_combine),
          phases_{strategy.chunks},
          rows_(strategy.name(), request, checked(request, phases_).names()),
          onward_(strategy.chunks) {
        const topology& nodes = request.nodes;
        const std::size_t experts = request.placement.expert_count();
        const std::size_t chunks = phases_.chunks;
        const node_id home = nodes.node_of(request.rank);
        std::vector<std::vector<row_forwarder::lane*>> first(chunks);
        for (std::size_t c = 0; c < chunks; ++c) {
            first[c].assign(experts, nullptr);
            onward_[c].assign(experts, nullptr);
            for (std::size_t e = 0; e < experts; ++e) {
                const rank_id to = request.placement.rank_of(static_cast<expert_id>(e));
                const node_id node = nodes.node_of(to);
                first[c][e] = node == home ? rows_.to(phases_.own_node(), to)
                                           : rows_.to(phases_.to_relays(c),
                                                      relay_of(nodes, request.rank, node));
                if (node == home) onward_[c][e] = rows_.to(phases_.to_experts(c), to);
            }
        }
        const std::size_t tokens = request.assigned.token_count;
        const std::size_t each = tokens / chunks + (tokens % chunks != 0 ? 1 : 0);
        auto end = static_cast<row_index>(each);
        rows_.start([&, lanes = first.data()](expert_id e, row_index token) mutable {
            while (token >= end) {
                ++lanes;
                end += static_cast<row_index>(each);
            }
            return (*lanes)[static_cast<std::size_t>(e)];
        });
    }

    std::vector<message> outgoing(std::size_t round) {
        std::vector<message> out;
        if (round == 0) out = rows_.send(phases_.own_node());
        for (std::size_t c = 0; c < phases_.chunks; ++c)
            for (message& m :
                 rows_.send(round == 0 ? phases_.to_relays(c) : phases_.to_experts(c))) {
                if (phases_.chunks > 1) m.words.push_back(static_cast<std::int64_t>(c));
                out.push_back(std::move(m));
            }
        return out;
    }

    void incoming(std::size_t round, const std::vector<message>& received) {
        const auto stays = [](expert_id) -> row_forwarder::lane* { return nullptr; };
        for (std::size_t c = 0; c < phases_.chunks; ++c)
            for (const message& m : received) {
                if (round == 0 && request_.nodes.same_node(m.peer, request_.rank)) continue;
                if (phases_.chunks > 1 && chunk_of(m) != c) continue;
                message cut;
                if (phases_.chunks > 1) cut = without_chunk(m);
                const message& part = phases_.chunks > 1 ? cut : m;
                if (round == 0)
                    rows_.receive(phases_.to_relays(c), part, [&](expert_id e) {
                        return onward_[c][static_cast<std::size_t>(e)];
                    });
                else
                    rows_.receive(phases_.to_experts(c), part, stays);
            }
        if (round == 0)
            for (const message& m : received)
                if (request_.nodes.same_node(m.peer, request_.rank))
                    rows_.receive(phases_.own_node(), m, stays);
    }

    exchange_plan finish() { return rows_.finish(exact_); }

  private:
    static const aggregated_phases& checked(const plan_request& request,
                                            const aggregated_phases& phases) {
        if (phases.chunks == 0)
            throw_argument("node_aggregated", "chunks", "at least 1", "0", request.rank);
        return phases;
    }

    std::size_t chunk_of(const message& m) const {
        const std::int64_t chunk = m.words.empty() ? -1 : m.words.back();
        if (chunk < 0 || static_cast<std::size_t>(chunk) >= phases_.chunks)
            throw plan_error(concat("locmoe: node_aggregated: rank ", m.peer, " sent rank ",
                                    request_.rank, " rows of chunk ", chunk, ", expected 0 to ",
                                    phases_.chunks - 1, ": do all ranks use as many chunks?"));
        return static_cast<std::size_t>(chunk);
    }
    static message without_chunk(const message& m) {
        return {m.peer, {m.words.begin(), m.words.end() - 1}};
    }

    plan_request request_;
    bool exact_;
    aggregated_phases phases_;
    row_forwarder rows_;
    // [chunks], by expert: from here, as a relay, to its rank
    std::vector<std::vector<row_forwarder::lane*>> onward_;
};

}  // namespace detail

inline void node_aggregated::add_loads(const plan_request& request, row_loads& loads) const {
    const topology& nodes = request.nodes;
    const node_id home = nodes.node_of(request.rank);
    detail::once_counter by_node(nodes.node_count());
    detail::once_counter by_rank(nodes.rank_count());
    detail::for_each_pair(request, [&](std::int64_t token, rank_id to) {
        by_node.add(static_cast<std::size_t>(nodes.node_of(to)), token);
        by_rank.add(static_cast<std::size_t>(to), token);
    });
    for (std::size_t n = 0; n < nodes.node_count(); ++n) {
        const auto node = static_cast<node_id>(n);
        const rank_id relay = detail::relay_of(nodes, request.rank, node);
        if (node != home) loads.add(0, request.rank, relay, by_node.rows(n));
        for (const rank_id to : nodes.ranks_of(node))
            loads.add(node == home ? 1 : 2, node == home ? request.rank : relay, to,
                      by_rank.rows(static_cast<std::size_t>(to)));
    }
}

/// Every chunk has its part of the rows, and as many messages as there are rows for.
inline row_loads node_aggregated::settle(const row_loads& sums) const {
    if (chunks == 1) return sums;
    const detail::aggregated_phases places{chunks};
    const std::vector<phase_shape>& whole = sums.phases();
    const std::vector<std::string> names = places.names();
    std::vector<phase_shape> shapes(names.size());
    std::vector<std::size_t> from(names.size());
    from[places.own_node()] = 1;
    for (std::size_t c = 0; c < chunks; ++c) {
        from[places.to_relays(c)] = 0;
        from[places.to_experts(c)] = 2;
        shapes[places.to_experts(c)].needs = places.to_relays(c) + 1;
    }
    for (std::size_t p = 0; p < shapes.size(); ++p)
        shapes[p] = {names[p], whole[from[p]].tier, shapes[p].needs, whole[from[p]].peers};
    row_loads cut(sums.nodes(), std::move(shapes), sums.leaf_nodes());
    for (std::size_t p = 0; p < from.size(); ++p)
        cut.take_part(p, sums, from[p], from[p] == 1 ? 1 : static_cast<std::int64_t>(chunks));
    return cut;
}

inline detail::node_aggregated_planner node_aggregated::planner(const plan_request& request) const {
    return detail::node_aggregated_planner(request, *this);
}

}  // namespace locmoe
