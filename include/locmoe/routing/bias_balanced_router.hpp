#pragma once

#include <cstddef>
#include <span>

#include "locmoe/routing/expert_bias.hpp"
#include "locmoe/routing/group_limited_choice.hpp"
#include "locmoe/routing/scored_router.hpp"
#include "locmoe/routing/weighting.hpp"

namespace locmoe::inline v0 {

/// How many experts a token gets, where they may lie and what weight they have.
struct bias_balanced_options {
    std::size_t k = 8;       ///< experts a token, 1 to n
    std::size_t groups = 1;  ///< G, of neighbouring experts, 1 to n
    group_limit limit = {.limit = 1, .score = group_score::best_two};  ///< none by default
    weighting weights = {.renormalise = true};              ///< scores over their sum by default
    own_loss_options losses = {.auxiliary = {.alpha = 0}};  ///< none by default: the bias balances
};

/// The router of DeepSeek-V3 (arXiv 2412.19437, eq. 12 to 16) over any gate: sigmoid scores, the k
/// best by score plus bias, weighted by the scores alone over their sum. What balances the experts
/// is `update_bias` after each step; the loss is off by default. DeepSeek-V3 itself has k = 8, 4 of
/// 8 groups and weights times 2.5: `presets::deepseek_v3`.
template <class Gate>
class bias_balanced_router : public scored_router<Gate, sigmoid_score, group_limited_choice> {
  public:
    /// `bias` `[n]` stays the caller's, who may change it between batches but not move it. Throws
    /// argument_error unless it has n numbers or none, 1 <= k <= n, 1 <= M and 1 <= G <= n.
    bias_balanced_router(Gate gate, std::span<const float> bias, bias_balanced_options options = {})
        : scored_router<Gate, sigmoid_score, group_limited_choice>(
              gate,
              group_limited_choice(options.k, options.weights,
                                   expert_groups::blocked(gate.expert_count(), options.groups),
                                   options.limit, bias),
              options.losses) {}
};

}  // namespace locmoe
