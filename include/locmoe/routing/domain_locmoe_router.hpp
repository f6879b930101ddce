#pragma once

#include <cstddef>
#include <limits>
#include <span>
#include <utility>

#include "locmoe/core/ids.hpp"
#include "locmoe/routing/detail/check.hpp"
#include "locmoe/routing/expert_groups.hpp"
#include "locmoe/routing/grap_gate.hpp"
#include "locmoe/routing/locmoe_router.hpp"
#include "locmoe/routing/scored_router.hpp"
#include "locmoe/routing/top_k_choice.hpp"

namespace locmoe::inline v0 {

/// The largest logit among the experts of the token's domain; the others have probability 0.
class domain_choice : public top_k_choice {
  public:
    /// Domain d has the experts of group d.
    explicit domain_choice(expert_groups domains) : top_k_choice(1), domains_(std::move(domains)) {}

    /// Masks the experts of other domains than the token's. Throws argument_error where
    /// `place.where.domains` has no domain for it, or one without a group.
    template <class Real>
    void restrict_to(std::span<Real> logits, const token_place<Real>& place) const {
        const std::size_t domain =
            detail::domain_of(place.token, domains_.group_count(), place.where);
        for (std::size_t i = 0; i < logits.size(); ++i)
            if (domains_.group_of(i) != domain) logits[i] = -std::numeric_limits<Real>::infinity();
    }

  private:
    expert_groups domains_;
};

/// LocMoE on top of PanGu-Sigma's first level, as in its paper (arXiv 2401.13920, section 4.1): the
/// token's domain chooses the group of experts as in `rre_router`, and in it the GrAP gate with the
/// softmax over the group chooses the expert, in place of the hash. Losses as `locmoe_router`'s.
template <class Real = float>
class domain_locmoe_router : public scored_router<grap_gate<Real>, softmax_score, domain_choice> {
  public:
    /// Domain d has the experts of group d; `route` asks for `where.domains`.
    explicit domain_locmoe_router(expert_groups domains, locmoe_options options = {})
        : scored_router<grap_gate<Real>, softmax_score, domain_choice>(
              grap_gate<Real>(domains.expert_count()), domain_choice(domains),
              {.auxiliary = options.auxiliary, .locality = options.locality}) {}
};

}  // namespace locmoe
