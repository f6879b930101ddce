#pragma once

#include <cstddef>
#include <vector>

#include "locmoe/assign/assignment.hpp"
#include "locmoe/plan/exchange_plan.hpp"

namespace locmoe::detail {

/// Combine with no partial sums: every pair's row travels back by itself, then each token adds up
/// its pairs in their order. For `direct` that is the transpose of dispatch. `token_of(pair)`: the
/// token of a pair of the plan.
template <class TokenOf>
flow exact_combine(const exchange_plan& plan, const assignment& assigned, TokenOf&& token_of) {
    flow back;
    back.source_rows = plan.pair_combine.source_rows;
    back.staging_rows = plan.pair_combine.staging_rows;
    back.phases = plan.pair_combine.phases;
    row_sums& sums = back.deliver;
    // Counted one place on; listing moves a token's place to where its pairs end: where the next
    // token's start.
    sums.first.assign(plan.token_count + 1, 0);
    row_index pairs = 0;
    std::size_t i = 0;
    for (std::size_t t = 0; t < plan.token_count; ++t) {
        sums.first[t + 1] = pairs;
        for (std::size_t slot = 0; slot < plan.choice_count; ++slot, ++i)
            pairs += assigned.expert[i] != no_expert;
    }
    sums.from.resize(plan.pair_count());
    const std::vector<row_index>& rows = plan.pair_combine.deliver.from;
    for (std::size_t pair = 0; pair < rows.size(); ++pair)
        sums.from[static_cast<std::size_t>(sums.first[token_of(pair) + 1]++)] = rows[pair];
    return back;
}

}  // namespace locmoe::detail
