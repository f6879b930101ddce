#pragma once

#include <cstddef>
#include <vector>

#include "locmoe/plan/exchange_plan.hpp"

namespace locmoe::detail {

/// Combine with no partial sums: every pair's row travels back by itself, then each token adds up its
/// pairs in their order, which is the order of `direct`'s transpose.
inline flow exact_combine(const exchange_plan& plan) {
    flow back = plan.pair_combine;
    row_sums sums;
    sums.first.assign(plan.token_count + 1, 0);
    const auto k = static_cast<std::int64_t>(plan.choice_count);
    const auto token = [&](std::size_t pair) {
        return static_cast<std::size_t>(plan.pair_slots[pair] / k);
    };
    for (std::size_t i = 0; i < plan.pair_count(); ++i) ++sums.first[token(i) + 1];
    for (std::size_t t = 0; t < plan.token_count; ++t) sums.first[t + 1] += sums.first[t];
    sums.from.resize(plan.pair_count());
    std::vector<row_index> next(sums.first.begin(), sums.first.end() - 1);
    for (std::size_t i = 0; i < plan.pair_count(); ++i)
        sums.from[static_cast<std::size_t>(next[token(i)]++)] = back.deliver.from[i];
    back.deliver = std::move(sums);
    return back;
}

}  // namespace locmoe::detail
