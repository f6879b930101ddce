#pragma once

#include <cstddef>
#include <span>

#include "locmoe/core/ids.hpp"
#include "locmoe/routing/scored_router.hpp"
#include "locmoe/routing/weighting.hpp"

namespace locmoe::inline v0 {

/// All experts, in their order.
class every_expert : public weighting {
  public:
    static constexpr choice_input input = choice_input::logits;  ///< neither is read

    explicit every_expert(std::size_t experts) : experts_(experts) {}  ///< n of them

    std::size_t choice_count() const noexcept { return experts_; }  ///< n, all of them

    /// Experts 0 to n - 1, each once.
    template <class Real>
    void choose(std::span<const Real>, const token_place<Real>&,
                std::span<expert_id> chosen) const {
        for (std::size_t i = 0; i < experts_; ++i) chosen[i] = static_cast<expert_id>(i);
    }

  private:
    std::size_t experts_;
};

/// Every token to every expert, weighted by the softmax: the mixture of experts before it was
/// sparse (Jacobs et al. 1991), k = n, and what a sparse router is measured against. No losses by
/// default.
template <class Gate>
class dense_router : public scored_router<Gate, softmax_score, every_expert> {
  public:
    /// Throws argument_error where an option of the losses is out of its range.
    explicit dense_router(Gate gate, own_loss_options losses = {.auxiliary = {.alpha = 0}})
        : scored_router<Gate, softmax_score, every_expert>(gate, every_expert(gate.expert_count()),
                                                           losses) {}
};

}  // namespace locmoe
