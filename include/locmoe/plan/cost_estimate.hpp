#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "locmoe/core/error.hpp"
#include "locmoe/topology/topology.hpp"

namespace locmoe::inline v0 {

/// What one phase costs, in nanoseconds, so that all ranks compare the same integers.
struct phase_cost {
    std::string name;                        ///< that of its `phase_shape`
    link_tier tier = link_tier::inter_node;  ///< of all its messages
    std::size_t needs = 0;                   ///< it starts once the phases before this one are in
    std::int64_t latency = 0;                ///< until a first byte arrives, leaf switch included
    std::int64_t overhead = 0;               ///< of messages, as far as the bytes do not hide it
    std::int64_t bytes = 0;                  ///< what the narrowest link needs for the bytes
    std::int64_t pack = 0;                   ///< gathering the rows to send

    std::int64_t fixed() const { return latency + overhead; }  ///< however few bytes there are

    friend bool operator==(const phase_cost&, const phase_cost&) = default;
};

/// The price of one dispatch, or one combine, under one strategy.
struct cost_estimate {
    std::string strategy;            ///< the strategy's `name()`
    std::int64_t nanoseconds = 0;    ///< until the last row is placed; 0 where it has no price
    std::vector<phase_cost> phases;  ///< in the order in which they are posted
    std::int64_t deliver = 0;        ///< nanoseconds to place the rows that came in
    std::string declined;            ///< why the strategy has no price; "" where it has one
    std::size_t window = 0;  ///< of a rotated `message_order`, where that is cheaper; 0: none

    /// Strategy and order, as the plan has them.
    std::string title() const {
        return window == 0 ? strategy
                           : detail::concat(strategy, ", rotated order, window ", window);
    }

    friend bool operator==(const cost_estimate&, const cost_estimate&) = default;
};

/// Why a plan is of its strategy: what was priced, and for what.
struct plan_choice {
    std::size_t row_bytes = 0;              ///< of the rows that were priced
    std::vector<cost_estimate> candidates;  ///< chosen one, runner-up, ...; declined ones last
    std::int64_t lower_bound = 0;           ///< nanoseconds: busiest card, each row once a node

    /// The price of the plan's own strategy. Only where there is a candidate.
    const cost_estimate& chosen() const { return candidates.front(); }

    friend bool operator==(const plan_choice&, const plan_choice&) = default;
};

}  // namespace locmoe
