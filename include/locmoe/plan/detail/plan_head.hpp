#pragma once

#include <string_view>
#include <utility>

#include "locmoe/plan/detail/kept_pairs.hpp"
#include "locmoe/plan/exchange_plan.hpp"
#include "locmoe/plan/strategy.hpp"

namespace locmoe::inline v0::detail {

/// A plan with all that the request says of it; it lacks its expert rows and its flows.
inline exchange_plan plan_head(std::string_view strategy, const plan_request& request,
                               kept_pairs&& kept) {
    const auto mine = request.placement.experts_of(request.rank);
    exchange_plan plan;
    plan.strategy = strategy;
    plan.rank = request.rank;
    plan.rank_count = request.nodes.rank_count();
    plan.token_count = request.assigned.token_count;
    plan.choice_count = request.assigned.choice_count;
    plan.pair_slots = std::move(kept.slots);
    plan.pair_experts = std::move(kept.experts);
    plan.experts.assign(mine.begin(), mine.end());
    plan.dropped_pairs = request.assigned.dropped_count();
    return plan;
}

}  // namespace locmoe::detail
