#pragma once

#include <concepts>
#include <cstddef>

#include "locmoe/core/error.hpp"
#include "locmoe/core/ids.hpp"
#include "locmoe/routing/detail/check.hpp"
#include "locmoe/routing/detail/unlearned_router.hpp"
#include "locmoe/routing/routing.hpp"
#include "locmoe/tensor/tensor_traits.hpp"

namespace locmoe::inline v0 {

/// The forced balance of benchmarks: slot s of token t goes to expert (t k + s) mod n, t counted in
/// the global batch, weights 1 / k. The k experts of a token differ, and over any run of tokens no
/// two loads differ by more than 1. Megatron's `moe-router-force-load-balancing` draws at random
/// instead: `random_router`.
template <class Real = float>
requires std::floating_point<Real>
class balanced_router : public detail::unlearned_router<Real> {
  public:
    /// Throws argument_error unless 1 <= k <= n.
    balanced_router(std::size_t experts, std::size_t k) : experts_(experts), k_(k) {
        if (k == 0 || k > experts)
            detail::throw_argument("balanced_router", "k", detail::concat("1 to n = ", experts),
                                   detail::concat(k));
    }

    std::size_t expert_count() const noexcept { return experts_; }  ///< n

    /// Of the tokens only the number counts. Throws argument_error where topology, placement and
    /// rank do not fit together, or there are not n experts.
    template <class Tensor>
    basic_routing<Real> route(const Tensor& tokens, const route_context& where) const {
        const std::size_t rows = view_of(tokens).rows;
        detail::check_context("route", experts_, where);
        auto decided = this->even_routing(rows, k_, experts_);
        std::size_t next = static_cast<std::size_t>(where.first_token % experts_) * k_ % experts_;
        for (expert_id& chosen : decided.chosen) {
            chosen = static_cast<expert_id>(next);
            if (++next == experts_) next = 0;
        }
        return decided;
    }

  private:
    std::size_t experts_;
    std::size_t k_;
};

}  // namespace locmoe
