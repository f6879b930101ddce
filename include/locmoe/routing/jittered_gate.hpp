#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "locmoe/core/element.hpp"
#include "locmoe/core/error.hpp"
#include "locmoe/core/matrix_view.hpp"
#include "locmoe/routing/detail/random_bits.hpp"
#include "locmoe/routing/detail/row_math.hpp"
#include "locmoe/routing/routing.hpp"

namespace locmoe::inline v0 {

/// How strong the noise is, and what it comes from.
struct jitter_options {
    double epsilon = 0;      ///< 0 <= epsilon < 1; Switch's own value is 0.01
    std::uint64_t seed = 0;  ///< with step and token it fixes the noise, on any layout of ranks
};

/// Any gate over noisy tokens: while training, each number of a token is multiplied by one drawn
/// uniformly from [1 - epsilon, 1 + epsilon) (Switch Transformers, Fedus et al. 2021, section 2.4;
/// input jitter as in DeepSpeed, Megatron, MegaBlocks, flaxformer and HF. FastMoE adds to the
/// logits instead).
template <class Gate>
class jittered_gate {
  public:
    using real = typename Gate::real;  ///< the gate's

    /// Throws argument_error unless 0 <= epsilon < 1.
    jittered_gate(Gate gate, jitter_options options) : gate_(std::move(gate)), options_(options) {
        if (!(options.epsilon >= 0 && options.epsilon < 1))
            detail::throw_argument("jittered_gate", "epsilon", "0 <= epsilon < 1",
                                   detail::concat(options.epsilon));
    }

    std::size_t expert_count() const noexcept { return gate_.expert_count(); }  ///< n

    /// The gate's own check, where it has one.
    void check_columns(std::size_t cols, rank_id rank = no_rank) const requires
        requires(const Gate& g) {
        g.check_columns(cols, rank);
    }
    { gate_.check_columns(cols, rank); }

    /// The gate's own check, where it has one.
    void check_gradient(matrix_view<real> grad_gate, rank_id rank = no_rank) const requires
        requires(const Gate& g) {
        g.check_gradient(grad_gate, rank);
    }
    { gate_.check_gradient(grad_gate, rank); }

    /// The gate with the noise of one batch.
    class drawn {
      public:
        using real = typename Gate::real;  ///< the gate's

        /// Keeps references to all three.
        drawn(const Gate& gate, const jitter_options& options, const route_context& where)
            : gate_(gate), options_(options), where_(where) {}

        std::size_t expert_count() const noexcept { return gate_.expert_count(); }  ///< n

        /// Logits `[T, n]` of the noisy tokens; of the tokens themselves where epsilon is 0 or it
        /// is not training.
        template <element E>
        void forward(matrix_view<const E> tokens, matrix_view<real> logits) const {
            if (quiet()) return gate_.forward(tokens, logits);
            const auto noisy = jitter(tokens);
            gate_.forward(matrix_view<const real>(noisy.data(), tokens.rows, tokens.cols), logits);
        }

        /// Draws the same noise again, by which what is added to `grad_tokens` `[T, d]` is
        /// multiplied. `grad_gate` is as the gate has it.
        template <element E>
        void backward(matrix_view<const E> tokens, matrix_view<const real> grad_logits,
                      matrix_view<real> grad_tokens, matrix_view<real> grad_gate) const {
            if (quiet()) return gate_.backward(tokens, grad_logits, grad_tokens, grad_gate);
            const auto noisy = jitter(tokens);
            std::vector<real> grad(noisy.size());
            gate_.backward(matrix_view<const real>(noisy.data(), tokens.rows, tokens.cols),
                           grad_logits, matrix_view<real>(grad.data(), tokens.rows, tokens.cols),
                           grad_gate);
            for (std::size_t t = 0; t < tokens.rows; ++t) {
                const auto random = random_of(t);
                for (std::size_t j = 0; j < tokens.cols; ++j)
                    grad_tokens(t, j) += factor(random, j) * grad[t * tokens.cols + j];
            }
        }

        /// `forward` for a few tokens at a time; for all where there is noise.
        template <element E>
        class blocks {
          public:
            /// Keeps a reference to the gate.
            blocks(const drawn& gate, matrix_view<const E> tokens)
                : gate_(gate), tokens_(tokens), quiet_(gate.gate_.in_blocks(tokens)) {}

            /// As many as the gate takes; all T where there is noise.
            std::size_t rows_at_once() const {
                return gate_.quiet() ? quiet_.rows_at_once() : tokens_.rows;
            }
            /// Logits of the tokens from `first` on; of all where there is noise.
            void forward(std::size_t first, matrix_view<real> logits) const {
                if (gate_.quiet())
                    quiet_.forward(first, logits);
                else
                    gate_.forward(tokens_, logits);
            }

          private:
            const drawn& gate_;
            matrix_view<const E> tokens_;
            decltype(std::declval<const Gate&>().in_blocks(std::declval<matrix_view<const E>>()))
                quiet_;
        };

        /// Only where the gate itself works in blocks.
        template <element E>
        auto in_blocks(matrix_view<const E> tokens) const
            requires requires(const Gate& g) { g.in_blocks(tokens); }
        {
            return blocks<E>(*this, tokens);
        }

      private:
        bool quiet() const { return options_.epsilon == 0 || !where_.training; }

        detail::token_random random_of(std::size_t token) const {
            return {options_.seed, where_.step, where_.first_token + token};
        }

        real factor(const detail::token_random& random, std::size_t column) const {
            return static_cast<real>(1 + options_.epsilon * (2 * random.uniform(column) - 1));
        }

        template <element E>
        std::vector<real> jitter(matrix_view<const E> tokens) const {
            std::vector<real> noisy(tokens.rows * tokens.cols);
            for (std::size_t t = 0; t < tokens.rows; ++t) {
                const auto random = random_of(t);
                for (std::size_t j = 0; j < tokens.cols; ++j)
                    noisy[t * tokens.cols + j] =
                        factor(random, j) * detail::as_real<real>(tokens(t, j));
            }
            return noisy;
        }

        const Gate& gate_;
        const jitter_options& options_;
        const route_context& where_;
    };

    /// The gate in one batch.
    drawn at(const route_context& where) const { return drawn(gate_, options_, where); }

  private:
    Gate gate_;
    jitter_options options_;
};

}  // namespace locmoe
