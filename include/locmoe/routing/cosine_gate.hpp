#pragma once

#include <cmath>
#include <concepts>
#include <cstddef>
#include <vector>

#include "locmoe/core/element.hpp"
#include "locmoe/core/error.hpp"
#include "locmoe/core/matrix_view.hpp"
#include "locmoe/routing/detail/check.hpp"
#include "locmoe/routing/detail/row_math.hpp"

namespace locmoe::inline v0 {

/// logit_i = cos(W x, e_i) / tau: tokens are projected to r dimensions, where each expert has an
/// embedding, so that neither's length counts (X-MoE, Chi et al. 2022, eq. 5 and 6). tau learns.
/// A projected token or an embedding of zeros has cosine 0 with everything, and no gradient.
///
/// All parameters stand in one row `[1, r d + n r + 1]`, the caller's: the projection `[r, d]`, the
/// embeddings `[n, r]`, and log(1 / tau), which counts as log 100 where it is larger (Tutel's and
/// CLIP's bound; no gradient there).
template <class Real>
requires std::floating_point<Real>
class cosine_gate {
  public:
    using real = Real;  ///< of logits and gradients

    /// r d + n r + 1, the length of the row.
    static std::size_t parameter_count(std::size_t d, std::size_t experts, std::size_t r) {
        return r * d + experts * r + 1;
    }

    /// Throws argument_error where n, r or the row's length are not those of one gate.
    cosine_gate(matrix_view<const Real> parameters, std::size_t experts, std::size_t r)
        : parameters_(parameters), experts_(experts), r_(r) {
        using detail::concat;
        if (experts == 0 || r == 0)
            detail::throw_argument("cosine_gate", "experts and r", "at least one of each",
                                   concat(experts, " and ", r));
        const std::size_t rest = experts * r + 1;
        if (parameters.rows != 1 || parameters.cols <= rest || (parameters.cols - rest) % r != 0)
            detail::throw_argument("cosine_gate", "parameters",
                                   concat("[1, r d + n r + 1] with n = ", experts, ", r = ", r),
                                   concat("[", parameters.rows, ", ", parameters.cols, "]"));
        d_ = (parameters.cols - rest) / r;
    }

    std::size_t expert_count() const noexcept { return experts_; }  ///< n

    /// Throws argument_error unless tokens have d columns.
    void check_columns(std::size_t cols, rank_id rank = no_rank) const {
        using detail::concat;
        if (cols != d_)
            detail::throw_argument("cosine_gate", "tokens",
                                   concat("d = ", d_, " columns (the projection's)"), concat(cols),
                                   rank);
    }

    /// Throws argument_error unless the gradient is `[1, r d + n r + 1]`.
    void check_gradient(matrix_view<Real> grad_parameters, rank_id rank = no_rank) const {
        detail::check_shape("cosine_gate", "gradient of the gate weights", grad_parameters, 1,
                            parameters_.cols, rank);
    }

    /// Tokens `[T, d]`, logits `[T, n]`, written.
    template <element E>
    void forward(matrix_view<const E> tokens, matrix_view<Real> logits) const {
        if (tokens.rows != 0) check_columns(tokens.cols);
        detail::check_shape("cosine_gate", "logits", logits, tokens.rows, experts_);
        std::vector<Real> x(d_), y(r_);
        for (std::size_t t = 0; t < tokens.rows; ++t) {
            project(tokens, t, x, y);
            for (std::size_t i = 0; i < experts_; ++i)
                logits(t, i) = inverse_temperature() * cosine(y.data(), embedding(i));
        }
    }

    /// Adds to `grad_tokens` `[T, d]` and `grad_parameters`.
    template <element E>
    void backward(matrix_view<const E> tokens, matrix_view<const Real> grad_logits,
                  matrix_view<Real> grad_tokens, matrix_view<Real> grad_parameters) const {
        if (tokens.rows != 0) check_columns(tokens.cols);
        detail::check_shape("cosine_gate", "grad_logits", grad_logits, tokens.rows, experts_);
        detail::check_shape("cosine_gate", "grad_tokens", grad_tokens, tokens.rows, d_);
        check_gradient(grad_parameters);
        Real* grad_projection = grad_parameters.data;
        Real* grad_embeddings = grad_projection + r_ * d_;
        Real& grad_log = grad_parameters.data[parameters_.cols - 1];
        const bool bounded = parameters_.data[parameters_.cols - 1] > log_bound();
        std::vector<Real> x(d_), y(r_), grad_y(r_);
        for (std::size_t t = 0; t < tokens.rows; ++t) {
            project(tokens, t, x, y);
            for (Real& g : grad_y) g = 0;
            for (std::size_t i = 0; i < experts_; ++i) {
                const Real scaled = inverse_temperature() * grad_logits(t, i);
                const Real c = cosine(y.data(), embedding(i));
                if (!bounded) grad_log += scaled * c;
                add_cosine_gradient(y.data(), embedding(i), c, scaled, grad_y.data());
                add_cosine_gradient(embedding(i), y.data(), c, scaled, grad_embeddings + i * r_);
            }
            for (std::size_t j = 0; j < r_; ++j) {
                detail::row_add_scaled(grad_tokens.row(t).data(), grad_y[j],
                                       parameters_.data + j * d_, d_);
                detail::row_add_scaled(grad_projection + j * d_, grad_y[j], x.data(), d_);
            }
        }
    }

  private:
    static Real log_bound() { return static_cast<Real>(4.605170185988092); }

    Real inverse_temperature() const {
        const Real log = parameters_.data[parameters_.cols - 1];
        return std::exp(log > log_bound() ? log_bound() : log);
    }

    const Real* embedding(std::size_t expert) const {
        return parameters_.data + r_ * d_ + expert * r_;
    }

    template <element E>
    void project(matrix_view<const E> tokens, std::size_t t, std::vector<Real>& x,
                 std::vector<Real>& y) const {
        for (std::size_t j = 0; j < d_; ++j) x[j] = detail::as_real<Real>(tokens(t, j));
        for (std::size_t j = 0; j < r_; ++j)
            y[j] = detail::row_dot(x.data(), parameters_.data + j * d_, d_);
    }

    Real cosine(const Real* a, const Real* b) const {
        const Real lengths =
            std::sqrt(detail::row_dot(a, a, r_)) * std::sqrt(detail::row_dot(b, b, r_));
        const Real product = detail::row_dot(a, b, r_);
        return lengths == Real(0) ? product : product / lengths;  // NaN stays NaN
    }

    // Adds g d cos(a, b) / d a = g (b / (|a| |b|) - cos a / |a|^2).
    void add_cosine_gradient(const Real* a, const Real* b, Real c, Real g, Real* grad) const {
        const Real aa = detail::row_dot(a, a, r_), bb = detail::row_dot(b, b, r_);
        if (aa == Real(0) || bb == Real(0)) return;
        detail::row_add_scaled(grad, g / std::sqrt(aa * bb), b, r_);
        detail::row_add_scaled(grad, -g * c / aa, a, r_);
    }

    matrix_view<const Real> parameters_;
    std::size_t experts_;
    std::size_t r_;
    std::size_t d_ = 0;
};

}  // namespace locmoe
