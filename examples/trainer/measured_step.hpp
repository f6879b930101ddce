#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "locmoe/assign/assignment.hpp"
#include "locmoe/capacity/capacity_factor.hpp"
#include "locmoe/capacity/delta_sketch.hpp"

namespace trainer {

/// What one MoE layer did in one step, of all ranks but for `kept`: what a capacity report and an
/// exchange page are made from.
struct measured_step {
    locmoe::capacity_demand demand = {};
    std::optional<std::int64_t> capacity = std::nullopt;
    std::vector<std::int64_t> load = {};  ///< [n]
    locmoe::delta_sketch delta = {};      ///< no pairs where the router has no gating weights
    locmoe::assignment kept = {};         ///< this rank's
    std::string strategy = {};            ///< of its exchange
};

}  // namespace trainer
