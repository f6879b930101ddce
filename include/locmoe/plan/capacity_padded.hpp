#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "locmoe/core/error.hpp"
#include "locmoe/plan/detail/by_rank.hpp"
#include "locmoe/plan/detail/exact_combine.hpp"
#include "locmoe/plan/detail/kept_pairs.hpp"
#include "locmoe/plan/detail/plan_head.hpp"
#include "locmoe/plan/detail/relay_of.hpp"
#include "locmoe/plan/direct.hpp"
#include "locmoe/plan/node_aggregated.hpp"
#include "locmoe/plan/store_and_forward.hpp"
#include "locmoe/plan/strategy.hpp"
#include "locmoe/plan/transpose.hpp"

namespace locmoe::inline v0 {

namespace detail {

/// The way that rows take which nobody announces: it hangs on where they start, where they are and
/// the node of their expert, never on the routing.
template <class Next, class Passes>
struct fixed_way {
    std::vector<std::string> phase_names;
    /// hop next(source, at, node), with no_rank for the rank of the expert itself.
    Next next;
    /// bool passes(from, to, node): whether rows from one node for another come through `node`, its
    /// ends included. May say so of too many.
    Passes passes;
};
template <class Next, class Passes>
fixed_way(std::vector<std::string>, Next, Passes) -> fixed_way<Next, Passes>;

inline bool at_an_end(node_id from, node_id to, node_id node) {
    return from == node || to == node;
}

inline auto way_of(const direct&, const plan_request&) {
    const auto next = [](rank_id, rank_id, node_id) { return hop{0, no_rank}; };
    return fixed_way{std::vector<std::string>{"all to all"}, next, at_an_end};
}

inline auto way_of(const node_aggregated& strategy, const plan_request& request) {
    if (strategy.chunks != 1)
        throw_argument("capacity_padded", "chunks of node_aggregated", "1",
                       concat(strategy.chunks), request.rank);
    const auto next = [&nodes = request.nodes](rank_id source, rank_id at, node_id node) {
        if (nodes.node_of(source) == node) return hop{0, no_rank};
        if (nodes.node_of(at) == node) return hop{2, no_rank};
        return hop{1, relay_of(nodes, at, node)};
    };
    return fixed_way{aggregated_phases{1}.names(), next, at_an_end};
}

inline auto way_of(const store_and_forward& strategy, const plan_request& request) {
    std::vector<std::string> phases;
    for (const phase_shape& shape : strategy.phase_shapes(request.nodes))
        phases.push_back(shape.name);
    const auto next = [&nodes = request.nodes, radix = strategy.radix, last = phases.size() - 1](
                          rank_id, rank_id at, node_id node) {
        if (nodes.node_of(at) == node) return hop{last, no_rank};
        return digit_hop(nodes, radix, at, node);
    };
    // Each step leaves one more low digit of the distance behind it.
    const auto passes = [count = request.nodes.node_count(), radix = strategy.radix](
                            node_id from, node_id to, node_id node) {
        const auto distance = [&](node_id n) {
            return (static_cast<std::size_t>(n) + count - static_cast<std::size_t>(from)) % count;
        };
        std::size_t unit = 1;
        while (unit <= distance(node)) unit *= radix;
        return distance(to) % unit == distance(node);
    };
    return fixed_way{std::move(phases), next, passes};
}

/// A strategy whose rows can find their way unannounced.
template <class Strategy>
concept has_fixed_way = requires(const Strategy& strategy, const plan_request& request) {
    way_of(strategy, request);
};

class capacity_padded_planner;

}  // namespace detail

/// The same number of rows from every rank to every expert, whatever the routing: `capacity` of
/// them, those without a token left empty. So every rank knows all messages by itself and plans
/// without a word to any other; expert inputs have one shape, [n of the rank, P, C], on every step.
///
/// It sends n C rows a rank, in the form of the strategy inside: `direct`; `node_aggregated`, whose
/// relays then cannot know which rows are one token's, so that it saves messages and no rows (the
/// two-phase exchange of Tutel's 2DH; in one chunk only); or `store_and_forward`, likewise. Without
/// shared rows there are no partial sums: combine adds up at the source, to the bits of `direct`,
/// and `exact_combine` makes no difference. There is no `node_balanced`: padded loads are equal.
///
/// It pays for tiny steps, where the planning round's latency is what counts (decoding), and where
/// shapes and messages must not change (captured graphs). Elsewhere it does not: with C at the
/// largest count, on 64 to 256 simulated ranks, it took 1.7 to 9 times as long as
/// `node_aggregated`.
///
/// Pairs are dropped beforehand, by `assign` with this capacity and no `before`. Its planner throws
/// argument_error where a rank keeps more pairs at an expert, before anything is sent. The capacity
/// must be the same on all ranks, which nothing checks, since nothing is exchanged.
template <detail::has_fixed_way Strategy>
struct capacity_padded {
    Strategy strategy;      ///< whose ways and phases the rows take
    std::int64_t capacity;  ///< C: rows for each (source rank, expert); at least 1

    /// The name of `strategy` and the capacity: "direct, padded to 8 rows".
    std::string name() const {
        return detail::concat(strategy.name(), ", padded to ", capacity, " rows");
    }
    /// Makes the planner, of no round. Throws argument_error also where `capacity` is below 1,
    /// where rows could not be numbered, and where `node_aggregated` has several chunks.
    detail::capacity_padded_planner planner(const plan_request& request) const;
};

/// `capacity_padded{direct{}, 8}`: any integer is a capacity.
template <class Strategy, class Capacity>
capacity_padded(Strategy, Capacity) -> capacity_padded<Strategy>;

namespace detail {

/// No round: of all O(P N) ways it follows the blocks (source, expert) that touch this rank's node.
class capacity_padded_planner {
  public:
    static constexpr std::size_t rounds = 0;

    template <class Next, class Passes>
    capacity_padded_planner(const plan_request& request, std::string strategy,
                            std::int64_t capacity, fixed_way<Next, Passes> way)
        : request_(request),
          strategy_(std::move(strategy)),
          capacity_(capacity),
          phase_names_(std::move(way.phase_names)),
          kept_(request),
          experts_on_(request.nodes.node_count()),
          leaving_(phase_names_.size()),
          coming_(phase_names_.size()) {
        if (capacity < 1)
            throw_argument("capacity_padded", "capacity", "at least 1", concat(capacity),
                           request.rank);
        // A rank sees each block of a source and an expert three times at most: as it starts, comes
        // in and stands.
        const std::size_t most =
            std::numeric_limits<row_index>::max() /
            (3 * request.nodes.rank_count() * request.placement.expert_count());
        if (static_cast<std::size_t>(capacity) > most)
            throw_argument("capacity_padded", "capacity", concat("at most ", most),
                           concat(capacity), request.rank);
        kept_.place(request.assigned, [](row_index, expert_id, row_index) {});
        find_pairs();
        for (const expert_id e : request.placement.experts_by_rank())
            experts_on_[static_cast<std::size_t>(
                            request.nodes.node_of(request.placement.rank_of(e)))]
                .push_back(e);
        const std::size_t ranks = request.nodes.rank_count();
        placed_.resize(request.placement.experts_of(request.rank).size() * ranks);
        const node_id home = request.nodes.node_of(request.rank);
        for (rank_id source = 0; source < static_cast<rank_id>(ranks); ++source)
            for (node_id node = 0; node < static_cast<node_id>(experts_on_.size()); ++node)
                if (way.passes(request.nodes.node_of(source), node, home))
                    follow(source, node, way.next);
        number_rows();
    }

    std::vector<message> outgoing(std::size_t) { return {}; }
    void incoming(std::size_t, const std::vector<message>&) {}

    exchange_plan finish() {
        flow rows = make_flow(static_cast<row_index>(request_.assigned.token_count),
                              [&](std::size_t pair) { return token(pair); });
        flow pairs = make_flow(static_cast<row_index>(kept_.experts.size()),
                               [](std::size_t pair) { return static_cast<row_index>(pair); });
        const std::size_t mine = request_.placement.experts_of(request_.rank).size();
        exchange_plan plan = plan_head(strategy_, request_, std::move(kept_));
        plan.rows_per_source = capacity_;
        for (std::size_t e = 0; e <= mine; ++e)
            plan.expert_first.push_back(static_cast<row_index>(e * plan.rank_count) * capacity_);
        plan.dispatch = std::move(rows);
        plan.pair_dispatch = std::move(pairs);
        plan.pair_combine = transpose(plan.pair_dispatch);
        plan.exact_combine = true;
        plan.combine = exact_combine(plan);
        return plan;
    }

  private:
    /// The rows of one source for one expert, at this rank: its own pairs, or received.
    struct block {
        expert_id own_expert = no_expert;  // received: no_expert
        row_index staged = 0;              // received: its first row of staging
        std::size_t phases_before = 0;     // received: the phase's number, and one
    };
    using blocks_by_peer = by_rank<std::vector<std::size_t>>;

    void find_pairs() {
        first_pair_.assign(request_.placement.expert_count(), 0);
        pair_count_.assign(request_.placement.expert_count(), 0);
        for (std::size_t i = 0; i < kept_.experts.size(); ++i) {
            const auto e = static_cast<std::size_t>(kept_.experts[i]);
            if (pair_count_[e]++ == 0) first_pair_[e] = i;
            if (pair_count_[e] > capacity_)
                throw_argument("capacity_padded",
                               concat("pairs kept for expert ", kept_.experts[i]),
                               concat("at most C = ", capacity_),
                               concat("one more with token ", token(i)),
                               request_.rank);
        }
    }

    row_index token(std::size_t pair) const {
        return kept_.slots[pair] / static_cast<row_index>(request_.assigned.choice_count);
    }

    /// Blocks go in one order, by source, node and expert, whoever looks at them: so sender and
    /// receiver of a message cut it alike.
    template <class Next>
    void follow(rank_id source, node_id node, const Next& next) {
        const rank_id me = request_.rank;
        const std::vector<expert_id>& experts = experts_on_[static_cast<std::size_t>(node)];
        if (experts.empty()) return;
        std::vector<std::size_t> held;  // here, one an expert
        if (source == me)
            for (const expert_id e : experts) {
                held.push_back(blocks_.size());
                blocks_.push_back({e, 0, 0});
            }
        rank_id at = source;
        hop step = next(source, at, node);
        for (; step.to != no_rank; step = next(source, at, node)) {
            if (at == me)
                for (const std::size_t b : held)
                    leaving_[step.phase].at(step.to).first->push_back(b);
            if (step.to == me) {
                held.clear();
                for (std::size_t e = 0; e < experts.size(); ++e)
                    held.push_back(come_in(step.phase, at));
            }
            at = step.to;
        }
        if (at != me && request_.nodes.node_of(me) != node) return;
        for (std::size_t e = 0; e < experts.size(); ++e) {
            const rank_id to = request_.placement.rank_of(experts[e]);
            if (at == me && to != me) leaving_[step.phase].at(to).first->push_back(held[e]);
            if (to == me)
                placed_[request_.placement.local_index(experts[e]) * request_.nodes.rank_count() +
                        static_cast<std::size_t>(source)] =
                    at == me ? held[e] : come_in(step.phase, at);
        }
    }

    std::size_t come_in(std::size_t phase, rank_id from) {
        coming_[phase].at(from).first->push_back(blocks_.size());
        blocks_.push_back({no_expert, 0, phase + 1});
        return blocks_.size() - 1;
    }

    void number_rows() {
        row_index staged = 0;
        for (const blocks_by_peer& of_phase : coming_)
            of_phase.from_next(request_.rank, [&](rank_id, const std::vector<std::size_t>& list) {
                for (const std::size_t b : list) {
                    blocks_[b].staged = staged;
                    staged += capacity_;
                }
            });
    }

    template <class OwnRow>
    flow make_flow(row_index source_rows, const OwnRow& own_row) const {
        flow moved;
        moved.source_rows = source_rows;
        const auto append = [&](std::vector<row_index>& rows, const block& b) {
            if (b.own_expert == no_expert) {
                for (row_index i = 0; i < capacity_; ++i)
                    rows.push_back(source_rows + b.staged + i);
                return;
            }
            const auto e = static_cast<std::size_t>(b.own_expert);
            for (row_index i = 0; i < capacity_; ++i)
                rows.push_back(i < pair_count_[e]
                                   ? own_row(first_pair_[e] + static_cast<std::size_t>(i))
                                   : empty_row);
        };
        const auto rows_in = [&](const std::vector<std::size_t>& list) {
            return static_cast<row_index>(list.size()) * capacity_;
        };
        for (std::size_t p = 0; p < phase_names_.size(); ++p) {
            phase step;
            step.name = phase_names_[p];
            const rank_id me = request_.rank;
            leaving_[p].from_next(me, [&](rank_id to, const std::vector<std::size_t>& list) {
                step.sends.push_back({to, request_.nodes.tier(request_.rank, to),
                                      static_cast<row_index>(step.pack.from.size()),
                                      rows_in(list)});
                for (const std::size_t b : list) {
                    append(step.pack.from, blocks_[b]);
                    if (blocks_[b].phases_before > step.needs)
                        step.needs = blocks_[b].phases_before;
                }
            });
            coming_[p].from_next(me, [&](rank_id peer, const std::vector<std::size_t>& list) {
                step.receives.push_back({peer, request_.nodes.tier(request_.rank, peer),
                                         moved.staging_rows, rows_in(list)});
                moved.staging_rows += rows_in(list);
            });
            moved.phases.push_back(std::move(step));
        }
        for (const std::size_t b : placed_) append(moved.deliver.from, blocks_[b]);
        return moved;
    }

    plan_request request_;
    std::string strategy_;
    std::int64_t capacity_;
    std::vector<std::string> phase_names_;
    kept_pairs kept_;
    std::vector<std::size_t> first_pair_;             // by expert
    std::vector<std::int64_t> pair_count_;            // by expert
    std::vector<std::vector<expert_id>> experts_on_;  // by node
    std::vector<block> blocks_;
    std::vector<blocks_by_peer> leaving_;  // by phase
    std::vector<blocks_by_peer> coming_;   // by phase
    std::vector<std::size_t> placed_;      // [experts here, P]: the block
};

}  // namespace detail

template <detail::has_fixed_way Strategy>
detail::capacity_padded_planner capacity_padded<Strategy>::planner(
    const plan_request& request) const {
    return {request, name(), capacity, detail::way_of(strategy, request)};
}

}  // namespace locmoe
