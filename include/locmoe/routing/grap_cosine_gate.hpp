#pragma once

#include <cmath>
#include <concepts>
#include <cstddef>
#include <vector>

#include "locmoe/core/element.hpp"
#include "locmoe/core/matrix_view.hpp"
#include "locmoe/routing/detail/grap_segment.hpp"
#include "locmoe/routing/detail/row_math.hpp"
#include "locmoe/routing/grap_gate.hpp"

namespace locmoe::inline v0 {

/// logit_i = cos(x, w_i) with the weights of the GrAP gate: the affinity of Expert-Token Resonance
/// (arXiv 2406.00023). No parameters. The mean of segment i times sqrt(its length) over |x|; a
/// token of zeros has affinity 0 with every expert, and no gradient.
template <class Real>
requires std::floating_point<Real>
class grap_cosine_gate {
  public:
    using real = Real;  ///< of logits and gradients

    /// Throws argument_error where there is no expert.
    explicit grap_cosine_gate(std::size_t experts) : means_(experts) {}

    std::size_t expert_count() const noexcept { return means_.expert_count(); }  ///< n

    /// Throws argument_error where d < n: some segments would be empty.
    void check_columns(std::size_t cols, rank_id rank = no_rank) const {
        means_.check_columns(cols, rank);
    }

    /// Throws argument_error unless the view is empty: there are no weights.
    void check_gradient(matrix_view<Real> grad_gate, rank_id rank = no_rank) const {
        means_.check_gradient(grad_gate, rank);
    }

    /// Tokens `[T, d]`, logits `[T, n]`, written.
    template <element E>
    void forward(matrix_view<const E> tokens, matrix_view<Real> logits) const {
        means_.forward(tokens, logits);
        for (std::size_t t = 0; t < tokens.rows; ++t) {
            const Real length = length_of(tokens, t);
            if (length == Real(0)) continue;
            for (std::size_t i = 0; i < expert_count(); ++i)
                logits(t, i) *= root(i, tokens.cols) / length;
        }
    }

    /// Adds to `grad_tokens` `[T, d]`; `grad_gate` is empty.
    template <element E>
    void backward(matrix_view<const E> tokens, matrix_view<const Real> grad_logits,
                  matrix_view<Real> grad_tokens, matrix_view<Real> grad_gate) const {
        const std::size_t n = expert_count();
        std::vector<Real> of_means(tokens.rows * n), cosines(tokens.rows * n);
        const matrix_view<Real> grad(of_means.data(), tokens.rows, n);
        const matrix_view<Real> cosine(cosines.data(), tokens.rows, n);
        forward(tokens, cosine);
        detail::check_shape("grap_cosine_gate", "grad_logits", grad_logits, tokens.rows, n);
        detail::check_shape("grap_cosine_gate", "grad_tokens", grad_tokens, tokens.rows,
                            tokens.cols);
        for (std::size_t t = 0; t < tokens.rows; ++t) {
            const Real length = length_of(tokens, t);
            if (length == Real(0)) continue;
            for (std::size_t i = 0; i < n; ++i)
                grad(t, i) = grad_logits(t, i) * root(i, tokens.cols) / length;
            // The length: d cos_i / d x has -cos_i x / |x|^2.
            const Real along = detail::row_dot(grad_logits.row(t).data(), cosine.row(t).data(), n);
            for (std::size_t j = 0; j < tokens.cols; ++j)
                grad_tokens(t, j) -=
                    along * detail::as_real<Real>(tokens(t, j)) / (length * length);
        }
        means_.backward(tokens, matrix_view<const Real>(grad), grad_tokens, grad_gate);
    }

  private:
    Real root(std::size_t expert, std::size_t d) const {
        return std::sqrt(static_cast<Real>(detail::grap_segment(expert, expert_count(), d).length));
    }

    template <element E>
    static Real length_of(matrix_view<const E> tokens, std::size_t t) {
        Real sum = 0;
        for (std::size_t j = 0; j < tokens.cols; ++j) {
            const Real x = detail::as_real<Real>(tokens(t, j));
            sum += x * x;
        }
        return std::sqrt(sum);
    }

    grap_gate<Real> means_;
};

}  // namespace locmoe
