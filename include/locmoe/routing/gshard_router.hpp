#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "locmoe/core/ids.hpp"
#include "locmoe/routing/detail/random_bits.hpp"
#include "locmoe/routing/scored_router.hpp"
#include "locmoe/routing/top_k.hpp"

namespace locmoe::inline v0 {

/// GShard's choice and weights, as `gshard_router` describes them.
class gshard_choice {
  public:
    /// Scores, whose ratio decides the draw.
    static constexpr choice_input input = choice_input::scores;

    /// The seed, with step and token, fixes the draw.
    explicit gshard_choice(std::uint64_t seed) : seed_(seed) {}

    std::size_t choice_count() const noexcept { return 2; }  ///< two experts a token

    /// The two best scores, the second of them perhaps dropped while training.
    template <class Real>
    void choose(std::span<const Real> scores, const token_place<Real>& place,
                std::span<expert_id> chosen) const {
        top_k(scores, chosen);
        if (!place.where.training || chosen[1] == no_expert) return;
        const Real second = share_of_second(scores, chosen[0], chosen[1]);
        const detail::token_random random(seed_, place.where.step, place.global_token());
        if (!(2 * static_cast<double>(second) > random.uniform(0))) chosen[1] = no_expert;
    }

    /// Weights `[2]` of sum 1, or the first one's share alone; 0 where nothing was chosen.
    template <class Real>
    void weigh(std::span<const Real> scores, std::span<const expert_id> chosen,
               std::span<Real> weights) const {
        weights[0] = weights[1] = Real(0);
        if (chosen[0] == no_expert) return;
        const Real second = share_of_second(scores, chosen[0], runner_up(scores, chosen));
        weights[0] = Real(1) - second;
        if (chosen[1] != no_expert) weights[1] = second;
    }

    /// Adds to d loss / d scores `[n]` what comes from `gradient` `[2]`, d loss / d weights.
    template <class Real>
    void weigh_backward(std::span<const Real> scores, std::span<const expert_id> chosen,
                        std::span<const Real> gradient, std::span<Real> grad_scores) const {
        if (chosen[0] == no_expert) return;
        const auto first = static_cast<std::size_t>(chosen[0]);
        const auto second = static_cast<std::size_t>(runner_up(scores, chosen));
        const Real sum = scores[first] + scores[second];
        // w_1 = s_1 / (s_1 + s_2) and w_2 = 1 - w_1, or 0 without a gradient.
        const Real difference = gradient[0] - (chosen[1] == no_expert ? Real(0) : gradient[1]);
        grad_scores[first] += difference * scores[second] / (sum * sum);
        grad_scores[second] -= difference * scores[first] / (sum * sum);
    }

  private:
    template <class Real>
    static Real share_of_second(std::span<const Real> scores, expert_id first, expert_id second) {
        const Real s = scores[static_cast<std::size_t>(second)];
        return s / (scores[static_cast<std::size_t>(first)] + s);
    }

    // The second expert, also where it was not drawn: the best besides the first.
    template <class Real>
    static expert_id runner_up(std::span<const Real> scores, std::span<const expert_id> chosen) {
        if (chosen[1] != no_expert) return chosen[1];
        std::size_t best = chosen[0] == 0 ? 1 : 0;
        for (std::size_t i = best + 1; i < scores.size(); ++i)
            if (static_cast<expert_id>(i) != chosen[0] && scores[i] > scores[best]) best = i;
        return static_cast<expert_id>(best);
    }

    std::uint64_t seed_;
};

/// What the draw comes from, and the router's own losses.
struct gshard_options {
    std::uint64_t seed = 0;  ///< with step and token it fixes the draw, on any layout of ranks
    own_loss_options losses = {};  ///< the auxiliary loss alone by default
};

/// The top-2 router of GShard (Lepikhin et al. 2020, algorithm 1) over any gate: softmax, the two
/// likeliest experts, weights g_1 and g_2 over g_1 + g_2. While training, the second is kept with
/// probability min(1, 2 g_2), after that division; a token that goes to one expert alone leaves its
/// second slot `no_expert`, and the first weight as it was. (Algorithm 1 divides g_2 by a g_1 that
/// it has already divided: read here as the same sum for both. DeepSpeed and torchscale draw the
/// second by Gumbel noise on the logits instead.) For the loss as GShard and its heirs count it,
/// hand `losses` and `backward` the load of the first choices.
template <class Gate>
class gshard_router : public scored_router<Gate, softmax_score, gshard_choice> {
  public:
    /// Throws argument_error where there is one expert alone.
    explicit gshard_router(Gate gate, gshard_options options = {})
        : scored_router<Gate, softmax_score, gshard_choice>(
              std::move(gate), gshard_choice(options.seed), options.losses) {}
};

}  // namespace locmoe
