#pragma once

#include <cstddef>
#include <string_view>
#include <utility>
#include <vector>

#include "locmoe/plan/detail/arrivals.hpp"
#include "locmoe/plan/detail/kept_pairs.hpp"
#include "locmoe/plan/detail/plan_head.hpp"
#include "locmoe/plan/exchange_plan.hpp"
#include "locmoe/plan/strategy.hpp"
#include "locmoe/plan/transpose.hpp"

namespace locmoe::inline v0::detail {

/// The last step of every strategy: lay out the expert rows and transpose the pairs' flow. The plan
/// then lacks only `combine`. `rows` and `pairs` come with their phases and lack only `deliver`.
inline exchange_plan finish_plan(std::string_view strategy, const plan_request& request,
                                 kept_pairs&& kept, arrivals&& arrived, flow&& rows, flow&& pairs) {
    const auto mine = request.placement.experts_of(request.rank);
    arrivals::layout sorted = arrived.sorted(mine.size());
    exchange_plan plan = plan_head(strategy, request, std::move(kept));
    plan.expert_first = std::move(sorted.expert_first);
    plan.dispatch = std::move(rows);
    plan.dispatch.deliver = std::move(sorted.rows);
    plan.pair_dispatch = std::move(pairs);
    plan.pair_dispatch.deliver = std::move(sorted.pairs);
    plan.pair_combine = transpose(plan.pair_dispatch);
    return plan;
}

}  // namespace locmoe::detail
