#pragma once

#include <concepts>
#include <cstddef>
#include <string_view>
#include <vector>

#include "locmoe/assign/assignment.hpp"
#include "locmoe/core/error.hpp"
#include "locmoe/core/ids.hpp"
#include "locmoe/plan/exchange_plan.hpp"
#include "locmoe/plan/message.hpp"
#include "locmoe/topology/expert_placement.hpp"
#include "locmoe/topology/topology.hpp"

namespace locmoe::inline v0 {

/// What one rank knows when it starts to plan. All three live at least until the plan is finished.
struct plan_request {
    rank_id rank;                       ///< whose plan is made, 0 to P - 1
    const topology& nodes;              ///< of all P ranks
    const expert_placement& placement;  ///< over the same P ranks
    const assignment& assigned;         ///< of this rank's tokens
};

/// Makes one rank's plan in `rounds` rounds, as many on all ranks: what it wants to tell other
/// ranks, then what they told it, sorted by sender from the next rank on, around to this one. It
/// communicates through whoever drives it, so that all ranks of a cluster can plan in one process.
/// Throws plan_error where a message does not fit.
template <class Planner>
concept rank_planner = requires(Planner& planner, std::size_t round,
                                const std::vector<message>& received) {
    { planner.rounds } -> std::convertible_to<std::size_t>;
    { planner.outgoing(round) } -> std::same_as<std::vector<message>>;
    { planner.incoming(round, received) } -> std::same_as<void>;
    { planner.finish() } -> std::same_as<exchange_plan>;
};

/// A way to carry rows to their experts: a value that makes a planner for each rank. It asks for no
/// base class; most of a planner is usually a `row_forwarder`.
template <class Strategy>
concept exchange_strategy = requires(const Strategy& strategy, const plan_request& request) {
    { strategy.name() } -> std::convertible_to<std::string_view>;
    { strategy.planner(request) } -> rank_planner;
};

/// Throws argument_error unless rank, topology, placement and assignment fit together.
inline void check_request(const plan_request& request) {
    using detail::concat;
    const std::size_t ranks = request.nodes.rank_count();
    if (request.rank < 0 || static_cast<std::size_t>(request.rank) >= ranks)
        detail::throw_argument("plan", "rank", concat("0 to ", ranks - 1), concat(request.rank));
    if (request.placement.rank_count() != ranks)
        detail::throw_argument("plan", "placement", concat("one over ", ranks, " ranks"),
                               concat(request.placement.rank_count()), request.rank);
    const assignment& a = request.assigned;
    if (a.expert_count != request.placement.expert_count())
        detail::throw_argument("plan", "assignment",
                               concat("one over ", request.placement.expert_count(), " experts"),
                               concat(a.expert_count), request.rank);
    if (!detail::is_product(a.expert.size(), a.token_count, a.choice_count))
        detail::throw_argument("plan", "assignment.expert",
                               concat("T k = ", a.token_count, " times ", a.choice_count,
                                      " entries"),
                               concat(a.expert.size()), request.rank);
    for (std::size_t i = 0; i < a.expert.size(); ++i)
        if (a.expert[i] != no_expert &&
            (a.expert[i] < 0 || static_cast<std::size_t>(a.expert[i]) >= a.expert_count))
            detail::throw_argument("plan", concat("expert of token ", i / a.choice_count),
                                   concat("0 to ", a.expert_count - 1, ", or no_expert (-1)"),
                                   concat(a.expert[i]), request.rank);
}

}  // namespace locmoe
