#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include "locmoe/core/ids.hpp"
#include "locmoe/routing/detail/row_math.hpp"
#include "locmoe/routing/expert_groups.hpp"
#include "locmoe/routing/top_k.hpp"

namespace locmoe::inline v0::detail {

/// `steered` `[n]` becomes scores plus bias; `biases` is n, or 0 where there is no bias.
template <class Real>
[[gnu::always_inline]] inline void add_bias(const Real* scores, const float* bias,
                                            std::size_t biases, Real* steered, std::size_t n) {
    std::size_t i = 0;
    for (; i + sum_parts <= biases; i += sum_parts)
        for (std::size_t p = 0; p < sum_parts; ++p)
            steered[i + p] = scores[i + p] + static_cast<Real>(bias[i + p]);
    for (; i < n; ++i) steered[i] = scores[i] + (i < biases ? static_cast<Real>(bias[i]) : Real(0));
}

/// Copies a run of scores to the front, behind the `left` that are there, and the ids likewise,
/// whether or not it is taken: what is not, the next run overwrites. How many are taken.
template <class Real>
[[gnu::always_inline]] inline std::size_t take_run(std::span<const expert_id> run, bool taken,
                                                   Real* steered, std::size_t left,
                                                   expert_id* experts) {
    constexpr std::size_t chunk = 8;
    const std::size_t start = static_cast<std::size_t>(run[0]), size = run.size();
    std::size_t i = 0;
    for (; i + chunk <= size; i += chunk) {
        Real moved[chunk];  // source and target may overlap
        for (std::size_t p = 0; p < chunk; ++p) moved[p] = steered[start + i + p];
        for (std::size_t p = 0; p < chunk; ++p) steered[left + i + p] = moved[p];
        for (std::size_t p = 0; p < chunk; ++p)
            experts[left + i + p] = static_cast<expert_id>(start + i + p);
    }
    for (; i < size; ++i) {
        steered[left + i] = steered[start + i];
        experts[left + i] = static_cast<expert_id>(start + i);
    }
    return taken ? size : 0;
}

/// The scores of a group that is not taken become minus infinity.
template <class Real>
[[gnu::always_inline]] inline void mask_group(std::span<const expert_id> group, bool taken,
                                              Real* steered) {
    const Real most =
        taken ? std::numeric_limits<Real>::infinity() : -std::numeric_limits<Real>::infinity();
    for (const expert_id e : group) {
        Real& s = steered[static_cast<std::size_t>(e)];
        s = s < most ? s : most;
    }
}

/// Leaves only the experts of the `limit` groups of largest `value` (of equals the lowest) to
/// choose from: their scores at the front of `steered` `[n]` and their ids in `experts` `[n]`, in
/// order. Returns how many. Where the groups are not in order, all experts stay, the others'
/// masked. No branch depends on the values, which a processor could but guess. `value`
/// `[groups + 16]` is written to behind the groups'.
template <class Real>
[[gnu::always_inline]] inline std::size_t take_best_groups(const expert_groups* groups,
                                                           std::size_t limit, Real* steered,
                                                           Real* value, expert_id* experts) {
    const std::size_t count = groups->group_count();
    for (std::size_t p = 0; p < sum_parts; ++p) value[count + p] = 0;
    std::size_t left = 0;
    for (std::size_t first = 0; first < count; first += sum_parts) {
        std::uint32_t place[sum_parts];
        rank_part(value, static_cast<std::uint32_t>(count), static_cast<std::uint32_t>(first),
                  place);
        for (std::size_t g = first; g < first + sum_parts && g < count; ++g) {
            const bool taken = place[g - first] < limit;
            if (groups->in_order())
                left += take_run(groups->experts_of(g), taken, steered, left, experts);
            else
                mask_group(groups->experts_of(g), taken, steered);
        }
    }
    if (groups->in_order()) return left;
    for (std::size_t e = 0; e < groups->expert_count(); ++e) experts[e] = static_cast<expert_id>(e);
    return groups->expert_count();
}

}  // namespace locmoe::detail
