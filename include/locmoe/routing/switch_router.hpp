#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "locmoe/routing/auxiliary_loss.hpp"
#include "locmoe/routing/dense_gate.hpp"
#include "locmoe/routing/detail/check.hpp"
#include "locmoe/routing/detail/softmax_top1.hpp"
#include "locmoe/routing/router_policy.hpp"
#include "locmoe/tensor/tensor_traits.hpp"

namespace locmoe {

struct switch_options {
    dense_gate_options gate = {};
    auxiliary_options auxiliary = {};
};

/// The router of Switch Transformers (Fedus et al. 2021): a dense gate, softmax, the likeliest
/// expert weighted by its probability, and the load-balancing loss. It knows no nodes.
template <class Real = float>
class switch_router {
  public:
    using real = Real;

    /// `gate_weights` `[n, d]` stay the caller's; they may change between batches but not move.
    explicit switch_router(matrix_view<const Real> gate_weights, switch_options options = {})
        : gate_(gate_weights, options.gate), auxiliary_(options.auxiliary) {}

    std::size_t expert_count() const noexcept { return gate_.expert_count(); }

    /// Tokens `[T, d]`; k = 1. Throws argument_error where shapes or placement do not fit the gate,
    /// or a logit is not finite.
    template <class Tensor>
    basic_routing<Real> route(const Tensor& tokens, const route_context& where) const {
        const auto view = view_of(tokens);
        detail::check_context("route", expert_count(), where);
        if (view.rows != 0) gate_.check_columns(view.cols, where.rank);
        return detail::route_top1(gate_, view, where);
    }

    /// `load` `[n]`: `count_choices`, of this rank or summed over all.
    router_losses<Real> losses(const basic_routing<Real>& decided,
                               std::span<const std::int64_t> load,
                               const route_context& where) const {
        const auto mean = mean_probabilities(
            detail::probabilities_of("losses", decided, expert_count(), where.rank));
        return {.auxiliary = static_cast<Real>(auxiliary_.value(mean, load, where.rank))};
    }

    /// Adds to `gradients.tokens` and `gradients.gate`, both required. `tokens`, `decided` and
    /// `load` are those of `route` and `losses`, and the gate weights have not changed since.
    template <class Tensor>
    void backward(const Tensor& tokens, const basic_routing<Real>& decided,
                  std::span<const std::int64_t> load, const route_context& where,
                  const router_gradients<Real>& gradients) const {
        const auto view = view_of(tokens);
        if (view.rows != 0) gate_.check_columns(view.cols, where.rank);
        gate_.check_gradient(gradients.gate, where.rank);
        std::vector<double> grad_mean(expert_count(), 0.0);
        auxiliary_.add_gradient(load, static_cast<double>(gradients.loss_scale), grad_mean,
                                where.rank);
        detail::backward_top1(gate_, view, decided, grad_mean, where, gradients);
    }

  private:
    dense_gate<Real> gate_;
    auxiliary_loss auxiliary_;
};

}  // namespace locmoe
