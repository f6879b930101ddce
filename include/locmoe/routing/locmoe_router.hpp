#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "locmoe/routing/auxiliary_loss.hpp"
#include "locmoe/routing/detail/check.hpp"
#include "locmoe/routing/detail/softmax_top1.hpp"
#include "locmoe/routing/grap_gate.hpp"
#include "locmoe/routing/locality_loss.hpp"
#include "locmoe/routing/router_policy.hpp"
#include "locmoe/tensor/tensor_traits.hpp"

namespace locmoe {

struct locmoe_options {
    auxiliary_options auxiliary = {};
    locality_options locality = {};
};

/// The router of LocMoE (arXiv 2401.13920): a GrAP gate, softmax, the likeliest expert weighted by
/// its probability, and two losses, one that balances the experts and one that draws tokens to the
/// experts of their own node. The gate has no weights; what learns is the model before it.
template <class Real = float>
class locmoe_router {
  public:
    using real = Real;

    /// Throws argument_error where there is no expert or an option is out of its range.
    explicit locmoe_router(std::size_t experts, locmoe_options options = {})
        : gate_(experts), auxiliary_(options.auxiliary), locality_(options.locality) {}

    std::size_t expert_count() const noexcept { return gate_.expert_count(); }

    /// Tokens `[T, d]`, d >= n; k = 1. Throws argument_error where shapes or placement do not fit
    /// the gate, or a logit is not finite.
    template <class Tensor>
    basic_routing<Real> route(const Tensor& tokens, const route_context& where) const {
        const auto view = view_of(tokens);
        detail::check_context("route", expert_count(), where);
        if (view.rows != 0) gate_.check_columns(view.cols, where.rank);
        return detail::route_top1(gate_, view, where);
    }

    /// `load` `[n]`: `count_choices`, of this rank or, to balance the experts over the job while
    /// each rank keeps to its node's, summed over all ranks.
    router_losses<Real> losses(const basic_routing<Real>& decided,
                               std::span<const std::int64_t> load,
                               const route_context& where) const {
        const auto mean = mean_probabilities(
            detail::probabilities_of("losses", decided, expert_count(), where.rank));
        return {.auxiliary = static_cast<Real>(auxiliary_.value(mean, load, where.rank)),
                .locality = static_cast<Real>(locality_.value(mean, where))};
    }

    /// Adds to `gradients.tokens`, required; `gradients.gate` must be empty. `tokens`, `decided`
    /// and `load` are those of `route` and `losses`.
    template <class Tensor>
    void backward(const Tensor& tokens, const basic_routing<Real>& decided,
                  std::span<const std::int64_t> load, const route_context& where,
                  const router_gradients<Real>& gradients) const {
        const auto view = view_of(tokens);
        if (view.rows != 0) gate_.check_columns(view.cols, where.rank);
        gate_.check_gradient(gradients.gate, where.rank);
        const auto mean = mean_probabilities(
            detail::probabilities_of("backward", decided, expert_count(), where.rank));
        const auto scale = static_cast<double>(gradients.loss_scale);
        std::vector<double> grad_mean(expert_count(), 0.0);
        auxiliary_.add_gradient(load, scale, grad_mean, where.rank);
        locality_.add_gradient(mean, where, scale, grad_mean);
        detail::backward_top1(gate_, view, decided, grad_mean, where, gradients);
    }

  private:
    grap_gate<Real> gate_;
    auxiliary_loss auxiliary_;
    locality_loss locality_;
};

}  // namespace locmoe
