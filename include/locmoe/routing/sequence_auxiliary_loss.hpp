#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "locmoe/core/ids.hpp"
#include "locmoe/core/matrix_view.hpp"
#include "locmoe/routing/auxiliary_loss.hpp"
#include "locmoe/routing/detail/check.hpp"
#include "locmoe/routing/routing.hpp"
#include "locmoe/routing/token_sequences.hpp"

namespace locmoe::inline v0 {

/// The auxiliary loss of each sequence by itself, averaged over sequences by their tokens:
/// DeepSeek-V3's complementary loss (arXiv 2412.19437, eq. 17 to 20) and Megatron's seq_aux_loss.
/// Every choice counts, before drops. With one sequence it is `auxiliary_loss` on the batch; a
/// rank's value times its share of all tokens sums to the job's.
class sequence_auxiliary_loss {
  public:
    /// Throws argument_error unless both options are finite and >= 0.
    explicit sequence_auxiliary_loss(auxiliary_options options = {}) : each_(options) {}

    /// From `decided.probabilities` `[T, n]` and `decided.chosen` `[T, k]`. Throws argument_error
    /// where `decided` lacks either or `sequences` has another number of tokens.
    template <class Real>
    double value(const basic_routing<Real>& decided, const token_sequences& sequences,
                 rank_id rank = no_rank) const {
        const tally counted = count(decided, sequences, rank);
        double sum = 0;
        for (std::size_t s = 0; s < sequences.sequence_count(); ++s)
            sum += share(sequences, s) * each_.value(counted.mean_of(s), counted.load_of(s), rank);
        return sum;
    }

    /// Adds `scale` times d value / d probabilities to `grad_probabilities` `[T, n]`.
    template <class Real>
    void add_gradient(const basic_routing<Real>& decided, const token_sequences& sequences,
                      double scale, matrix_view<Real> grad_probabilities,
                      rank_id rank = no_rank) const {
        const std::size_t n = decided.expert_count;
        detail::check_shape("sequence_auxiliary_loss", "grad_probabilities", grad_probabilities,
                            decided.token_count, n, rank);
        const tally counted = count(decided, sequences, rank);
        std::vector<double> grad(counted.mean.size(), 0.0);
        for (std::size_t s = 0; s < sequences.sequence_count(); ++s)
            each_.add_gradient(counted.load_of(s),
                               scale / static_cast<double>(sequences.token_count()),
                               std::span(grad).subspan(s * n, n), rank);
        for (std::size_t t = 0; t < decided.token_count; ++t)
            for (std::size_t i = 0; i < n; ++i)
                grad_probabilities(t, i) +=
                    static_cast<Real>(grad[sequences.sequence_of(t) * n + i]);
    }

  private:
    struct tally {
        std::size_t n;
        std::vector<double> mean;        // [S, n]
        std::vector<std::int64_t> load;  // [S, n]

        std::span<const double> mean_of(std::size_t s) const { return {mean.data() + s * n, n}; }
        std::span<const std::int64_t> load_of(std::size_t s) const {
            return {load.data() + s * n, n};
        }
    };

    static double share(const token_sequences& sequences, std::size_t s) {
        return static_cast<double>(sequences.length_of(s)) /
               static_cast<double>(sequences.token_count());
    }

    template <class Real>
    static tally count(const basic_routing<Real>& decided, const token_sequences& sequences,
                       rank_id rank) {
        using detail::concat;
        const std::size_t n = decided.expert_count;
        const std::size_t k = decided.choice_count;
        const auto check = [&](const char* what, std::size_t want, std::size_t got) {
            if (got != want)
                detail::throw_argument("sequence_auxiliary_loss", what, concat(want), concat(got),
                                       rank);
        };
        check("decided.probabilities.size()", decided.token_count * n,
              decided.probabilities.size());
        check("decided.chosen.size()", decided.token_count * k, decided.chosen.size());
        check("sequences.token_count()", decided.token_count, sequences.token_count());

        const std::size_t cells = sequences.sequence_count() * n;
        tally counted{n, std::vector<double>(cells, 0.0), std::vector<std::int64_t>(cells, 0)};
        for (std::size_t t = 0; t < decided.token_count; ++t) {
            const std::size_t row = sequences.sequence_of(t) * n;
            const auto length = static_cast<double>(sequences.length_of(sequences.sequence_of(t)));
            for (std::size_t i = 0; i < n; ++i)
                counted.mean[row + i] +=
                    static_cast<double>(decided.probabilities[t * n + i]) / length;
            for (std::size_t slot = 0; slot < k; ++slot) {
                const expert_id e = decided.chosen[t * k + slot];
                if (e == no_expert) continue;
                if (e < 0 || static_cast<std::size_t>(e) >= n)
                    detail::throw_argument("sequence_auxiliary_loss", concat("expert of token ", t),
                                           concat("0 to n - 1 with n = ", n), concat(e), rank);
                ++counted.load[row + static_cast<std::size_t>(e)];
            }
        }
        return counted;
    }

    auxiliary_loss each_;
};

}  // namespace locmoe
