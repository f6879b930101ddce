#pragma once

#include <cstddef>
#include <span>

#include "locmoe/core/ids.hpp"

namespace locmoe::inline v0 {

/// How the scores of a token's chosen experts become the weights of their outputs. Systems speak of
/// softmax "before" and "after" the choice; the second is the first with the chosen scores divided
/// by their sum, since the other experts' share of the softmax cancels.
struct weighting {
    /// false: the score itself (softmax before the choice: Switch, Tutel, DeepSpeed's top-1, OLMoE,
    /// DeepSeek-V2). true: divided by the sum over the chosen (softmax after the choice: Mixtral,
    /// Megatron's default, FastMoE; GShard; DeepSeek-V3's sigmoids). Where that sum is 0, so are
    /// the weights and their gradient.
    bool renormalise = false;
    double scale = 1;  ///< multiplies every weight (DeepSeek's routed_scaling_factor)

    /// `scores` `[n]`; `chosen` and `weights` `[k]`. A slot without an expert has weight 0.
    template <class Real>
    void weigh(std::span<const Real> scores, std::span<const expert_id> chosen,
               std::span<Real> weights) const {
        const Real factor = factor_over(scores, chosen);
        for (std::size_t s = 0; s < chosen.size(); ++s)
            weights[s] = chosen[s] == no_expert ? Real(0) : factor * score_of(scores, chosen[s]);
    }

    /// Adds to d loss / d scores what comes from `gradient` `[k]`, d loss / d weights.
    template <class Real>
    void weigh_backward(std::span<const Real> scores, std::span<const expert_id> chosen,
                        std::span<const Real> gradient, std::span<Real> grad_scores) const {
        const Real factor = factor_over(scores, chosen);
        Real common = 0;  // d loss / d sum of the chosen scores
        if (renormalise && factor > Real(0)) {
            for (std::size_t s = 0; s < chosen.size(); ++s)
                if (chosen[s] != no_expert) common -= gradient[s] * score_of(scores, chosen[s]);
            common *= factor * factor / static_cast<Real>(scale);
        }
        for (std::size_t s = 0; s < chosen.size(); ++s)
            if (chosen[s] != no_expert)
                grad_scores[static_cast<std::size_t>(chosen[s])] += factor * gradient[s] + common;
    }

  private:
    template <class Real>
    static Real score_of(std::span<const Real> scores, expert_id expert) {
        return scores[static_cast<std::size_t>(expert)];
    }

    template <class Real>
    Real factor_over(std::span<const Real> scores, std::span<const expert_id> chosen) const {
        if (!renormalise) return static_cast<Real>(scale);
        Real sum = 0;
        for (const expert_id e : chosen)
            if (e != no_expert) sum += score_of(scores, e);
        return sum > Real(0) ? static_cast<Real>(scale) / sum : Real(0);
    }
};

}  // namespace locmoe
