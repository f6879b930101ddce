#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/ivalue.h>  // before the others: LibTorch 1.13 under clang
//
#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "locmoe/adapt/torch.hpp"
#include "locmoe/core/error.hpp"
#include "locmoe/exec/backend.hpp"
#include "locmoe/exec/executor.hpp"
#include "locmoe/plan/exchange_plan.hpp"
#include "locmoe/routing/router_policy.hpp"
#include "locmoe/routing/routing.hpp"

/// Gate, dispatch and combine as nodes of LibTorch's autograd graph, so that `loss.backward()` runs
/// through an MoE layer of locmoe. Each backward pass is the executor's or the router's own.
///
/// Backward passes are collective as the forward ones are: on every rank the loss depends on the
/// same calls, also where a rank has no tokens or its experts no rows. LibTorch runs CPU nodes on
/// the thread that called `backward`, in an order that the graph fixes, so ranks may be threads.
/// The executor and what it was made over outlive the graph; graphs of gradients (`create_graph`)
/// end here.
namespace locmoe::inline v0::autograd {

/// A router's decision and its part in the graph.
template <class Real>
struct routed_tokens {
    /// For `assign`; the graph keeps it for the backward pass.
    std::shared_ptr<const basic_routing<Real>> decided;
    count_scan load;      ///< `count_choices` of the lower ranks and of all, for `assign`
    at::Tensor weights;   ///< [T, k], for `combine`
    at::Tensor own_loss;  ///< the router's own losses, a scalar; 0 where it has none
};

namespace detail {

using locmoe::detail::concat;
using locmoe::detail::throw_argument;

/// Calls `use(matrix_view<E>)` where numbers have gradients.
template <class Use>
void visit_floating(const char* function, const char* argument, const at::Tensor& tensor,
                    Use&& use) {
    locmoe::detail::check_torch_tensor(tensor);
    switch (tensor.scalar_type()) {
        case at::kFloat: return use(as_matrix<float>(tensor));
        case at::kDouble: return use(as_matrix<double>(tensor));
        case at::kBFloat16: return use(as_matrix<at::BFloat16>(tensor));
        case at::kHalf: return use(as_matrix<at::Half>(tensor));
        default: break;
    }
    throw_argument(function, concat("dtype of ", argument), "f32, f64, bf16 or fp16",
                   at::toString(tensor.scalar_type()));
}

/// What a node of the graph keeps from its forward to its backward pass.
template <class State>
struct kept : ::torch::CustomClassHolder {
    explicit kept(State s) : state(std::move(s)) {}
    State state;

    static void save(::torch::autograd::AutogradContext* ctx, State state) {
        ctx->saved_data["locmoe"] =
            at::IValue::make_capsule(c10::make_intrusive<kept>(std::move(state)));
    }
    static State& of(::torch::autograd::AutogradContext* ctx) {
        return static_cast<kept&>(*ctx->saved_data["locmoe"].toCapsule()).state;
    }
};

template <class Executor>
struct dispatch_node : ::torch::autograd::Function<dispatch_node<Executor>> {
    struct state {
        Executor* ex;
        std::shared_ptr<const exchange_plan> plan;
        std::vector<std::int64_t> sizes;
    };

    static at::Tensor forward(::torch::autograd::AutogradContext* ctx, const at::Tensor& tokens,
                              const state& given) {
        const exchange_plan& plan = *given.plan;
        const at::Tensor in = tokens.contiguous();
        const at::Tensor out = at::empty(
            {static_cast<std::int64_t>(plan.expert_row_count()), in.size(-1)}, in.options());
        visit_floating("dispatch", "tokens", in, [&]<class View>(View rows) {
            given.ex->dispatch(plan, rows, as_matrix<typename View::value_type>(out));
        });
        kept<state>::save(ctx, {given.ex, given.plan, in.sizes().vec()});
        return out;
    }

    static ::torch::autograd::variable_list backward(::torch::autograd::AutogradContext* ctx,
                                                     ::torch::autograd::variable_list gradients) {
        const state& s = kept<state>::of(ctx);
        const at::Tensor in = gradients[0].contiguous();
        const at::Tensor out = at::empty(s.sizes, in.options());
        visit_floating("dispatch_backward", "the gradient", in, [&]<class View>(View rows) {
            s.ex->dispatch_backward(*s.plan, rows, as_matrix<typename View::value_type>(out));
        });
        return {out, at::Tensor()};
    }
};

template <class Executor, class Real>
struct combine_node : ::torch::autograd::Function<combine_node<Executor, Real>> {
    struct state {
        Executor* ex;
        std::shared_ptr<const exchange_plan> plan;
        std::vector<Real> row_weights;
        std::vector<std::int64_t> sizes;  // of the weights
    };

    static at::Tensor forward(::torch::autograd::AutogradContext* ctx,
                              const at::Tensor& expert_rows, const at::Tensor& weights,
                              const state& given) {
        const exchange_plan& plan = *given.plan;
        const at::Tensor flat = weights.contiguous();
        const Real* first = flat.template data_ptr<Real>();
        std::vector<Real> row_weights =
            given.ex->dispatch_weights(plan, std::vector<Real>(first, first + flat.numel()));

        const at::Tensor in = expert_rows.contiguous();
        const at::Tensor out =
            at::empty({static_cast<std::int64_t>(plan.token_count), in.size(-1)}, in.options());
        visit_floating("combine", "expert_rows", in, [&]<class View>(View rows) {
            given.ex->combine(plan, rows, row_weights, as_matrix<typename View::value_type>(out));
        });
        ctx->save_for_backward({expert_rows});
        kept<state>::save(ctx,
                          {given.ex, given.plan, std::move(row_weights), weights.sizes().vec()});
        return out;
    }

    static ::torch::autograd::variable_list backward(::torch::autograd::AutogradContext* ctx,
                                                     ::torch::autograd::variable_list gradients) {
        const state& s = kept<state>::of(ctx);
        const at::Tensor expert_rows = ctx->get_saved_variables()[0].contiguous();
        const at::Tensor in = gradients[0].contiguous();
        const at::Tensor out = at::empty_like(expert_rows);
        const at::Tensor grad_weights =
            at::empty(s.sizes, at::TensorOptions(c10::CppTypeToScalarType<Real>::value));
        std::vector<Real> dots(static_cast<std::size_t>(grad_weights.numel()));
        visit_floating("combine_backward", "the gradient", in, [&]<class View>(View rows) {
            using E = typename View::value_type;
            s.ex->combine_backward(*s.plan, rows, as_matrix<E>(expert_rows), s.row_weights,
                                   as_matrix<E>(out), dots);
        });
        Real* to = grad_weights.template data_ptr<Real>();
        for (std::size_t i = 0; i < dots.size(); ++i) to[i] = dots[i];
        return {out, grad_weights, at::Tensor()};
    }
};

template <class Router>
struct gate_node : ::torch::autograd::Function<gate_node<Router>> {
    using real = typename Router::real;

    struct state {
        const Router* router;
        std::shared_ptr<const basic_routing<real>> decided;
        std::vector<std::int64_t> load;
        route_context where;
    };

    // Optional, since a node takes no undefined tensor.
    static ::torch::autograd::variable_list forward(::torch::autograd::AutogradContext* ctx,
                                                    const at::Tensor& tokens,
                                                    const c10::optional<at::Tensor>& gate_weights,
                                                    const state& given) {
        const basic_routing<real>& decided = *given.decided;
        const at::TensorOptions options(c10::CppTypeToScalarType<real>::value);
        const at::Tensor weights = at::empty({static_cast<std::int64_t>(decided.token_count),
                                              static_cast<std::int64_t>(decided.choice_count)},
                                             options);
        real* to = weights.template data_ptr<real>();
        for (std::size_t i = 0; i < decided.weights.size(); ++i) to[i] = decided.weights[i];
        const real loss = given.router->losses(decided, given.load, given.where).total();
        // Saved, so that LibTorch notices where they are changed before the backward pass.
        ctx->save_for_backward({tokens, gate_weights.value_or(at::Tensor())});
        kept<state>::save(ctx, given);
        return {weights, at::full({}, loss, options)};
    }

    static ::torch::autograd::variable_list backward(::torch::autograd::AutogradContext* ctx,
                                                     ::torch::autograd::variable_list gradients) {
        const state& s = kept<state>::of(ctx);
        const auto saved = ctx->get_saved_variables();
        const at::Tensor tokens = saved[0].contiguous();
        const at::TensorOptions options(c10::CppTypeToScalarType<real>::value);
        const at::Tensor grad_weights = gradients[0].contiguous();
        const at::Tensor grad_tokens = at::zeros(tokens.sizes(), options);
        at::Tensor grad_gate;
        router_gradients<real> to{.weights = as_matrix<const real>(grad_weights),
                                  .loss_scale = gradients[1].template item<real>(),
                                  .tokens = as_matrix<real>(grad_tokens)};
        if (saved[1].defined()) {
            grad_gate = at::zeros(saved[1].sizes(), options);
            to.gate = as_matrix<real>(grad_gate);
        }
        visit_floating("route", "tokens", tokens, [&](auto rows) {
            s.router->backward(rows, *s.decided, s.load, s.where, to);
        });
        return {grad_tokens.to(tokens.scalar_type()), grad_gate, at::Tensor()};
    }
};

}  // namespace detail

/// Routes tokens [T, d] (or [..., d]) with `router`, whose gate reads its weights from the memory
/// of `gate_weights` (an undefined tensor: a gate without any); counts the load over all ranks,
/// which the router's own losses are of. Gradients reach the tokens and `gate_weights`, from
/// `weights` and `own_loss`. Router, and what `where` looks at, outlive the graph; LibTorch refuses
/// the backward pass where tokens or gate weights were changed in between. Collective; throws as
/// `route` does.
template <class Executor, class Router>
    requires trainable_router<Router>
routed_tokens<typename Router::real> route(Executor& ex, const Router& router,
                                           const at::Tensor& tokens,
                                           const at::Tensor& gate_weights,
                                           const route_context& where) {
    locmoe::detail::check_torch_tensor(tokens);
    using real = typename Router::real;
    using node = detail::gate_node<Router>;
    basic_routing<real> decided;
    const at::Tensor in = tokens.detach().contiguous();
    detail::visit_floating("route", "tokens", in,
                           [&](auto rows) { decided = router.route(rows, where); });
    routed_tokens<real> result;
    result.load = ex.backend().scan_counts(count_choices(decided));
    result.decided = std::make_shared<const basic_routing<real>>(std::move(decided));
    const auto gate =
        gate_weights.defined() ? c10::optional<at::Tensor>(gate_weights) : c10::nullopt;
    const auto outputs = node::apply(
        tokens, gate, typename node::state{&router, result.decided, result.load.total, where});
    result.weights = outputs[0];
    result.own_loss = outputs[1];
    return result;
}

template <class Executor, class Router>
void route(Executor&, const Router&&, const at::Tensor&, const at::Tensor&,
           const route_context&) = delete;  // the graph would look at a router that is gone

/// `executor::dispatch` of tokens [T, d] (or [..., d]) to new expert rows [R, d]; backwards
/// `dispatch_backward`. Floating-point dtypes; copied first where not contiguous.
template <class Executor>
at::Tensor dispatch(Executor& ex, std::shared_ptr<const exchange_plan> plan,
                    const at::Tensor& tokens) {
    using node = detail::dispatch_node<Executor>;
    locmoe::detail::check_torch_tensor(tokens);
    return node::apply(tokens, typename node::state{&ex, std::move(plan), {}});
}

/// `executor::combine` of expert rows [R, d] to new tokens [T, d], by weights [T, k] (float, or
/// double) of the tokens' own ranks; backwards `combine_backward`, to the rows and the weights.
template <class Executor>
at::Tensor combine(Executor& ex, std::shared_ptr<const exchange_plan> plan,
                   const at::Tensor& expert_rows, const at::Tensor& weights) {
    const auto with = [&]<std::floating_point Real>(Real) {
        using node = detail::combine_node<Executor, Real>;
        return node::apply(expert_rows, weights,
                           typename node::state{&ex, std::move(plan), {}, {}});
    };
    locmoe::detail::check_torch_tensor(expert_rows);
    locmoe::detail::check_torch_tensor(weights);
    if (weights.scalar_type() == at::kDouble) return with(double());
    if (weights.scalar_type() != at::kFloat)
        detail::throw_argument("combine", "dtype of weights", "f32 or f64",
                               at::toString(weights.scalar_type()));
    return with(float());
}

}  // namespace locmoe::autograd
