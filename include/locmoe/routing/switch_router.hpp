#pragma once

#include "locmoe/core/matrix_view.hpp"
#include "locmoe/routing/dense_gate.hpp"
#include "locmoe/routing/jittered_gate.hpp"
#include "locmoe/routing/scored_router.hpp"
#include "locmoe/routing/top_k_choice.hpp"

namespace locmoe::inline v0 {

/// What may differ from the paper: its own values are the defaults, but for the jitter.
struct switch_options {
    dense_gate_options gate = {};      ///< no ReLU by default
    auxiliary_options auxiliary = {};  ///< alpha = 0.01 by default
    jitter_options jitter = {};        ///< noise on the tokens; none by default
};

/// The router of Switch Transformers (Fedus et al. 2021, eq. 1 to 6): a dense gate over tokens with
/// jitter (none by default), softmax, the likeliest expert weighted by its probability, and the
/// load-balancing loss. It knows no nodes. Its parts over another gate: `top_k_router` with k = 1.
template <class Real = float>
class switch_router
    : public scored_router<jittered_gate<dense_gate<Real>>, softmax_score, top_k_choice> {
  public:
    /// `gate_weights` `[n, d]` stay the caller's; they may change between batches but not move.
    explicit switch_router(matrix_view<const Real> gate_weights, switch_options options = {})
        : scored_router<jittered_gate<dense_gate<Real>>, softmax_score, top_k_choice>(
              {dense_gate<Real>(gate_weights, options.gate), options.jitter}, top_k_choice(1),
              {.auxiliary = options.auxiliary}) {}
};

}  // namespace locmoe
