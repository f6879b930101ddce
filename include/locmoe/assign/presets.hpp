#pragma once

#include <cstddef>
#include <optional>

#include "locmoe/assign/drop_policy.hpp"
#include "locmoe/assign/renormalise_kept.hpp"
#include "locmoe/capacity/capacity_rule.hpp"
#include "locmoe/core/ids.hpp"
#include "locmoe/routing/bias_balanced_router.hpp"
#include "locmoe/routing/count_load.hpp"
#include "locmoe/routing/expert_bias.hpp"
#include "locmoe/routing/group_limited_choice.hpp"
#include "locmoe/routing/routing.hpp"
#include "locmoe/routing/top_k_router.hpp"

namespace locmoe::inline v0 {

/// What a known codebase does where systems differ, so that a team that moves over gets its
/// numbers. `Options` are those of the router (`top_k_router` or `bias_balanced_router`), `Drops` a
/// drop policy. Coefficients are the codebase's defaults where it has any.
template <class Options, class Drops>
struct preset {
    const char* name;                            ///< the name of the function that makes it
    Options router;                              ///< weights before or after, k, loss and scale
    std::optional<capacity_rule> capacity;       ///< none: nothing is dropped
    Drops drops = {};                            ///< who stays where there is no room
    bool weights_over_kept = false;              ///< whether `renormalise_kept` follows
    load_convention load = {};                   ///< f of the auxiliary loss
    group_score groups = group_score::best_two;  ///< where the choice is limited to groups
    double jitter = 0;                           ///< epsilon on the tokens, while training
    bias_update bias = {};                       ///< where a bias balances the experts
};

/// DeepSpeed's drops, which hang on k: for 1 any pairs stay (its random token selection), for 2
/// `choices_in_turn`, for more those of the highest probabilities.
struct deepspeed_drops {
    drop_at_random random = {};  ///< seed, step and first token of the draw for k = 1

    /// For k > 2 throws argument_error unless there are T n probabilities, none of them NaN.
    template <class Real>
    void check(const basic_routing<Real>& decided, rank_id rank) const {
        if (decided.choice_count > 2) drop_by_probability{}.check(decided, rank);
    }
    /// That of the policy for this k.
    template <class Real>
    double priority(const basic_routing<Real>& decided, std::size_t token, std::size_t slot) const {
        switch (decided.choice_count) {
            case 1: return static_cast<double>(random.priority(decided, token, slot));
            case 2: return static_cast<double>(choices_in_turn{}.priority(decided, token, slot));
            default:
                return static_cast<double>(drop_by_probability{}.priority(decided, token, slot));
        }
    }
};

/// Each is named after the codebase whose conventions it has.
namespace presets {

/// Softmax, then the choice, renormalised for k > 1; the loss counts first choices, 1 at balance;
/// first choices fill the slots before second ones.
inline preset<top_k_options, choices_in_turn> tutel(std::size_t k, double capacity_factor) {
    return {.name = "tutel",
            .router = {.k = k, .weights = {.renormalise = k > 1}},
            .capacity = capacity_rule::tutel(capacity_factor),
            .load = {.choices = counted_choices::first}};
}

/// Softmax, then the choice, for k > 1 renormalised over what was kept; the loss counts first
/// choices for k up to 2, all of them for more, 1 at balance. The second of two experts is the next
/// likeliest, as with `top2_2nd_expert_sampling=False`; its default draws that one with Gumbel
/// noise. Jitter is an option there, 0.01 where chosen.
inline preset<top_k_options, deepspeed_drops> deepspeed(std::size_t k, double capacity_factor) {
    return {.name = "deepspeed",
            .router = {.k = k, .weights = {.renormalise = k > 1}},
            .capacity = capacity_rule::deepspeed(capacity_factor),
            .weights_over_kept = k > 1,
            .load = {.choices = k > 2 ? counted_choices::all : counted_choices::first},
            .jitter = 0.01};
}

/// The choice, then the softmax; all choices count, 1 at balance; the highest weights stay; a group
/// counts as its best k / M experts.
inline preset<top_k_options, drop_by_weight> megatron(std::size_t k, double capacity_factor) {
    return {.name = "megatron",
            .router = {.k = k, .weights = {.renormalise = true}},
            .capacity = capacity_rule::megatron(capacity_factor),
            .groups = group_score::best_k_over_limit};
}

/// Top-2: softmax, then the choice, renormalised over what was kept; first choices count, 1 at
/// balance; a capacity that knows no factor. Each token takes its second likeliest expert too, as
/// with `moe_second_expert_policy=all`; its defaults draw that one, or leave it out by chance.
inline preset<top_k_options, choices_in_turn> torchscale() {
    return {.name = "torchscale",
            .router = {.k = 2, .weights = {.renormalise = true}},
            .capacity = capacity_rule::torchscale(),
            .weights_over_kept = true,
            .load = {.choices = counted_choices::first}};
}

/// HF's Mixtral: the choice, then the softmax; all choices count, k at balance, coefficient 0.001;
/// nothing is dropped.
inline preset<top_k_options, drop_none> mixtral(std::size_t k = 2) {
    const auto choices = static_cast<double>(k);
    return {.name = "mixtral",
            .router = {.k = k,
                       .weights = {.renormalise = true},
                       .losses = {.auxiliary = {.alpha = 0.001, .balanced_value = choices}}},
            .capacity = std::nullopt};
}

/// Sigmoids and a bias, 8 experts in 4 of 8 groups by their best two, weights over their sum times
/// 2.5; the bias moves by 0.001 (torchtitan centres the step as well); nothing is dropped. Its
/// small loss over each sequence is `sequence_auxiliary_loss`.
inline preset<bias_balanced_options, drop_none> deepseek_v3() {
    return {.name = "deepseek_v3",
            .router = {.k = 8,
                       .groups = 8,
                       .limit = {.limit = 4, .score = group_score::best_two},
                       .weights = {.renormalise = true, .scale = 2.5}},
            .capacity = std::nullopt,
            .bias = {.rate = 0.001}};
}

}  // namespace presets
}  // namespace locmoe
