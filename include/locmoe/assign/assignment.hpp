#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <vector>

#include "locmoe/core/detail/reused.hpp"
#include "locmoe/core/error.hpp"
#include "locmoe/core/ids.hpp"
#include "locmoe/routing/drop_ledger.hpp"
#include "locmoe/routing/routing.hpp"

namespace locmoe::inline v0 {

struct assign_options {
    /// Rows an expert takes at most; none: dropless.
    std::optional<std::int64_t> capacity = std::nullopt;

    /// [n]: (token, slot) pairs that lower ranks sent to each expert (`count_scan::before`), so
    /// that the capacity is the expert's over all ranks, filled in rank order as if all tokens
    /// stood in one batch. Empty: the capacity counts this rank's pairs alone (GShard's local
    /// groups).
    std::span<const std::int64_t> before = {};

    /// [n]: each expert's own capacity, in place of `capacity`. Empty: one for all.
    std::span<const std::int64_t> capacities = {};

    /// [n]: pairs that all ranks sent to each expert (`count_scan::total`). Where `before` is
    /// given, every drop policy but the one by position asks for it.
    std::span<const std::int64_t> total = {};

    rank_id rank = no_rank;  ///< named in errors
};

/// Who got a slot. A pair (token, slot) is kept, dropped for want of room, or never chose an
/// expert.
struct assignment {
    std::size_t token_count = 0;         ///< T
    std::size_t choice_count = 0;        ///< k
    std::size_t expert_count = 0;        ///< n
    std::vector<expert_id> expert;       ///< [T, k]; no_expert where dropped or not chosen
    std::vector<std::int64_t> position;  ///< [T, k]: place among the expert's rows; -1 likewise
    std::vector<std::int64_t> kept;      ///< [n]
    std::vector<std::int64_t> dropped;   ///< [n]
    drop_ledger ledger;                  ///< why

    std::int64_t kept_count() const { return sum(kept); }
    std::int64_t dropped_count() const { return sum(dropped); }

  private:
    static std::int64_t sum(const std::vector<std::int64_t>& counts) {
        std::int64_t all = 0;
        for (const std::int64_t c : counts) all += c;
        return all;
    }
};

namespace detail {

/// Whether a size is T k, however large these are.
constexpr bool is_product(std::size_t size, std::size_t tokens, std::size_t choices) {
    if (tokens == 0 || choices == 0) return size == 0;
    return size % choices == 0 && size / choices == tokens;
}

/// Throws argument_error unless routing and options fit together, but for the experts' ids.
template <class Real>
void check_assign(const basic_routing<Real>& decided, const assign_options& options) {
    const std::size_t n = decided.expert_count;
    if (!is_product(decided.chosen.size(), decided.token_count, decided.choice_count))
        throw_argument("assign", "chosen",
                       concat("T k = ", decided.token_count, " times ", decided.choice_count,
                              " choices"),
                       concat(decided.chosen.size()), options.rank);
    if (options.capacity && *options.capacity < 0)
        throw_argument("assign", "capacity", "0 or more", concat(*options.capacity), options.rank);
    const auto check = [&](const char* name, std::span<const std::int64_t> counts) {
        if (!counts.empty() && counts.size() != n)
            throw_argument("assign", name, concat("n = ", n, " counts"), concat(counts.size()),
                           options.rank);
        for (std::size_t e = 0; e < counts.size(); ++e)
            if (counts[e] < 0)
                throw_argument("assign", concat(name, " of expert ", e), "0 or more",
                               concat(counts[e]), options.rank);
    };
    check("before", options.before);
    check("capacities", options.capacities);
    check("total", options.total);
    if (options.capacity && !options.capacities.empty())
        throw_argument("assign", "capacity", "none where each expert has its own",
                       concat(*options.capacity), options.rank);
}

/// [n]: rows that each expert takes at most; the largest integer where there is no limit.
inline std::vector<std::int64_t> limits(const assign_options& options, std::size_t experts) {
    if (!options.capacities.empty()) return {options.capacities.begin(), options.capacities.end()};
    return std::vector<std::int64_t>(
        experts, options.capacity.value_or(std::numeric_limits<std::int64_t>::max()));
}

/// Tokens that chose an expert and got a slot at none.
template <class Real>
std::int64_t count_lost_tokens(const basic_routing<Real>& decided, const assignment& a) {
    const std::size_t k = decided.choice_count;
    std::int64_t lost = 0;
    for (std::size_t t = 0; t < decided.token_count; ++t) {
        expert_id chose = no_expert;  // any expert's id is larger
        expert_id got = no_expert;
        for (std::size_t i = t * k; i < (t + 1) * k; ++i) {
            chose = decided.chosen[i] > chose ? decided.chosen[i] : chose;
            got = a.expert[i] > got ? a.expert[i] : got;
        }
        lost += chose != no_expert && got == no_expert;
    }
    return lost;
}

[[noreturn]] inline void throw_expert(std::size_t token, std::size_t experts, expert_id got,
                                      rank_id rank) {
    throw_argument("assign", concat("expert of token ", token),
                   concat("0 to ", experts - 1, ", or no_expert (-1)"), concat(got), rank);
}

/// The expert of pair i as an index. Throws argument_error where it is none of the n.
template <class Real>
std::size_t expert_index(const basic_routing<Real>& decided, std::size_t i, rank_id rank) {
    const expert_id e = decided.chosen[i];
    if (e < 0 || static_cast<std::size_t>(e) >= decided.expert_count)
        throw_expert(i / decided.choice_count, decided.expert_count, e, rank);
    return static_cast<std::size_t>(e);
}

/// Goes through the pairs, tokens in order and each token's slots in order, gives each that
/// `has_room(pair, expert)` the next position at its expert, from `next` `[n]`, and books the rest.
template <class Real, class HasRoom>
void place_pairs(const basic_routing<Real>& decided, std::span<std::int64_t> next, rank_id rank,
                 const HasRoom& has_room, assignment& a) {
    const std::size_t pairs = decided.chosen.size();
    const std::size_t k = decided.choice_count;
    a.token_count = decided.token_count;
    a.choice_count = k;
    a.expert_count = decided.expert_count;
    a.expert.resize(pairs);
    a.position.resize(pairs);
    a.kept.resize(next.size());
    a.dropped.assign(next.size(), 0);
    drop_ledger ledger;
    for (std::size_t e = 0; e < next.size(); ++e) a.kept[e] = -next[e];
    for (std::size_t i = 0; i < pairs; ++i) {
        const expert_id chosen = decided.chosen[i];
        if (chosen == no_expert) {
            a.expert[i] = no_expert;
            a.position[i] = -1;
            ++ledger.not_chosen;
            continue;
        }
        const std::size_t e = expert_index(decided, i, rank);
        if (!has_room(i, e)) {
            a.expert[i] = no_expert;
            a.position[i] = -1;
            ++a.dropped[e];
            ++(i % k == 0 ? ledger.capacity : ledger.second_choice);
            continue;
        }
        a.expert[i] = chosen;
        a.position[i] = next[e]++;
    }
    for (std::size_t e = 0; e < next.size(); ++e) a.kept[e] += next[e];
    if (ledger.dropped() != 0) ledger.lost_tokens = count_lost_tokens(decided, a);
    a.ledger = ledger;
}

}  // namespace detail

/// Gives every pair the next position at its expert, tokens in order and each token's slots in
/// order, into an earlier batch's assignment, whose memory is used again; what comes to stand at or
/// behind the capacity is dropped and counted (the drop-by-position rule of Switch). One pass over
/// [T, k]. Capacity 0 drops everything.
/// Throws argument_error where a capacity or count is negative, a list has another length than n,
/// both `capacity` and `capacities` are given, or the routing's shapes disagree.
template <class Real>
void assign_into(const basic_routing<Real>& decided, assignment& assigned,
                 const assign_options& options = {}) {
    detail::check_assign(decided, options);
    const std::size_t n = decided.expert_count;
    const auto next = detail::reused<std::int64_t, assignment>(n);
    const std::int64_t all = options.capacity.value_or(std::numeric_limits<std::int64_t>::max());
    for (std::size_t e = 0; e < n; ++e) next[e] = options.before.empty() ? 0 : options.before[e];
    detail::place_pairs(
        decided, next, options.rank,
        [&](std::size_t, std::size_t e) {
            return next[e] < (options.capacities.empty() ? all : options.capacities[e]);
        },
        assigned);
}

/// `assign_into` into an assignment of its own.
template <class Real>
assignment assign(const basic_routing<Real>& decided, const assign_options& options = {}) {
    assignment assigned;
    assign_into(decided, assigned, options);
    return assigned;
}

}  // namespace locmoe
