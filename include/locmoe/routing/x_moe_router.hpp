#pragma once

#include <cstddef>

#include "locmoe/core/matrix_view.hpp"
#include "locmoe/routing/cosine_gate.hpp"
#include "locmoe/routing/scored_router.hpp"
#include "locmoe/routing/top_k_choice.hpp"

namespace locmoe::inline v0 {

/// How many experts a token gets, and what weight they have.
struct x_moe_options {
    std::size_t k = 1;             ///< experts a token, 1 to n
    weighting weights = {};        ///< the scores themselves by default
    own_loss_options losses = {};  ///< the auxiliary loss alone by default
};

/// The router of X-MoE (Chi et al. 2022, arXiv 2204.09179, section 3): cosines in r dimensions over
/// a learned temperature, so that tokens do not collapse onto the experts' directions; softmax, the
/// likeliest expert, weighted by its probability. Its parameters: `cosine_gate`.
template <class Real = float>
class x_moe_router : public scored_router<cosine_gate<Real>, softmax_score, top_k_choice> {
  public:
    /// Throws argument_error where the parameters are not `[1, r d + n r + 1]`, or k not 1 to n.
    x_moe_router(matrix_view<const Real> parameters, std::size_t experts, std::size_t r,
                 x_moe_options options = {})
        : scored_router<cosine_gate<Real>, softmax_score, top_k_choice>(
              cosine_gate<Real>(parameters, experts, r), top_k_choice(options.k, options.weights),
              options.losses) {}
};

}  // namespace locmoe
