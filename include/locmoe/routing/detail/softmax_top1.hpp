#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "locmoe/core/error.hpp"
#include "locmoe/core/matrix_view.hpp"
#include "locmoe/routing/detail/check.hpp"
#include "locmoe/routing/gate.hpp"
#include "locmoe/routing/router_policy.hpp"
#include "locmoe/routing/routing.hpp"
#include "locmoe/routing/softmax.hpp"

namespace locmoe::detail {

/// Any gate, softmax, the likeliest expert, weighted by its probability: what Switch and LocMoE
/// share. Gate and context have been checked against one another and the tokens.
template <class E, gate<E> Gate>
basic_routing<typename Gate::real> route_top1(const Gate& scores, matrix_view<const E> tokens,
                                              const route_context& where) {
    using real = typename Gate::real;
    const std::size_t n = scores.expert_count();
    basic_routing<real> decided;
    decided.token_count = tokens.rows;
    decided.choice_count = 1;
    decided.expert_count = n;
    decided.probabilities.resize(tokens.rows * n);
    const matrix_view<real> table(decided.probabilities.data(), tokens.rows, n);
    scores.forward(tokens, table);
    decided.chosen = top1(table, where.rank);
    softmax_rows(table);
    decided.weights.resize(tokens.rows);
    for (std::size_t t = 0; t < tokens.rows; ++t)
        decided.weights[t] = table(t, static_cast<std::size_t>(decided.chosen[t]));
    return decided;
}

/// The probabilities of a top-1 routing as `[T, n]`. Throws argument_error unless `decided` has the
/// shape that `route_top1` gives it.
template <class Real>
matrix_view<const Real> probabilities_of(std::string_view function,
                                         const basic_routing<Real>& decided, std::size_t experts,
                                         rank_id rank) {
    const auto check = [&](std::string_view what, std::size_t want, std::size_t got) {
        if (got != want)
            throw_argument(function, concat("decided.", what), concat(want), concat(got), rank);
    };
    check("expert_count", experts, decided.expert_count);
    check("choice_count", 1, decided.choice_count);
    check("chosen.size()", decided.token_count, decided.chosen.size());
    check("weights.size()", decided.token_count, decided.weights.size());
    check("probabilities.size()", decided.token_count * experts, decided.probabilities.size());
    return {decided.probabilities.data(), decided.token_count, experts};
}

/// From d task loss / d weights and `grad_mean`, d own losses / d mean probability `[n]`, through
/// the softmax and the gate to tokens and gate weights. The choice itself has no gradient; a token
/// without a choice (`no_expert`) takes part in the router's own losses alone.
template <class E, gate<E> Gate>
void backward_top1(const Gate& scores, matrix_view<const E> tokens,
                   const basic_routing<typename Gate::real>& decided,
                   std::span<const double> grad_mean, const route_context& where,
                   const router_gradients<typename Gate::real>& gradients) {
    using real = typename Gate::real;
    const std::size_t n = scores.expert_count();
    const auto probabilities = probabilities_of("backward", decided, n, where.rank);
    check_shape("backward", "tokens", tokens, decided.token_count, tokens.cols, where.rank);
    check_shape("backward", "gradients.weights", gradients.weights, tokens.rows, 1, where.rank);
    check_shape("backward", "gradients.tokens", gradients.tokens, tokens.rows, tokens.cols,
                where.rank);

    std::vector<real> own(n);
    for (std::size_t i = 0; i < n; ++i)
        own[i] = static_cast<real>(grad_mean[i] / static_cast<double>(tokens.rows));
    std::vector<real> storage(tokens.rows * n);
    const matrix_view<real> grad(storage.data(), tokens.rows, n);
    for (std::size_t t = 0; t < tokens.rows; ++t) {
        const auto row = grad.row(t);
        for (std::size_t i = 0; i < n; ++i) row[i] = own[i];
        const expert_id e = decided.chosen[t];
        if (e == no_expert) continue;
        if (e < 0 || static_cast<std::size_t>(e) >= n)
            throw_argument("backward", concat("expert of token ", t), concat("0 to ", n - 1),
                           concat(e), where.rank);
        row[static_cast<std::size_t>(e)] += gradients.weights(t, 0);
    }
    softmax_backward(probabilities, grad);
    scores.backward(tokens, grad, gradients.tokens, gradients.gate);
}

}  // namespace locmoe::detail
