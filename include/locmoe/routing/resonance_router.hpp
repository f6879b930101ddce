#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "locmoe/core/error.hpp"
#include "locmoe/core/ids.hpp"
#include "locmoe/core/matrix_view.hpp"
#include "locmoe/routing/detail/best_tokens.hpp"
#include "locmoe/routing/grap_cosine_gate.hpp"
#include "locmoe/routing/scored_router.hpp"
#include "locmoe/routing/top_k.hpp"
#include "locmoe/routing/weighting.hpp"

namespace locmoe::inline v0 {

/// How many experts a token chooses, and how many tokens an expert keeps.
struct resonance_options {
    /// A token's experts, by falling affinity, until their affinities' sum reaches this.
    double threshold = 0.5;
    std::size_t max_choices = 2;  ///< and no more than these
    /// Tokens that an expert keeps of those that chose it; none: all, token choice alone.
    std::optional<std::size_t> expert_capacity = std::nullopt;
    own_loss_options losses = {.locality = {}};  ///< LocMoE's two by default
};

/// Token choice by affinity threshold, then expert choice, as `resonance_router` describes them.
class resonance_choice : public weighting {
  public:
    /// Logits, which are the affinities.
    static constexpr choice_input input = choice_input::logits;

    /// The three parts of `resonance_options`.
    resonance_choice(double threshold, std::size_t max_choices,
                     std::optional<std::size_t> expert_capacity)
        : threshold_(threshold), max_choices_(max_choices), expert_capacity_(expert_capacity) {}

    /// The most experts that a token has.
    std::size_t choice_count() const noexcept { return max_choices_; }

    /// From the next batch on; none: token choice alone.
    void set_expert_capacity(std::optional<std::size_t> capacity) { expert_capacity_ = capacity; }

    /// For all of a rank's tokens together; affinities `[T, n]`.
    template <class Real>
    void choose(matrix_view<const Real> affinities, const route_context&,
                basic_routing<Real>& decided) const {
        const std::size_t T = affinities.rows, k = max_choices_;
        decided.choice_count = k;
        decided.chosen.assign(T * k, no_expert);
        for (std::size_t t = 0; t < T; ++t) {
            const std::span<expert_id> chosen(decided.chosen.data() + t * k, k);
            top_k(std::span<const Real>(affinities.row(t)), chosen);
            Real sum = 0;
            for (std::size_t s = 0; s < k; ++s) {
                const Real affinity = affinities(t, static_cast<std::size_t>(chosen[s]));
                // The first expert stays whatever its affinity; past the threshold, or where the
                // sum cannot grow any more, the others go.
                if (s > 0 && (sum >= static_cast<Real>(threshold_) || affinity <= Real(0))) {
                    for (std::size_t rest = s; rest < k; ++rest) chosen[rest] = no_expert;
                    break;
                }
                sum += affinity;
            }
        }
        if (expert_capacity_) expert_choice(affinities, *expert_capacity_, decided);
    }

  private:
    template <class Real>
    static void expert_choice(matrix_view<const Real> affinities, std::size_t capacity,
                              basic_routing<Real>& decided) {
        const std::size_t k = decided.choice_count;
        std::vector<std::vector<detail::candidate<Real>>> of_expert(affinities.cols);
        for (std::size_t i = 0; i < decided.chosen.size(); ++i) {
            const auto e = static_cast<std::size_t>(decided.chosen[i]);
            if (decided.chosen[i] != no_expert) of_expert[e].push_back({affinities(i / k, e), i});
        }
        for (auto& candidates : of_expert) {
            detail::best_first(std::span(candidates), capacity);
            for (std::size_t c = capacity; c < candidates.size(); ++c)
                decided.chosen[candidates[c].place] = no_expert;
        }
    }

    double threshold_;
    std::size_t max_choices_;
    std::optional<std::size_t> expert_capacity_;
};

/// Expert-Token Resonance, also called LocMoE+ (arXiv 2406.00023): affinities are cosines with the
/// GrAP weights. A token chooses its best experts until their affinities' sum passes the threshold;
/// then, of the tokens that chose it, an expert keeps the C with the highest affinity, of equals
/// the first. Early in training, while wrong tokens often beat the right ones, experts had better
/// not choose, and the slots be given by whatever policy assigns them: the success rates say when
/// (`experts_choose` in capacity/experts_choose.hpp, from `measure_odds`), and
/// `choice().set_expert_capacity` switches. Weights are the softmax over the affinities, the losses
/// LocMoE's. A token that no expert kept has `no_expert` in every slot.
template <class Real = float>
class resonance_router
    : public scored_router<grap_cosine_gate<Real>, softmax_score, resonance_choice> {
  public:
    /// Throws argument_error unless 1 <= max_choices <= n.
    explicit resonance_router(std::size_t experts, resonance_options options = {})
        : scored_router<grap_cosine_gate<Real>, softmax_score, resonance_choice>(
              grap_cosine_gate<Real>(experts),
              resonance_choice(options.threshold, options.max_choices, options.expert_capacity),
              options.losses) {}
};

}  // namespace locmoe
