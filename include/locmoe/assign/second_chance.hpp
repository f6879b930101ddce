#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "locmoe/assign/assignment.hpp"
#include "locmoe/assign/drop_policy.hpp"
#include "locmoe/core/error.hpp"
#include "locmoe/core/ids.hpp"
#include "locmoe/routing/routing.hpp"

namespace locmoe::inline v0 {

/// [n]: slots of each expert that nobody has taken and that this rank may fill.
struct free_slots {
    std::vector<std::int64_t> first;  ///< the position of the first
    std::vector<std::int64_t> count;  ///< so many from there on
};

/// What an assignment without `before` left free: each rank owns its slots. Throws argument_error
/// where the options name no capacity, since a dropless assignment has nobody to place.
inline free_slots free_slots_here(const assignment& assigned, const assign_options& options) {
    if (!options.capacity && options.capacities.empty())
        detail::throw_argument("free_slots", "capacity", "one, or one an expert", "none",
                               options.rank);
    free_slots slots{assigned.kept, detail::limits(options, assigned.expert_count)};
    for (std::size_t e = 0; e < slots.count.size(); ++e) {
        slots.count[e] -= assigned.kept[e];
        if (slots.count[e] < 0) slots.count[e] = 0;
    }
    return slots;
}

/// This rank's share of what an assignment over all ranks left free of each expert, F slots behind
/// the taken ones: floor((j + 1) F / P) - floor(j F / P) with j = (rank + expert) mod P, so that
/// shares differ by one at most, add up to F, and the odd slots fall to other ranks expert by
/// expert. Asks for `options.total` and no further message.
inline free_slots free_slots_of_rank(const assign_options& options, std::size_t experts,
                                     rank_id rank, std::size_t ranks) {
    using detail::concat;
    if (!options.capacity && options.capacities.empty())
        detail::throw_argument("free_slots", "capacity", "one, or one an expert", "none", rank);
    if (options.total.size() != experts)
        detail::throw_argument("free_slots", "total", concat("n = ", experts, " counts"),
                               concat(options.total.size()), rank);
    if (rank < 0 || static_cast<std::size_t>(rank) >= ranks)
        detail::throw_argument("free_slots", "rank", concat("0 to P - 1 with P = ", ranks),
                               concat(rank));
    const auto all = static_cast<std::int64_t>(ranks);
    free_slots slots{std::vector<std::int64_t>(experts, 0), detail::limits(options, experts)};
    for (std::size_t e = 0; e < experts; ++e) {
        const std::int64_t taken =
            options.total[e] < slots.count[e] ? options.total[e] : slots.count[e];
        const std::int64_t free = slots.count[e] - taken;
        const std::int64_t j = (rank + static_cast<std::int64_t>(e)) % all;
        const auto share = [&](std::int64_t i) {
            return i * (free / all) + i * (free % all) / all;
        };
        slots.first[e] = taken + share(j);
        slots.count[e] = share(j + 1) - share(j);
    }
    return slots;
}

/// A routing with second choices, and what it assigns.
template <class Real>
struct second_chance_result {
    basic_routing<Real> decided;  ///< a moved pair names its new expert, with its weight there
    assignment assigned;          ///< moved pairs count as kept, with their new expert
};

/// Dropped pairs, tokens in order and each token's slots in order, go to the expert of the highest
/// probability (the lowest id among equals) that has a free slot and that the token has not chosen:
/// never one twice, and never the one that was full. A probability of 0 marks a masked expert,
/// which gets nothing. What finds no place stays dropped. A moved pair's weight is in the ratio to
/// its new probability that it had to the old one (to 1 where that was 0), so that w = p stays w =
/// p. O(n) a dropped pair. Throws argument_error where there are no probabilities, one is NaN, or
/// shapes disagree.
template <class Real>
second_chance_result<Real> give_second_chance(basic_routing<Real> decided, assignment assigned,
                                              free_slots slots, rank_id rank = no_rank) {
    using detail::concat;
    const std::size_t n = decided.expert_count;
    const std::size_t k = decided.choice_count;
    detail::check_probabilities(decided, rank);
    detail::check_weights(decided, rank);
    if (assigned.expert.size() != decided.chosen.size() || assigned.kept.size() != n)
        detail::throw_argument("give_second_chance", "assigned", "the routing's own assignment",
                               concat(assigned.expert.size(), " pairs"), rank);
    if (slots.first.size() != n || slots.count.size() != n)
        detail::throw_argument("give_second_chance", "slots", concat("n = ", n, " counts"),
                               concat(slots.count.size()), rank);

    for (std::size_t t = 0; t < decided.token_count; ++t) {
        // What the token chose, at first: a moved pair's new expert is in `assigned` meanwhile.
        const std::vector<expert_id> wished(
            decided.chosen.begin() + static_cast<std::ptrdiff_t>(t * k),
            decided.chosen.begin() + static_cast<std::ptrdiff_t>((t + 1) * k));
        bool kept_before = false;
        bool kept_now = false;
        bool wanted = false;
        for (std::size_t slot = 0; slot < k; ++slot)
            kept_before = kept_before || assigned.expert[t * k + slot] != no_expert;
        for (std::size_t slot = 0; slot < k; ++slot) {
            const std::size_t i = t * k + slot;
            if (wished[slot] == no_expert) continue;
            wanted = true;
            if (assigned.expert[i] != no_expert) continue;
            const auto taken = [&](expert_id e) {
                for (std::size_t s = 0; s < k; ++s)
                    if (wished[s] == e || assigned.expert[t * k + s] == e) return true;
                return false;
            };
            const std::span<const Real> p =
                std::span<const Real>(decided.probabilities).subspan(t * n, n);
            std::size_t best = n;
            for (std::size_t e = 0; e < n; ++e)
                if (slots.count[e] > 0 && p[e] > Real(0) && (best == n || p[e] > p[best]) &&
                    !taken(static_cast<expert_id>(e)))
                    best = e;
            if (best == n) continue;
            const auto old = static_cast<std::size_t>(wished[slot]);
            decided.weights[i] = p[old] > Real(0) ? decided.weights[i] / p[old] * p[best] : p[best];
            decided.chosen[i] = static_cast<expert_id>(best);
            assigned.expert[i] = static_cast<expert_id>(best);
            assigned.position[i] = slots.first[best]++;
            --slots.count[best];
            ++assigned.kept[best];
            --assigned.dropped[old];
            --(slot == 0 ? assigned.ledger.capacity : assigned.ledger.second_choice);
            ++assigned.ledger.moved;
            kept_now = true;
        }
        if (wanted && !kept_before && kept_now) --assigned.ledger.lost_tokens;
    }
    return {std::move(decided), std::move(assigned)};
}

}  // namespace locmoe
