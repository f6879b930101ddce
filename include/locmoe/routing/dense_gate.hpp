#pragma once

#include <concepts>
#include <cstddef>
#include <type_traits>
#include <vector>

#include "locmoe/core/element.hpp"
#include "locmoe/core/matrix_view.hpp"
#include "locmoe/routing/detail/check.hpp"
#include "locmoe/routing/detail/dense_product.hpp"
#include "locmoe/routing/detail/row_math.hpp"

namespace locmoe::inline v0 {

/// Whether logits pass a ReLU.
struct dense_gate_options {
    bool relu = false;  ///< logits below 0 become 0, as in LocMoE; most of its peers leave it out
};

/// logit_i = w_i . x, or ReLU(w_i . x): one learned vector of weights an expert. The weights
/// `[n, d]` belong to the caller, who may change them between batches but not move them. A logit's
/// bits do not depend on the batch or the other experts; they are the same on all processors with
/// fused multiply-add, and others round each product too.
template <class Real>
    requires std::floating_point<Real>
class dense_gate {
  public:
    using real = Real;  ///< of logits and gradients

    /// Throws argument_error where there is no expert or no column.
    explicit dense_gate(matrix_view<const Real> weights, dense_gate_options options = {})
        : weights_(weights), options_(options) {
        using detail::concat;
        if (weights.rows == 0 || weights.cols == 0 || weights.data == nullptr)
            detail::throw_argument("dense_gate", "weights", "[n, d] with at least one of each",
                                   concat("[", weights.rows, ", ", weights.cols, "]"));
    }

    std::size_t expert_count() const noexcept { return weights_.rows; }  ///< n

    /// Throws argument_error unless tokens have d columns.
    void check_columns(std::size_t cols, rank_id rank = no_rank) const {
        using detail::concat;
        if (cols != weights_.cols)
            detail::throw_argument("dense_gate", "tokens",
                                   concat("d = ", weights_.cols, " columns (the gate weights')"),
                                   concat(cols), rank);
    }

    /// Throws argument_error unless the gradient of the weights is `[n, d]`.
    void check_gradient(matrix_view<Real> grad_weights, rank_id rank = no_rank) const {
        detail::check_shape("dense_gate", "gradient of the gate weights", grad_weights,
                            weights_.rows, weights_.cols, rank);
    }

    /// Tokens `[T, d]`, logits `[T, n]`, written.
    template <element E>
    void forward(matrix_view<const E> tokens, matrix_view<Real> logits) const {
        if (tokens.rows != 0) check_columns(tokens.cols);
        detail::check_shape("dense_gate", "logits", logits, tokens.rows, weights_.rows);
        if (tokens.rows != 0) in_blocks(tokens).forward(0, logits);
    }

    /// `forward` for a few tokens at a time: the weights are packed once.
    template <element E>
    class blocks {
      public:
        /// Packs the weights into memory that the next one on this thread takes over. Nothing is
        /// checked.
        blocks(const dense_gate& gate, matrix_view<const E> tokens)
            : relu_(gate.options_.relu), product_(tokens, gate.weights_) {}

        /// How many tokens go through the packed weights at a time.
        std::size_t rows_at_once() const { return product_.rows_at_once(); }

        /// Logits `[B, n]` of the B tokens from `first` on.
        void forward(std::size_t first, matrix_view<Real> logits) const {
            product_.forward(first, logits);
            if (!relu_) return;
            // NaN stays NaN, so that whoever checks the logits still sees it.
            for (std::size_t t = 0; t < logits.rows; ++t)
                for (Real& z : logits.row(t)) z = z < Real(0) ? Real(0) : z;
        }

      private:
        bool relu_;
        detail::dense_product_blocks<Real, E> product_;
    };

    /// As the concept `gate` describes it; columns are not checked.
    template <element E>
    blocks<E> in_blocks(matrix_view<const E> tokens) const {
        return blocks<E>(*this, tokens);
    }

    /// Adds to `grad_tokens` `[T, d]` and `grad_weights` `[n, d]`. The ReLU passes a gradient where
    /// w_i . x > 0, and none at 0.
    template <element E>
    void backward(matrix_view<const E> tokens, matrix_view<const Real> grad_logits,
                  matrix_view<Real> grad_tokens, matrix_view<Real> grad_weights) const {
        const std::size_t d = weights_.cols;
        if (tokens.rows != 0) check_columns(tokens.cols);
        detail::check_shape("dense_gate", "grad_logits", grad_logits, tokens.rows, weights_.rows);
        detail::check_shape("dense_gate", "grad_tokens", grad_tokens, tokens.rows, d);
        check_gradient(grad_weights);
        std::vector<Real> widened, raw(options_.relu ? tokens.rows * weights_.rows : 0);
        if (options_.relu)
            detail::dense_product(tokens, weights_,
                                  matrix_view<Real>(raw.data(), tokens.rows, weights_.rows));
        for (std::size_t t = 0; t < tokens.rows; ++t) {
            const Real* x = real_row(tokens, t, widened);
            for (std::size_t i = 0; i < weights_.rows; ++i) {
                if (options_.relu && raw[t * weights_.rows + i] <= Real(0)) continue;
                const Real g = grad_logits(t, i);
                detail::row_add_scaled(grad_tokens.row(t).data(), g, weights_.row(i).data(), d);
                detail::row_add_scaled(grad_weights.row(i).data(), g, x, d);
            }
        }
    }

  private:
    // A token's row in Real: the row itself, or a copy widened once for all n products.
    template <element E>
    static const Real* real_row(matrix_view<const E> tokens, std::size_t t,
                                std::vector<Real>& widened) {
        if constexpr (std::is_same_v<E, Real>) {
            return tokens.row(t).data();
        } else {
            widened.resize(tokens.cols);
            for (std::size_t j = 0; j < tokens.cols; ++j)
                widened[j] = detail::as_real<Real>(tokens(t, j));
            return widened.data();
        }
    }

    matrix_view<const Real> weights_;
    dense_gate_options options_;
};

}  // namespace locmoe
