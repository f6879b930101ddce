#pragma once

#include <cstddef>
#include <span>
#include <utility>

#include "locmoe/core/ids.hpp"
#include "locmoe/core/matrix_view.hpp"
#include "locmoe/routing/balanced_assignment.hpp"
#include "locmoe/routing/scored_router.hpp"
#include "locmoe/routing/top_k.hpp"
#include "locmoe/routing/weighting.hpp"

namespace locmoe::inline v0 {

/// How exact the assignment is, and the router's own losses.
struct base_options {
    /// How far below the best the assignment's mean logit may be, over the logits' range.
    double tolerance = 1e-3;
    own_loss_options losses = {.auxiliary = {.alpha = 0}};  ///< none by default
};

/// `balanced_assignment` of the logits, while training; else the largest logit.
class base_choice : public weighting {
  public:
    static constexpr choice_input input = choice_input::logits;  ///< what the sum is taken of

    /// `balanced_assignment` checks the tolerance.
    explicit base_choice(double tolerance) : tolerance_(tolerance) {}

    std::size_t choice_count() const noexcept { return 1; }  ///< one expert a token

    /// For all of a rank's tokens together while training, else for each by itself.
    template <class Real>
    void choose(matrix_view<const Real> logits, const route_context& where,
                basic_routing<Real>& decided) const {
        decided.choice_count = 1;
        if (where.training) {
            decided.chosen = balanced_assignment(logits, tolerance_);
            return;
        }
        decided.chosen.resize(logits.rows);
        for (std::size_t t = 0; t < logits.rows; ++t)
            decided.chosen[t] = top_1(std::span<const Real>(logits.row(t)));
    }

  private:
    double tolerance_;
};

/// The router of BASE layers (Lewis et al. 2021, eq. 1 to 3) over any gate: while training, every
/// expert gets the same number of this rank's tokens (or one more, where n does not divide T), in
/// the assignment of the largest sum of logits; else a token goes to its largest logit. The weight
/// is the sigmoid of the logit. No loss by default. fairseq's auction never returned for T = 10, n
/// = 3; this one ends for any T and n.
template <class Gate>
class base_router : public scored_router<Gate, sigmoid_score, base_choice> {
  public:
    /// Throws argument_error where an option of the losses is out of its range.
    explicit base_router(Gate gate, base_options options = {})
        : scored_router<Gate, sigmoid_score, base_choice>(
              std::move(gate), base_choice(options.tolerance), options.losses) {}
};

}  // namespace locmoe
