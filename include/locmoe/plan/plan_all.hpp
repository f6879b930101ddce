#pragma once

#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "locmoe/plan/detail/from_next_rank.hpp"
#include "locmoe/plan/strategy.hpp"

namespace locmoe::inline v0 {

/// The plans of all ranks of a cluster, made in one process: for tests, and for asking what an
/// exchange would cost on a cluster that is not there. `assigned[r]` is rank r's assignment.
template <exchange_strategy Strategy>
std::vector<exchange_plan> plan_all(const Strategy& strategy, const topology& nodes,
                                    const expert_placement& placement,
                                    std::span<const assignment> assigned) {
    using planner = decltype(strategy.planner(std::declval<const plan_request&>()));
    if (assigned.size() != nodes.rank_count())
        detail::throw_argument("plan_all", "assigned",
                               detail::concat("one for each of ", nodes.rank_count(), " ranks"),
                               detail::concat(assigned.size()));
    std::vector<planner> planners;
    planners.reserve(assigned.size());
    for (std::size_t r = 0; r < assigned.size(); ++r) {
        const plan_request request{static_cast<rank_id>(r), nodes, placement, assigned[r]};
        check_request(request);
        planners.push_back(strategy.planner(request));
    }
    for (std::size_t round = 0; round < planners[0].rounds; ++round) {
        std::vector<std::vector<message>> inbox(planners.size());
        for (std::size_t r = 0; r < planners.size(); ++r)
            for (message& m : planners[r].outgoing(round))
                inbox.at(static_cast<std::size_t>(m.peer))
                    .push_back({static_cast<rank_id>(r), std::move(m.words)});
        for (std::size_t r = 0; r < planners.size(); ++r)
            planners[r].incoming(
                round, detail::from_next_rank(static_cast<rank_id>(r), std::move(inbox[r])));
    }
    std::vector<exchange_plan> plans;
    plans.reserve(planners.size());
    for (planner& p : planners) plans.push_back(p.finish());
    return plans;
}

}  // namespace locmoe
