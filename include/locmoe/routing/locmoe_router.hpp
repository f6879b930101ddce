#pragma once

#include <cstddef>

#include "locmoe/routing/auxiliary_loss.hpp"
#include "locmoe/routing/grap_gate.hpp"
#include "locmoe/routing/locality_loss.hpp"
#include "locmoe/routing/scored_router.hpp"
#include "locmoe/routing/top_k_choice.hpp"

namespace locmoe::inline v0 {

/// How strong the two losses are.
struct locmoe_options {
    auxiliary_options auxiliary = {};  ///< balances the experts
    locality_options locality = {};    ///< draws tokens to their own node
};

/// The router of LocMoE (arXiv 2401.13920): a GrAP gate, softmax, the likeliest expert weighted by
/// its probability, and two losses, one that balances the experts and one that draws tokens to the
/// experts of their own node. The gate has no weights (`gradients.gate` must be empty); what learns
/// is the model before it. Tokens have at least n columns.
///
/// Given to `losses` and `backward`, `load` summed over all ranks balances the experts over the job
/// while each rank keeps to its node's.
template <class Real = float>
class locmoe_router : public scored_router<grap_gate<Real>, softmax_score, top_k_choice> {
  public:
    /// Throws argument_error where there is no expert or an option is out of its range.
    explicit locmoe_router(std::size_t experts, locmoe_options options = {})
        : scored_router<grap_gate<Real>, softmax_score, top_k_choice>(
              grap_gate<Real>(experts), top_k_choice(1),
              {.auxiliary = options.auxiliary, .locality = options.locality}) {}
};

}  // namespace locmoe
