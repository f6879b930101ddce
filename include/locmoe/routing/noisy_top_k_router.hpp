#pragma once

#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "locmoe/core/element.hpp"
#include "locmoe/core/error.hpp"
#include "locmoe/core/matrix_view.hpp"
#include "locmoe/routing/dense_gate.hpp"
#include "locmoe/routing/detail/check.hpp"
#include "locmoe/routing/detail/random_bits.hpp"
#include "locmoe/routing/routing.hpp"
#include "locmoe/routing/scored_router.hpp"
#include "locmoe/routing/top_k_choice.hpp"

namespace locmoe::inline v0 {

/// logit_i = w_i . x + e_i softplus(v_i . x), e_i standard normal while training and 0 otherwise:
/// a dense gate whose noise learns how large it should be (Shazeer et al. 2017, eq. 4). Its
/// weights, the caller's, are `[2 n, d]`: w in the first n rows, v in the others.
template <class Real>
requires std::floating_point<Real>
class noisy_gate {
  public:
    using real = Real;  ///< of logits and gradients

    /// Throws argument_error unless there is an even number of rows, and a column.
    explicit noisy_gate(matrix_view<const Real> weights, std::uint64_t seed = 0)
        : gate_(half(weights, 0)), noise_(half(weights, 1)), seed_(seed) {}

    /// n, half the weights' rows.
    std::size_t expert_count() const noexcept { return gate_.expert_count(); }

    /// Throws argument_error unless tokens have d columns.
    void check_columns(std::size_t cols, rank_id rank = no_rank) const {
        gate_.check_columns(cols, rank);
    }

    /// Throws argument_error unless the gradient of the weights is `[2 n, d]`.
    void check_gradient(matrix_view<Real> grad_weights, rank_id rank = no_rank) const {
        detail::check_shape("noisy_gate", "rows of the gradient of the gate weights", grad_weights,
                            2 * expert_count(), grad_weights.cols, rank);
        gate_.check_gradient(half(grad_weights, 0), rank);
    }

    /// The gate with the noise of one batch.
    class drawn {
      public:
        using real = Real;  ///< of logits and gradients

        /// Keeps references to both.
        drawn(const noisy_gate& all, const route_context& where) : all_(all), where_(where) {}

        std::size_t expert_count() const noexcept { return all_.expert_count(); }  ///< n

        /// Logits `[T, n]`, written; without noise where it is not training.
        template <element E>
        void forward(matrix_view<const E> tokens, matrix_view<Real> logits) const {
            all_.gate_.forward(tokens, logits);
            if (!where_.training) return;
            std::vector<Real> storage(tokens.rows * expert_count());
            const matrix_view<Real> size(storage.data(), tokens.rows, expert_count());
            all_.noise_.forward(tokens, size);
            for (std::size_t t = 0; t < tokens.rows; ++t)
                for (std::size_t i = 0; i < expert_count(); ++i)
                    logits(t, i) += normal(t, i) * softplus(size(t, i));
        }

        /// Draws the same noise again. Adds to `grad_tokens` `[T, d]` and to `grad_weights`
        /// `[2 n, d]`.
        template <element E>
        void backward(matrix_view<const E> tokens, matrix_view<const Real> grad_logits,
                      matrix_view<Real> grad_tokens, matrix_view<Real> grad_weights) const {
            all_.check_gradient(grad_weights);
            all_.gate_.backward(tokens, grad_logits, grad_tokens, half(grad_weights, 0));
            if (!where_.training) return;
            std::vector<Real> storage(tokens.rows * expert_count());
            const matrix_view<Real> grad(storage.data(), tokens.rows, expert_count());
            all_.noise_.forward(tokens, grad);
            for (std::size_t t = 0; t < tokens.rows; ++t)
                for (std::size_t i = 0; i < expert_count(); ++i)
                    grad(t, i) = grad_logits(t, i) * normal(t, i) / (1 + std::exp(-grad(t, i)));
            all_.noise_.backward(tokens, matrix_view<const Real>(grad), grad_tokens,
                                 half(grad_weights, 1));
        }

      private:
        Real normal(std::size_t token, std::size_t expert) const {
            const detail::token_random random(all_.seed_, where_.step, where_.first_token + token);
            return static_cast<Real>(random.normal(expert));
        }

        static Real softplus(Real x) {
            return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x));
        }

        const noisy_gate& all_;
        const route_context& where_;
    };

    /// The gate in one batch.
    drawn at(const route_context& where) const { return drawn(*this, where); }

  private:
    template <class E>
    static matrix_view<E> half(matrix_view<E> weights, std::size_t which) {
        const std::size_t n = weights.rows / 2;
        if (weights.rows % 2 != 0)
            detail::throw_argument("noisy_gate", "weights", "2 n rows",
                                   detail::concat(weights.rows));
        return {weights.data + which * n * weights.row_stride, n, weights.cols, weights.row_stride};
    }

    dense_gate<Real> gate_;
    dense_gate<Real> noise_;
    std::uint64_t seed_;
};

/// How many experts a token gets, what the noise comes from, and the router's own losses.
struct noisy_top_k_options {
    std::size_t k = 2;       ///< experts a token, 1 to n
    std::uint64_t seed = 0;  ///< with step and token it fixes the noise, on any layout of ranks
    own_loss_options losses = {};  ///< the auxiliary loss alone by default
};

/// Noisy top-k (Shazeer et al. 2017, eq. 3 to 5): the k largest of the noisy logits, weighted by
/// the softmax over these k. The gradient is exact, through the size of the noise too.
template <class Real = float>
class noisy_top_k_router : public scored_router<noisy_gate<Real>, softmax_score, top_k_choice> {
  public:
    /// `gate_weights` `[2 n, d]`, see `noisy_gate`. Throws argument_error unless 1 <= k <= n.
    explicit noisy_top_k_router(matrix_view<const Real> gate_weights,
                                noisy_top_k_options options = {})
        : scored_router<noisy_gate<Real>, softmax_score, top_k_choice>(
              noisy_gate<Real>(gate_weights, options.seed),
              top_k_choice(options.k, {.renormalise = true}), options.losses) {}
};

}  // namespace locmoe
