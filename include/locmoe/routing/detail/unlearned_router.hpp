#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "locmoe/routing/router_policy.hpp"
#include "locmoe/routing/routing.hpp"

namespace locmoe::inline v0::detail {

/// What routers share that learn nothing: no losses, no gradients, weights of sum 1.
template <class Real>
class unlearned_router {
  public:
    using real = Real;

    router_losses<Real> losses(const basic_routing<Real>&, std::span<const std::int64_t>,
                               const route_context&) const {
        return {};
    }

    /// Adds nothing: neither tokens nor weights took part in the choice.
    template <class Tensor>
    void backward(const Tensor&, const basic_routing<Real>&, std::span<const std::int64_t>,
                  const route_context&, const router_gradients<Real>&) const {}

  protected:
    /// T tokens, k slots each, chosen still to be written; every weight 1 / k.
    static basic_routing<Real> even_routing(std::size_t tokens, std::size_t k,
                                            std::size_t experts) {
        basic_routing<Real> decided;
        decided.token_count = tokens;
        decided.choice_count = k;
        decided.expert_count = experts;
        decided.chosen.assign(tokens * k, no_expert);
        decided.weights.assign(tokens * k, Real(1) / static_cast<Real>(k));
        return decided;
    }
};

}  // namespace locmoe::detail
