#pragma once

#include <cmath>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "locmoe/core/ids.hpp"
#include "locmoe/core/matrix_view.hpp"
#include "locmoe/routing/detail/row_exp.hpp"
#include "locmoe/routing/detail/widest.hpp"
#include "locmoe/routing/scored_router.hpp"
#include "locmoe/routing/top_k.hpp"
#include "locmoe/routing/weighting.hpp"

namespace locmoe::inline v0 {

/// How many experts a token gets, when the scaling ends, and the router's own losses.
struct sinkhorn_options {
    std::size_t k = 1;             ///< experts a token, 1 to n
    double tolerance = 1e-4;       ///< mean change of the experts' factors at which it stops
    std::size_t iterations = 100;  ///< and at the latest after these
    /// None by default: the scaling balances.
    own_loss_options losses = {.auxiliary = {.alpha = 0}};
};

/// The k largest of the Sinkhorn-balanced exp(logits), while training; else the k largest logits.
class sinkhorn_choice : public weighting {
  public:
    static constexpr choice_input input = choice_input::logits;  ///< their exp is scaled

    /// k, tolerance and iterations of the options.
    explicit sinkhorn_choice(const sinkhorn_options& options)
        : k_(options.k), tolerance_(options.tolerance), iterations_(options.iterations) {}

    std::size_t choice_count() const noexcept { return k_; }  ///< k

    /// For all of a rank's tokens together while training, else for each by itself.
    template <class Real>
    void choose(matrix_view<const Real> logits, const route_context& where,
                basic_routing<Real>& decided) const {
        const std::size_t T = logits.rows, n = logits.cols;
        decided.choice_count = k_;
        decided.chosen.resize(T * k_);
        const auto chosen = [&](std::size_t t) {
            return std::span<expert_id>(decided.chosen.data() + t * k_, k_);
        };
        if (!where.training) {
            for (std::size_t t = 0; t < T; ++t)
                top_k(std::span<const Real>(logits.row(t)), chosen(t));
            return;
        }
        // A token's factor absorbs its maximum, which keeps exp in range.
        std::vector<Real> storage(T * n);
        const matrix_view<Real> mass(storage.data(), T, n);
        for (std::size_t t = 0; t < T; ++t) {
            for (std::size_t i = 0; i < n; ++i) mass(t, i) = logits(t, i);
            const Real highest = detail::row_max(mass.row(t).data(), n);
            detail::widest_fused<detail::row_exp<Real>>(mass.row(t).data(), Real(1), -highest, n);
        }
        const std::vector<Real> factor = expert_factors(matrix_view<const Real>(mass));
        for (std::size_t t = 0; t < T; ++t) {
            for (std::size_t i = 0; i < n; ++i) mass(t, i) *= factor[i];
            top_k(std::span<const Real>(mass.row(t)), chosen(t));
        }
    }

  private:
    // Alternately: each token's mass 1 / T, each expert's 1 / n. A token's factor scales its whole
    // row, and so does not bear on its choice: only the experts' are needed.
    template <class Real>
    std::vector<Real> expert_factors(matrix_view<const Real> mass) const {
        const std::size_t T = mass.rows, n = mass.cols;
        std::vector<Real> factor(n, Real(1));
        std::vector<double> sum(n);
        for (std::size_t round = 0; round < iterations_ && T != 0; ++round) {
            for (double& s : sum) s = 0;
            for (std::size_t t = 0; t < T; ++t) {
                const auto row = mass.row(t);
                const Real of_token = detail::row_dot(row.data(), factor.data(), n);
                const Real share = Real(1) / (static_cast<Real>(T) * of_token + tiny<Real>());
                for (std::size_t i = 0; i < n; ++i) sum[i] += static_cast<double>(share * row[i]);
            }
            double change = 0;
            for (std::size_t i = 0; i < n; ++i) {
                const auto next = static_cast<Real>(1 / (static_cast<double>(n) * sum[i] + 1e-8));
                change += std::fabs(static_cast<double>(next - factor[i]));
                factor[i] = next;
            }
            if (change <= tolerance_ * static_cast<double>(n)) break;
        }
        return factor;
    }

    template <class Real>
    static constexpr Real tiny() {
        return static_cast<Real>(1e-8);
    }

    std::size_t k_;
    double tolerance_;
    std::size_t iterations_;
};

/// Sinkhorn routing (S-BASE, Clark et al. 2022, section 4.2; Megatron's convention) over any gate:
/// while training, exp(logits) is scaled until every token has the same mass and every expert has,
/// and a token goes to its k largest entries; else to its k largest logits. Weights are the scores
/// of the chosen alone: sigmoids, as Megatron has them for k = 1, or for k > 1 `softmax_score`.
/// Megatron iterates until the tolerance is met, however long that takes; here there is an end.
template <class Gate, class Score = sigmoid_score>
class sinkhorn_router : public scored_router<Gate, Score, sinkhorn_choice> {
  public:
    /// Throws argument_error unless 1 <= k <= n.
    explicit sinkhorn_router(Gate gate, const sinkhorn_options& options = {})
        : scored_router<Gate, Score, sinkhorn_choice>(std::move(gate), sinkhorn_choice(options),
                                                      options.losses) {}
};

}  // namespace locmoe
