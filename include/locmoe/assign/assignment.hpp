#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <span>
#include <type_traits>
#include <vector>

#include "locmoe/core/detail/lanes.hpp"
#include "locmoe/core/detail/reused.hpp"
#include "locmoe/core/error.hpp"
#include "locmoe/core/ids.hpp"
#include "locmoe/core/parallel.hpp"
#include "locmoe/routing/drop_ledger.hpp"
#include "locmoe/routing/routing.hpp"

namespace locmoe::inline v0 {

/// How many rows an expert takes, and which of them are left to this rank.
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

    std::int64_t kept_count() const { return sum(kept); }        ///< pairs with a slot
    std::int64_t dropped_count() const { return sum(dropped); }  ///< pairs that found none

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

/// Gives `a` the shape of the routing; its pairs are of no particular content.
template <class Real>
void shape_assignment(const basic_routing<Real>& decided, assignment& a) {
    a.token_count = decided.token_count;
    a.choice_count = decided.choice_count;
    a.expert_count = decided.expert_count;
    a.expert.resize(decided.chosen.size());
    a.position.resize(decided.chosen.size());
    a.kept.assign(decided.expert_count, 0);
    a.dropped.assign(decided.expert_count, 0);
    a.ledger = {};
}

/// Room for every pair, as nothing limits the experts.
struct unlimited_room {
    constexpr bool operator()(std::size_t, std::size_t) const { return true; }
};

/// Copies `count` choices. False unless each is an expert.
inline bool copy_experts(const expert_id* chosen, std::size_t count, std::uint32_t experts,
                         expert_id* to) {
    constexpr std::size_t N = lane_count<std::uint32_t, 16>;
    const std::uint32_t last = experts - 1;
    lanes<std::uint32_t, N> some, others = {};  // the highest bit: below 0 or above the last
    std::size_t i = 0;
    for (; i + N <= count; i += N) {
        std::memcpy(&some, chosen + i, sizeof some);
        std::memcpy(to + i, &some, sizeof some);
        others |= some | (last - some);
    }
    std::uint32_t each[N], other = 0;
    for (; i < count; ++i) {
        const auto e = static_cast<std::uint32_t>(to[i] = chosen[i]);
        other |= e | (last - e);
    }
    std::memcpy(each, &others, sizeof each);
    for (const std::uint32_t bits : each) other |= bits;
    return other >> 31 == 0;
}

/// Places the pairs [begin, end), few enough to be looked at twice. False, with no position given,
/// unless each chose an expert: without a limit, that is all that there is to ask.
template <class Real>
bool place_all(const basic_routing<Real>& decided, std::size_t begin, std::size_t end,
               std::span<std::int64_t> next, assignment& a) {
    const expert_id* const chosen = decided.chosen.data();
    if (!copy_experts(chosen + begin, end - begin,
                      static_cast<std::uint32_t>(decided.expert_count), a.expert.data() + begin))
        return false;
    std::int64_t* const position = a.position.data();
    constexpr std::size_t looked_at = 64;
    std::uint32_t repeated = 0;
    if (end - begin > looked_at)
        for (std::size_t p = 0; p < looked_at; ++p)
            repeated += chosen[begin + p] == chosen[begin + p + 1];
    std::size_t i = begin;
    // A pair waits for the count that one shortly before it wrote at the same expert. Where that is
    // often so, three are compared with each other and read their counts before any is written.
    if (repeated >= 12)
        for (; i + 3 <= end; i += 3) {
            const auto e = static_cast<std::size_t>(chosen[i]);
            const auto f = static_cast<std::size_t>(chosen[i + 1]);
            const auto g = static_cast<std::size_t>(chosen[i + 2]);
            const std::int64_t at_e = next[e], at_f = next[f] + (e == f);
            const std::int64_t at_g = next[g] + (e == g) + (f == g);
            position[i] = at_e;
            position[i + 1] = at_f;
            position[i + 2] = at_g;
            next[e] = at_e + 1;
            next[f] = at_f + 1;
            next[g] = at_g + 1;
        }
    for (; i < end; ++i) position[i] = next[static_cast<std::size_t>(chosen[i])]++;
    return true;
}

/// Goes through the pairs [begin, end), gives each that `has_room(pair, expert)` the next position
/// at its expert, from `next` `[n]`, and books the rest in `dropped` `[n]` and in `ledger`.
template <class Real, class HasRoom>
void place_each(const basic_routing<Real>& decided, std::size_t begin, std::size_t end,
                std::span<std::int64_t> next, std::span<std::int64_t> dropped, rank_id rank,
                const HasRoom& has_room, assignment& a, drop_ledger& ledger) {
    for (std::size_t i = begin; i < end; ++i) {
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
            ++dropped[e];
            ++(i % decided.choice_count == 0 ? ledger.capacity : ledger.second_choice);
            continue;
        }
        a.expert[i] = chosen;
        a.position[i] = next[e]++;
    }
}

/// `place_each`, in blocks where there is no limit.
template <class Real, class HasRoom>
drop_ledger place_range(const basic_routing<Real>& decided, std::size_t begin, std::size_t end,
                        std::span<std::int64_t> next, std::span<std::int64_t> dropped,
                        rank_id rank, const HasRoom& has_room, assignment& a) {
    constexpr bool unlimited = std::is_same_v<HasRoom, unlimited_room>;
    const std::size_t block = unlimited ? 256 : end - begin;
    drop_ledger ledger;
    for (std::size_t first = begin; first < end; first += block) {
        const std::size_t last = block < end - first ? first + block : end;
        if constexpr (unlimited)
            if (place_all(decided, first, last, next, a)) continue;
        place_each(decided, first, last, next, dropped, rank, has_room, a, ledger);
    }
    return ledger;
}

/// `place_range` on all pairs: tokens in order and each token's slots in order.
template <class Real, class HasRoom>
void place_pairs(const basic_routing<Real>& decided, std::span<std::int64_t> next, rank_id rank,
                 const HasRoom& has_room, assignment& a) {
    shape_assignment(decided, a);
    for (std::size_t e = 0; e < next.size(); ++e) a.kept[e] = -next[e];
    a.ledger =
        place_range(decided, 0, decided.chosen.size(), next, a.dropped, rank, has_room, a);
    for (std::size_t e = 0; e < next.size(); ++e) a.kept[e] += next[e];
    if (a.ledger.dropped() != 0) a.ledger.lost_tokens = count_lost_tokens(decided, a);
}

/// The same by position over several threads, `next` `[n]` being what `before` says: each counts
/// its own tokens' pairs, and starts where the ones before it end.
template <class Real, class LimitOf, class Threads>
void place_pairs_together(const basic_routing<Real>& decided, std::span<std::int64_t> next,
                          rank_id rank, const LimitOf& limit_of, bool unlimited, assignment& a,
                          Threads& threads, std::size_t parts) {
    shape_assignment(decided, a);
    const std::size_t n = decided.expert_count, k = decided.choice_count;
    struct part_memory {};
    const std::size_t apart = n + 64 / sizeof(std::int64_t);  // no two threads share a cache line
    const auto memory = reused<std::int64_t, part_memory>(2 * parts * apart);
    const auto ledgers = reused<drop_ledger, part_memory>(parts);
    for (std::int64_t& count : memory) count = 0;
    const auto starts_of = [&](std::size_t part) { return memory.subspan(part * apart, n); };
    const auto drops_of = [&](std::size_t part) {
        return memory.subspan((parts + part) * apart, n);
    };
    const auto first_of = [&](std::size_t part) { return decided.token_count * part / parts * k; };
    threads.run(parts, [&](std::size_t part) {
        const auto counts = starts_of(part);
        for (std::size_t i = first_of(part); i < first_of(part + 1); ++i)
            if (decided.chosen[i] != no_expert) ++counts[expert_index(decided, i, rank)];
    });
    for (std::size_t e = 0; e < n; ++e) {
        std::int64_t at = next[e];
        for (std::size_t part = 0; part < parts; ++part) {
            const std::int64_t room = limit_of(e) > at ? limit_of(e) - at : 0;
            const std::int64_t count = starts_of(part)[e];
            starts_of(part)[e] = at;
            at += count < room ? count : room;
        }
        a.kept[e] = at - next[e];
    }
    threads.run(parts, [&](std::size_t part) {
        const auto own = starts_of(part);
        const auto place = [&](const auto& has_room) {
            ledgers[part] = place_range(decided, first_of(part), first_of(part + 1), own,
                                        drops_of(part), rank, has_room, a);
        };
        if (unlimited)
            place(unlimited_room{});
        else
            place([&](std::size_t, std::size_t e) { return own[e] < limit_of(e); });
    });
    for (std::size_t part = 0; part < parts; ++part) {
        a.ledger.not_chosen += ledgers[part].not_chosen;
        a.ledger.capacity += ledgers[part].capacity;
        a.ledger.second_choice += ledgers[part].second_choice;
        for (std::size_t e = 0; e < n; ++e) a.dropped[e] += drops_of(part)[e];
    }
    if (a.ledger.dropped() != 0) a.ledger.lost_tokens = count_lost_tokens(decided, a);
}

}  // namespace detail

/// Gives every pair the next position at its expert, tokens in order and each token's slots in
/// order, into an earlier batch's assignment, whose memory is used again; what comes to stand at or
/// behind the capacity is dropped and counted (the drop-by-position rule of Switch). One pass over
/// [T, k]. Capacity 0 drops everything.
/// Throws argument_error where a capacity or count is negative, a list has another length than n,
/// both `capacity` and `capacities` are given, or the routing's shapes disagree.
/// `threads` share the tokens where there are enough of them.
template <class Real, parallel Threads = const one_thread>
void assign_into(const basic_routing<Real>& decided, assignment& assigned,
                 const assign_options& options = {},
                 Threads& threads = detail::caller_alone) {
    detail::check_assign(decided, options);
    const std::size_t n = decided.expert_count;
    const auto next = detail::reused<std::int64_t, assignment>(n);
    const std::int64_t all = options.capacity.value_or(std::numeric_limits<std::int64_t>::max());
    for (std::size_t e = 0; e < n; ++e) next[e] = options.before.empty() ? 0 : options.before[e];
    const auto limit_of = [&](std::size_t e) {
        return options.capacities.empty() ? all : options.capacities[e];
    };
    // Threads take two passes, and two of them no less time than one thread's one.
    constexpr std::size_t pairs_a_part = 16384, fewest_parts = 3;
    const std::size_t most = decided.chosen.size() / pairs_a_part, width = threads.width();
    const std::size_t parts = most < width ? most : width;
    bool unlimited = !options.capacity && options.capacities.empty();
    for (const std::int64_t before : next)  // else a position could pass the largest integer
        unlimited = unlimited && static_cast<std::size_t>(all - before) >= decided.chosen.size();
    if (parts >= fewest_parts)
        detail::place_pairs_together(decided, next, options.rank, limit_of, unlimited, assigned,
                                     threads, parts);
    else if (unlimited)
        detail::place_pairs(decided, next, options.rank, detail::unlimited_room{}, assigned);
    else
        detail::place_pairs(
            decided, next, options.rank,
            [&](std::size_t, std::size_t e) { return next[e] < limit_of(e); }, assigned);
}

/// `assign_into` into an assignment of its own.
template <class Real>
assignment assign(const basic_routing<Real>& decided, const assign_options& options = {}) {
    assignment assigned;
    assign_into(decided, assigned, options);
    return assigned;
}

}  // namespace locmoe
