#pragma once

#include <cstddef>
#include <vector>

#include "locmoe/plan/exchange_plan.hpp"

namespace locmoe::inline v0::detail {

/// Combine with no partial sums: every pair's row travels back by itself, then each token adds up
/// its pairs in their order. For `direct` that is the transpose of dispatch. `pairs_of(token)`: how
/// many pairs a token has, asked once for each token in order; `token_of(pair)`: a pair's token.
template <class PairsOf, class TokenOf>
flow exact_combine(const exchange_plan& plan, PairsOf&& pairs_of, TokenOf&& token_of) {
    flow back;
    back.source_rows = plan.pair_combine.source_rows;
    back.staging_rows = plan.pair_combine.staging_rows;
    back.phases = plan.pair_combine.phases;
    row_sums& sums = back.deliver;
    // Counted one place on; listing moves a token's place to where its pairs end: where the next
    // token's start.
    sums.first.assign(plan.token_count + 1, 0);
    row_index pairs = 0;
    for (std::size_t t = 0; t < plan.token_count; ++t) {
        sums.first[t + 1] = pairs;
        pairs += pairs_of(t);
    }
    sums.from.resize(plan.pair_count());
    const std::vector<row_index>& rows = plan.pair_combine.deliver.from;
    for (std::size_t pair = 0; pair < rows.size(); ++pair)
        sums.from[static_cast<std::size_t>(sums.first[token_of(pair) + 1]++)] = rows[pair];
    return back;
}

/// The same from what the plan says of its pairs.
inline flow exact_combine(const exchange_plan& plan) {
    const auto token_of = [&](std::size_t pair) {
        return static_cast<std::size_t>(plan.pair_slots[pair]) / plan.choice_count;
    };
    std::vector<row_index> pairs(plan.token_count, 0);
    for (std::size_t pair = 0; pair < plan.pair_count(); ++pair) ++pairs[token_of(pair)];
    return exact_combine(plan, [&](std::size_t token) { return pairs[token]; }, token_of);
}

}  // namespace locmoe::detail
