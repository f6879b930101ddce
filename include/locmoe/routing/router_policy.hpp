#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>

#include "locmoe/core/matrix_view.hpp"
#include "locmoe/routing/routing.hpp"

namespace locmoe::inline v0 {

/// A router's own losses on one rank's batch, to be added to the task loss. Zero where a router has
/// none of the kind.
template <class Real>
struct router_losses {
    Real auxiliary = 0;  ///< balances the experts
    Real locality = 0;   ///< draws tokens to their own node

    Real total() const { return auxiliary + locality; }  ///< their sum
};

/// What goes into a router's backward pass and what comes out of it.
template <class Real>
struct router_gradients {
    matrix_view<const Real> weights = {};  ///< in: d task loss / d weights, [T, k]
    Real loss_scale = 1;                   ///< in: what the router's own losses are multiplied by
    matrix_view<Real> tokens = {};         ///< out, added to: d loss / d tokens, [T, d]
    matrix_view<Real> gate = {};           ///< out, added to: d loss / d gate weights, [n, d] or {}
    matrix_view<const Real> logits = {};   ///< in: d other losses / d logits, [T, n], or {}
};

/// Decides, for the tokens of one rank, which experts each goes to and with what weight. It says
/// how many experts there are and routes a tensor; it needs to know neither plans nor messages, and
/// asks for no base class. The same tokens in the same context give the same routing.
template <class Policy, class Tensor = matrix_view<const float>>
concept router_policy = requires(Policy& router, const Policy& fixed, const Tensor& tokens,
                                 const route_context& where) {
    typename Policy::real;
    { fixed.expert_count() } -> std::convertible_to<std::size_t>;
    { router.route(tokens, where) } -> std::same_as<basic_routing<typename Policy::real>>;
};

/// A router policy with losses of its own and a backward pass. `load` is what `count_choices`
/// gives, of this rank or, for a loss over the global batch, summed over all ranks: [n].
template <class Policy, class Tensor = matrix_view<const float>>
concept trainable_router =
    router_policy<Policy, Tensor> &&
    requires(Policy& router, const Tensor& tokens, const route_context& where,
             const basic_routing<typename Policy::real>& decided,
             std::span<const std::int64_t> load,
             const router_gradients<typename Policy::real>& gradients) {
        {
            router.losses(decided, load, where)
        } -> std::same_as<router_losses<typename Policy::real>>;
        { router.backward(tokens, decided, load, where, gradients) } -> std::same_as<void>;
    };

}  // namespace locmoe
