#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "locmoe/core/error.hpp"
#include "locmoe/core/ids.hpp"
#include "locmoe/core/matrix_view.hpp"
#include "locmoe/routing/detail/best_tokens.hpp"
#include "locmoe/routing/scored_router.hpp"
#include "locmoe/routing/weighting.hpp"

namespace locmoe::inline v0 {

/// Each expert takes the C tokens with the best scores for it, of equals the first tokens. A token
/// may be taken by several experts or by none: the routing has as many slots as the token taken
/// most often needs, the experts ascending, `no_expert` behind them.
class expert_choice : public weighting {
  public:
    /// Scores, compared between tokens.
    static constexpr choice_input input = choice_input::scores;

    /// C is `capacity`, or where there is none floor(factor T / n), at least 1; never more than T.
    expert_choice(double factor, std::optional<std::size_t> capacity)
        : factor_(factor), capacity_(capacity) {
        if (!(factor >= 0 && factor - factor == 0))
            detail::throw_argument("expert_choice", "capacity_factor", "a finite number >= 0",
                                   detail::concat(factor));
    }

    /// C for so many tokens and experts.
    std::size_t capacity(std::size_t tokens, std::size_t experts) const {
        const double share = factor_ * static_cast<double>(tokens) / static_cast<double>(experts);
        const std::size_t slots = capacity_ ? *capacity_
                                  : share >= static_cast<double>(tokens)
                                      ? tokens
                                      : static_cast<std::size_t>(share >= 1 ? share : 1);
        return slots < tokens ? slots : tokens;
    }

    /// For all of a rank's tokens together; scores `[T, n]`.
    template <class Real>
    void choose(matrix_view<const Real> scores, const route_context&,
                basic_routing<Real>& decided) const {
        const std::size_t T = scores.rows, n = scores.cols, C = capacity(T, n);
        std::vector<std::size_t> taken(n * C);
        std::vector<std::size_t> uses(T, 0);
        std::vector<detail::candidate<Real>> column(T);
        for (std::size_t e = 0; e < n; ++e) {
            for (std::size_t t = 0; t < T; ++t) column[t] = {scores(t, e), t};
            detail::best_first(std::span(column), C);
            for (std::size_t c = 0; c < C; ++c) ++uses[taken[e * C + c] = column[c].place];
        }
        std::size_t k = 1;
        for (std::size_t& u : uses) {
            k = u > k ? u : k;
            u = 0;
        }
        decided.choice_count = k;
        decided.chosen.assign(T * k, no_expert);
        for (std::size_t i = 0; i < taken.size(); ++i)
            decided.chosen[taken[i] * k + uses[taken[i]]++] = static_cast<expert_id>(i / C);
    }

  private:
    double factor_;
    std::optional<std::size_t> capacity_;
};

/// How many tokens an expert takes.
struct expert_choice_options {
    double capacity_factor = 2;                             ///< experts a token goes to on average
    std::optional<std::size_t> capacity = std::nullopt;     ///< tokens an expert takes
    own_loss_options losses = {.auxiliary = {.alpha = 0}};  ///< none by default: the load is even
};

/// Expert choice (Zhou et al. 2022, section 3.2) over any gate: softmax over the experts, then
/// every expert takes the tokens with its best scores, weighted by these. The load is even without
/// a loss, which is off by default. It looks at all of this rank's tokens at once, later ones too:
/// no causal language model can do so where it generates.
template <class Gate>
class expert_choice_router : public scored_router<Gate, softmax_score, expert_choice> {
  public:
    /// Throws argument_error where the capacity factor is negative or not finite.
    explicit expert_choice_router(Gate gate, expert_choice_options options = {})
        : scored_router<Gate, softmax_score, expert_choice>(
              std::move(gate), expert_choice(options.capacity_factor, options.capacity),
              options.losses) {}
};

}  // namespace locmoe
