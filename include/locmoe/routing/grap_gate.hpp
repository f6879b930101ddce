#pragma once

#include <concepts>
#include <cstddef>
#include <span>
#include <vector>

#include "locmoe/core/element.hpp"
#include "locmoe/core/matrix_view.hpp"
#include "locmoe/routing/detail/check.hpp"
#include "locmoe/routing/detail/grap_segment.hpp"
#include "locmoe/routing/detail/row_math.hpp"
#include "locmoe/routing/detail/segment_means.hpp"

namespace locmoe::inline v0 {

/// Grouped average pooling (LocMoE, arXiv 2401.13920): a token of d numbers is cut into n
/// contiguous segments, and logit_i is the mean of segment i. No parameters; one pass over the
/// token, O(d). Where n does not divide d, the first d mod n segments are longer by one.
template <class Real>
    requires std::floating_point<Real>
class grap_gate {
  public:
    using real = Real;  ///< of logits and gradients

    /// Throws argument_error where there is no expert.
    explicit grap_gate(std::size_t experts) : experts_(experts) {
        if (experts == 0) detail::throw_argument("grap_gate", "experts", "at least one", "none");
    }

    std::size_t expert_count() const noexcept { return experts_; }  ///< n

    /// Throws argument_error where d < n: some segments would be empty.
    void check_columns(std::size_t cols, rank_id rank = no_rank) const {
        using detail::concat;
        if (cols < experts_)
            detail::throw_argument("grap_gate", "tokens",
                                   concat("at least n = ", experts_, " columns, one a segment"),
                                   concat(cols), rank);
    }

    /// Throws argument_error unless the view is empty: a gradient of no weights goes nowhere.
    void check_gradient(matrix_view<Real> grad_gate, rank_id rank = no_rank) const {
        detail::check_shape("grap_gate", "gradient of the gate weights (it has none)", grad_gate, 0,
                            0, rank);
    }

    /// Tokens `[T, d]`, logits `[T, n]`, written.
    template <element E>
    void forward(matrix_view<const E> tokens, matrix_view<Real> logits) const {
        if (tokens.rows != 0) check_columns(tokens.cols);
        detail::check_shape("grap_gate", "logits", logits, tokens.rows, experts_);
        in_blocks(tokens).forward(0, logits);
    }

    /// `forward` for a few tokens at a time.
    template <element E>
    class blocks {
      public:
        /// Prepares nothing and checks nothing.
        blocks(const grap_gate& gate, matrix_view<const E> tokens)
            : experts_(gate.experts_), tokens_(tokens) {}

        std::size_t rows_at_once() const { return block_rows; }  ///< 8

        /// Logits `[B, n]` of the B tokens from `first` on.
        void forward(std::size_t first, matrix_view<Real> logits) const {
            const std::size_t d = tokens_.cols, longer = d % experts_, length = d / experts_;
            const std::size_t rest = longer * (length + 1);
            for (std::size_t t = first; t < first + logits.rows; ++t) {
                const E* x = tokens_.row(t).data();
                Real* means = logits.row(t - first).data();
                detail::segment_means(x, length + 1, longer, means);
                detail::segment_means(x + rest, length, experts_ - longer, means + longer);
            }
        }

        /// The memory of the tokens from `first` on, which is read as fast as it comes.
        std::span<const std::byte> bytes_from(std::size_t first) const {
            if (first >= tokens_.rows) return {};
            const auto last = tokens_.row(tokens_.rows - 1);
            const E* const from = tokens_.row(first).data();
            return {reinterpret_cast<const std::byte*>(from),
                    static_cast<std::size_t>(last.data() + last.size() - from) * sizeof(E)};
        }

      private:
        static constexpr std::size_t block_rows = 8;

        std::size_t experts_;
        matrix_view<const E> tokens_;
    };

    /// As the concept `gate` describes it; columns are not checked.
    template <element E>
    blocks<E> in_blocks(matrix_view<const E> tokens) const {
        return blocks<E>(*this, tokens);
    }

    /// Adds to `grad_tokens` `[T, d]`; `grad_gate` is empty.
    template <element E>
    void backward(matrix_view<const E> tokens, matrix_view<const Real> grad_logits,
                  matrix_view<Real> grad_tokens, matrix_view<Real> grad_gate) const {
        if (tokens.rows != 0) check_columns(tokens.cols);
        detail::check_shape("grap_gate", "grad_logits", grad_logits, tokens.rows, experts_);
        detail::check_shape("grap_gate", "grad_tokens", grad_tokens, tokens.rows, tokens.cols);
        check_gradient(grad_gate);
        for (std::size_t t = 0; t < tokens.rows; ++t) {
            Real* out = grad_tokens.row(t).data();
            for (std::size_t i = 0; i < experts_; ++i) {
                const detail::grap_segment segment(i, experts_, tokens.cols);
                const Real share = grad_logits(t, i) / static_cast<Real>(segment.length);
                for (std::size_t j = 0; j < segment.length; ++j) out[segment.first + j] += share;
            }
        }
    }

    /// The weights `[n, d]` of the dense gate that gives the same logits: 1 / length on an expert's
    /// segment, 0 elsewhere. They are orthogonal, and of one norm, sqrt(n / d), only where n
    /// divides d: elsewhere the largest logit need not be the least angle.
    std::vector<Real> equivalent_weights(std::size_t d) const {
        check_columns(d);
        std::vector<Real> weights(experts_ * d, Real(0));
        for (std::size_t i = 0; i < experts_; ++i) {
            const detail::grap_segment segment(i, experts_, d);
            for (std::size_t j = 0; j < segment.length; ++j)
                weights[i * d + segment.first + j] = Real(1) / static_cast<Real>(segment.length);
        }
        return weights;
    }

  private:
    std::size_t experts_;
};

}  // namespace locmoe
