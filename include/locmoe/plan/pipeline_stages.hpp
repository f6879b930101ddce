#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "locmoe/plan/chunk_count.hpp"
#include "locmoe/plan/cost_estimate.hpp"

namespace locmoe::inline v0 {

/// A layer's way as stages for `chunk_count`: the legs of a priced dispatch (phases that can be
/// under way together), the experts, the same legs back. `expert_seconds`: what this layer's
/// experts compute on the rank that has most to do; ranks must pass the same to get the same number
/// of chunks.
///
///     exchange.pipeline(plan, chunk_count(pipeline_stages(plan.choice->chosen(), expert_seconds)))
///
/// Network cards, links inside nodes, and the accelerator, which packs rows as well as it computes,
/// work side by side. Throws argument_error, in `chunk_count`, for a time that is none.
inline std::vector<pipeline_stage> pipeline_stages(const cost_estimate& priced,
                                                   double expert_seconds) {
    enum resource : std::size_t { card, links, accelerator };
    std::vector<std::size_t> leg_of;
    std::size_t first_of_leg = 0;
    for (std::size_t p = 0; p < priced.phases.size(); ++p) {
        const bool new_leg = p > 0 && priced.phases[p].needs > first_of_leg;
        if (new_leg) first_of_leg = p;
        leg_of.push_back(p == 0 ? 0 : leg_of.back() + (new_leg ? 1 : 0));
    }
    const std::size_t experts = leg_of.empty() ? 0 : leg_of.back() + 1;
    const auto seconds = [](std::int64_t nanoseconds) {
        return static_cast<double>(nanoseconds) * 1e-9;
    };
    std::vector<pipeline_stage> stages;
    const auto add_phase = [&](std::size_t p, std::size_t step) {
        const phase_cost& cost = priced.phases[p];
        stages.push_back({step, cost.tier == link_tier::inter_node ? card : links,
                          seconds(cost.latency), seconds(cost.overhead), seconds(cost.bytes)});
        stages.push_back({step, accelerator, 0, 0, seconds(cost.pack)});
    };
    for (std::size_t p = 0; p < priced.phases.size(); ++p) {
        add_phase(p, leg_of[p]);
        add_phase(p, 2 * experts - leg_of[p]);
    }
    stages.push_back({experts, accelerator, 0, 0, expert_seconds + 2 * seconds(priced.deliver)});
    return stages;
}

}  // namespace locmoe
