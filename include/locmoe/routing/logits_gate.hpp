#pragma once

#include <concepts>
#include <cstddef>

#include "locmoe/core/element.hpp"
#include "locmoe/core/matrix_view.hpp"
#include "locmoe/routing/detail/check.hpp"
#include "locmoe/routing/detail/row_math.hpp"

namespace locmoe::inline v0 {

/// The "tokens" `[T, n]` are the logits: for whoever computes them elsewhere, and wants the choice,
/// the losses and d loss / d logits, which is added where a gate would add d loss / d tokens.
template <class Real = float>
requires std::floating_point<Real>
class logits_gate {
  public:
    using real = Real;  ///< of logits and gradients

    /// Throws argument_error where there is no expert.
    explicit logits_gate(std::size_t experts) : experts_(experts) {
        if (experts == 0) detail::throw_argument("logits_gate", "experts", "at least one", "none");
    }

    std::size_t expert_count() const noexcept { return experts_; }  ///< n

    /// Throws argument_error unless there are n columns.
    void check_columns(std::size_t cols, rank_id rank = no_rank) const {
        using detail::concat;
        if (cols != experts_)
            detail::throw_argument("logits_gate", "tokens",
                                   concat("n = ", experts_, " columns, the logits"), concat(cols),
                                   rank);
    }

    /// Copies the logits `[T, n]`.
    template <element E>
    void forward(matrix_view<const E> tokens, matrix_view<Real> logits) const {
        if (tokens.rows != 0) check_columns(tokens.cols);
        detail::check_shape("logits_gate", "logits", logits, tokens.rows, experts_);
        for (std::size_t t = 0; t < tokens.rows; ++t)
            for (std::size_t i = 0; i < experts_; ++i)
                logits(t, i) = detail::as_real<Real>(tokens(t, i));
    }

    /// Adds to `grad_tokens` `[T, n]`; `grad_gate` is empty.
    template <element E>
    void backward(matrix_view<const E> tokens, matrix_view<const Real> grad_logits,
                  matrix_view<Real> grad_tokens, matrix_view<Real> grad_gate) const {
        detail::check_shape("logits_gate", "grad_logits", grad_logits, tokens.rows, experts_);
        detail::check_shape("logits_gate", "grad_tokens", grad_tokens, tokens.rows, experts_);
        detail::check_shape("logits_gate", "gradient of the gate weights (it has none)", grad_gate,
                            0, 0);
        for (std::size_t t = 0; t < tokens.rows; ++t)
            for (std::size_t i = 0; i < experts_; ++i) grad_tokens(t, i) += grad_logits(t, i);
    }

  private:
    std::size_t experts_;
};

}  // namespace locmoe
