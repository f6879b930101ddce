#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "locmoe/core/detail/merge_sort.hpp"
#include "locmoe/core/error.hpp"
#include "locmoe/core/ids.hpp"
#include "locmoe/core/matrix_view.hpp"
#include "locmoe/topology/detail/replica_board.hpp"
#include "locmoe/topology/expert_placement.hpp"
#include "locmoe/topology/replicated_placement.hpp"
#include "locmoe/topology/serve_nearest.hpp"
#include "locmoe/topology/topology.hpp"

namespace locmoe::inline v0 {

/// How much room there is for replicas, and how even the ranks' loads must be.
struct balance_options {
    /// Replicas that every rank has room for; none: as few as hold all experts, ceil(n / P).
    std::optional<std::size_t> slots_per_rank = std::nullopt;

    /// [P]: the room rank by rank instead, 0 where a rank is to hold none.
    std::span<const std::size_t> slots_of_rank = {};

    /// Largest load of a rank over the mean, 1 or more. The higher, the more tokens stay on their
    /// node.
    double load_cap = 1.1;
};

namespace detail {

/// One replica for each expert, then always one more for the largest load per replica (EPLB's
/// rule), until the slots are full or each expert has `most`.
inline std::vector<std::size_t> count_replicas(std::span<const std::int64_t> loads,
                                               std::size_t slots, std::size_t most) {
    std::vector<std::size_t> count(loads.size(), 1);
    for (std::size_t placed = loads.size(); placed < slots; ++placed) {
        std::size_t best = loads.size();
        double best_load = -1;
        for (std::size_t e = 0; e < loads.size(); ++e) {
            if (count[e] == most) continue;
            const double load = static_cast<double>(loads[e]) / static_cast<double>(count[e]);
            if (load > best_load) {
                best = e;
                best_load = load;
            }
        }
        if (best == loads.size()) break;
        ++count[best];
    }
    return count;
}

/// That a replica of `expert` stands on `node`: it would keep `rows` rows there.
struct replica_wish {
    double rows;
    std::size_t turn;  ///< among equals
    std::size_t node;
    std::size_t expert;
};

/// All wishes, the greatest first. A node's second wish for an expert is for what the first replica
/// leaves. Equal wishes take turns, each node starting with the expert whose number is that of the
/// node's first slot: so neighbouring nodes hold what the other lacks.
inline std::vector<replica_wish> replica_wishes(matrix_view<const std::int64_t> loads,
                                                const topology& nodes,
                                                std::span<const std::size_t> slots,
                                                std::span<const double> replica_load) {
    std::vector<replica_wish> wishes;
    std::size_t start = 0;
    for (std::size_t n = 0; n < loads.rows; ++n) {
        const auto ranks = nodes.ranks_of(static_cast<node_id>(n));
        for (std::size_t e = 0; e < loads.cols; ++e) {
            const std::size_t turn = (e + loads.cols - start) % loads.cols;
            double left = static_cast<double>(loads(n, e));
            for (std::size_t i = 0; i < ranks.size() && left > 0; ++i) {
                const double rows = left < replica_load[e] ? left : replica_load[e];
                wishes.push_back({rows, turn, n, e});
                left -= rows;
            }
        }
        for (const rank_id rank : ranks) start += slots[static_cast<std::size_t>(rank)];
        start %= loads.cols;
    }
    merge_sort(wishes, [](const replica_wish& a, const replica_wish& b) {
        if (a.rows != b.rows) return a.rows > b.rows;
        if (a.turn != b.turn) return a.turn < b.turn;
        if (a.node != b.node) return a.node < b.node;
        return a.expert < b.expert;
    });
    return wishes;
}

/// The slots of every rank. Throws argument_error where they cannot hold all experts.
inline std::vector<std::size_t> slots_of(const balance_options& options, std::size_t experts,
                                         std::size_t ranks) {
    std::vector<std::size_t> slots(options.slots_of_rank.begin(), options.slots_of_rank.end());
    if (slots.empty())
        slots.assign(ranks, options.slots_per_rank.value_or((experts + ranks - 1) / ranks));
    if (slots.size() != ranks)
        throw_argument("balance_experts", "slots_of_rank", concat("P = ", ranks, " numbers"),
                       concat(slots.size()));
    std::size_t all = 0;
    for (std::size_t& s : slots) {
        if (s > experts) s = experts;  // no rank needs two replicas of one expert
        all += s;
    }
    if (all < experts)
        throw_argument("balance_experts", "slots", concat("one for each of ", experts, " experts"),
                       concat(all));
    return slots;
}

}  // namespace detail

/// Places and replicates experts by observed loads, so that tokens stay on their node and no rank
/// works much more than the others. `loads` [N, n]: (token, slot) rows that start on a node and are
/// bound for an expert, as `count_choices` gives them, summed over the ranks of a node and over as
/// many steps as are to count. Every rank must call it with the same loads, and gets the same.
///
///   1. Replicas are counted by load alone: the next slot always to the largest load per replica.
///   2. Replicas go, most rows first, to the nodes where their tokens start, while a slot and the
///      load cap allow it; the rest to the least loaded ranks.
///   3. Where these replicas cannot serve all tokens under the cap, they are exchanged between
///      ranks, one at a time, until they can or nothing helps.
///   4. `serve_nearest` splits the tokens: those of the own node first, under the cap.
///
/// Every expert gets a replica, no rank two of the same; slots that would need that stay empty. The
/// cap is kept wherever step 3 gets there; whether any placement could keep it is bin packing, and
/// not decided. `estimate_load` says what came out. Where no row was observed at all, all (rank,
/// expert) pairs count as equal.
///
/// Throws argument_error where loads are negative, do not fit the topology or do not add up to less
/// than 2^53, and where there are fewer slots than experts.
/// Sources: replica counts from EPLB (github.com/deepseek-ai/EPLB); it knows no affinity.
inline replicated_placement balance_experts(matrix_view<const std::int64_t> loads,
                                            const topology& nodes,
                                            const balance_options& options = {}) {
    using detail::concat;
    const std::size_t experts = loads.cols, ranks = nodes.rank_count();
    if (experts == 0) detail::throw_argument("balance_experts", "experts", "at least one", "none");
    const std::int64_t total =
        detail::check_loads("balance_experts", loads, nodes.node_count(), experts);
    detail::check_load_cap("balance_experts", options.load_cap);
    const std::vector<std::size_t> slots = detail::slots_of(options, experts, ranks);

    if (total == 0) {
        constexpr std::int64_t rows = 1024;  // enough for replicas to share
        std::vector<std::int64_t> equal;
        for (std::size_t n = 0; n < nodes.node_count(); ++n) {
            const std::size_t here = nodes.ranks_of(static_cast<node_id>(n)).size();
            equal.insert(equal.end(), experts, static_cast<std::int64_t>(here) * rows);
        }
        return balance_experts({equal.data(), nodes.node_count(), experts}, nodes, options);
    }

    std::vector<std::int64_t> of_expert(experts, 0);
    for (std::size_t n = 0; n < loads.rows; ++n)
        for (std::size_t e = 0; e < experts; ++e) of_expert[e] += loads(n, e);
    std::size_t all_slots = 0, holders = 0;  // ranks with slots
    for (const std::size_t s : slots) {
        all_slots += s;
        holders += s > 0;
    }
    const auto count = detail::count_replicas(of_expert, all_slots, holders);
    std::vector<double> replica_load(experts);
    for (std::size_t e = 0; e < experts; ++e)
        replica_load[e] = static_cast<double>(of_expert[e]) / static_cast<double>(count[e]);
    const std::int64_t cap =
        detail::rank_cap(total, static_cast<std::int64_t>(holders), options.load_cap);

    detail::replica_board board(nodes, slots, replica_load);
    auto left = count;
    for (const auto& wish : detail::replica_wishes(loads, nodes, slots, replica_load))
        if (left[wish.expert] > 0 && board.put_on_node(wish.expert, static_cast<node_id>(wish.node),
                                                       static_cast<double>(cap)))
            --left[wish.expert];
    std::vector<std::size_t> rest;
    for (std::size_t e = 0; e < experts; ++e) rest.insert(rest.end(), left[e], e);
    detail::merge_sort(rest, [&](std::size_t a, std::size_t b) {
        return replica_load[a] > replica_load[b];
    });
    for (const std::size_t e : rest) board.put_anywhere(e);

    auto best = board.replicas();
    std::int64_t best_cap = detail::least_cap(of_expert, best.first, best.second, ranks, cap);
    while (best_cap > cap && board.relieve(static_cast<double>(cap))) {
        auto relieved = board.replicas();
        const std::int64_t needed =
            detail::least_cap(of_expert, relieved.first, relieved.second, ranks, cap);
        if (needed >= best_cap) continue;
        best = std::move(relieved);
        best_cap = needed;
    }
    return serve_nearest(expert_placement::from_rank_of_expert(std::move(best.first), ranks),
                         std::move(best.second), loads, nodes, options.load_cap);
}

/// The same where only loads `[n]` over all ranks are known: each expert's tokens are taken to
/// start on all ranks alike.
inline replicated_placement balance_experts(std::span<const std::int64_t> loads,
                                            const topology& nodes,
                                            const balance_options& options = {}) {
    const auto ranks = static_cast<std::int64_t>(nodes.rank_count());
    std::vector<std::int64_t> by_node;
    std::int64_t before = 0;  // ranks of lower nodes
    for (std::size_t n = 0; n < nodes.node_count(); ++n) {
        const auto after =
            before + static_cast<std::int64_t>(nodes.ranks_of(static_cast<node_id>(n)).size());
        for (const std::int64_t load : loads) {
            const std::int64_t each = load / ranks, odd = load % ranks;
            by_node.push_back(each * (after - before) + odd * after / ranks - odd * before / ranks);
        }
        before = after;
    }
    return balance_experts({by_node.data(), nodes.node_count(), loads.size()}, nodes, options);
}

}  // namespace locmoe
