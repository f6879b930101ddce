#pragma once

#include <cstddef>
#include <utility>

#include "locmoe/routing/scored_router.hpp"
#include "locmoe/routing/top_k_choice.hpp"
#include "locmoe/routing/weighting.hpp"

namespace locmoe::inline v0 {

/// How many experts a token gets, and what weight they have.
struct top_k_options {
    std::size_t k = 2;                          ///< experts a token, 1 to n
    weighting weights = {.renormalise = true};  ///< scores over their sum by default
    own_loss_options losses = {};               ///< the auxiliary loss alone by default
};

/// Softmax over all experts, the k likeliest, any gate (Shazeer et al. 2017, eq. 3 to 5, without
/// the noise). The defaults are Mixtral's (arXiv 2401.04088, eq. 2: softmax over the chosen
/// logits); `renormalise = false` is OLMoE's (arXiv 2409.02060: softmax first, weights left as they
/// are).
template <class Gate>
class top_k_router : public scored_router<Gate, softmax_score, top_k_choice> {
  public:
    /// Throws argument_error unless 1 <= k <= n.
    explicit top_k_router(Gate gate, top_k_options options = {})
        : scored_router<Gate, softmax_score, top_k_choice>(
              std::move(gate), top_k_choice(options.k, options.weights), options.losses) {}
};

}  // namespace locmoe
