#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "locmoe/core/error.hpp"
#include "locmoe/core/ids.hpp"
#include "locmoe/routing/routing.hpp"

namespace locmoe {

struct assign_options {
    /// Rows an expert takes at most; none: dropless.
    std::optional<std::int64_t> capacity = std::nullopt;

    /// [n]: (token, slot) pairs that lower ranks sent to each expert (`count_scan::before`), so that
    /// the capacity is the expert's over all ranks, filled in rank order as if all tokens stood in
    /// one batch. Empty: the capacity counts this rank's pairs alone (GShard's local groups).
    std::span<const std::int64_t> before = {};
};

/// Who got a slot. A pair (token, slot) is kept, dropped for want of room, or never chose an expert.
struct assignment {
    std::size_t token_count = 0;         ///< T
    std::size_t choice_count = 0;        ///< k
    std::size_t expert_count = 0;        ///< n
    std::vector<expert_id> expert;       ///< [T, k]; no_expert where dropped or not chosen
    std::vector<std::int64_t> position;  ///< [T, k]: place among the expert's rows; -1 likewise
    std::vector<std::int64_t> kept;      ///< [n]
    std::vector<std::int64_t> dropped;   ///< [n]

    std::int64_t kept_count() const { return sum(kept); }
    std::int64_t dropped_count() const { return sum(dropped); }

  private:
    static std::int64_t sum(const std::vector<std::int64_t>& counts) {
        std::int64_t all = 0;
        for (const std::int64_t c : counts) all += c;
        return all;
    }
};

/// Gives every pair the next position at its expert, tokens in order and each token's slots in order;
/// what comes to stand at or behind the capacity is dropped and counted (the drop-by-position rule of
/// Switch and Tutel). One pass over [T, k]. Capacity 0 drops everything. Throws argument_error where
/// the capacity is negative, `before` has another length than n, or the routing's shapes disagree.
template <class Real>
assignment assign(const basic_routing<Real>& decided, const assign_options& options = {}) {
    using detail::concat;
    const std::size_t pairs = decided.token_count * decided.choice_count;
    if (decided.chosen.size() != pairs)
        detail::throw_argument("assign", "chosen", concat("T k = ", pairs, " choices"),
                               concat(decided.chosen.size()));
    if (options.capacity && *options.capacity < 0)
        detail::throw_argument("assign", "capacity", "0 or more", concat(*options.capacity));
    if (!options.before.empty() && options.before.size() != decided.expert_count)
        detail::throw_argument("assign", "before", concat("n = ", decided.expert_count, " counts"),
                               concat(options.before.size()));

    assignment a;
    a.token_count = decided.token_count;
    a.choice_count = decided.choice_count;
    a.expert_count = decided.expert_count;
    a.expert.assign(pairs, no_expert);
    a.position.assign(pairs, -1);
    a.kept.assign(decided.expert_count, 0);
    a.dropped.assign(decided.expert_count, 0);
    std::vector<std::int64_t> next(decided.expert_count, 0);
    if (!options.before.empty()) next.assign(options.before.begin(), options.before.end());
    for (std::size_t i = 0; i < pairs; ++i) {
        const expert_id chosen = decided.chosen[i];
        if (chosen == no_expert) continue;
        if (chosen < 0 || static_cast<std::size_t>(chosen) >= decided.expert_count)
            detail::throw_argument("assign", concat("expert of token ", i / decided.choice_count),
                                   concat("0 to ", decided.expert_count - 1, ", or no_expert (-1)"),
                                   concat(chosen));
        const auto e = static_cast<std::size_t>(chosen);
        const std::int64_t position = next[e]++;
        if (options.capacity && position >= *options.capacity) {
            ++a.dropped[e];
            continue;
        }
        a.expert[i] = chosen;
        a.position[i] = position;
        ++a.kept[e];
    }
    return a;
}

}  // namespace locmoe
