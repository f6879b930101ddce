#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "locmoe/core/error.hpp"
#include "locmoe/core/ids.hpp"
#include "locmoe/core/matrix_view.hpp"

namespace locmoe::inline v0 {

/// How well tokens and experts find one another, for `choice_odds` (capacity/success_rates.hpp).
struct resonance_odds {
    std::vector<double> right;  ///< p [n]: chance that a right token chooses expert i
    std::vector<double> wrong;  ///< q [n]: chance that a wrong token beats a right one at expert i
};

/// Counts both chances in a batch whose right experts are known (from a later, converged routing,
/// or from labels): `affinities` `[T, n]`, `right` `[T]`, `chosen` `[T, k]` by token choice. An
/// expert without a right token has p = q = 0. Throws argument_error where the sizes disagree.
/// O(T^2): to be called now and then, not at each step.
template <class Real>
resonance_odds measure_odds(matrix_view<const Real> affinities, std::span<const expert_id> right,
                            std::span<const expert_id> chosen) {
    using detail::concat;
    const std::size_t T = affinities.rows, n = affinities.cols;
    if (right.size() != T)
        detail::throw_argument("measure_odds", "right", concat("T = ", T, " experts"),
                               concat(right.size()));
    if (T != 0 && chosen.size() % T != 0)
        detail::throw_argument("measure_odds", "chosen", concat("T = ", T, " times k experts"),
                               concat(chosen.size()));
    resonance_odds odds{std::vector<double>(n, 0.0), std::vector<double>(n, 0.0)};
    const std::size_t k = T == 0 ? 0 : chosen.size() / T;
    std::vector<double> count(n, 0.0);
    for (std::size_t t = 0; t < T; ++t) {
        if (right[t] < 0 || static_cast<std::size_t>(right[t]) >= n)
            detail::throw_argument("measure_odds", concat("right expert of token ", t),
                                   concat("0 to ", n - 1), concat(right[t]));
        const auto i = static_cast<std::size_t>(right[t]);
        count[i] += 1;
        for (std::size_t s = 0; s < k; ++s) odds.right[i] += chosen[t * k + s] == right[t];
        for (std::size_t u = 0; u < T; ++u)
            odds.wrong[i] += right[u] != right[t] && affinities(u, i) > affinities(t, i);
    }
    for (std::size_t i = 0; i < n; ++i) {
        const double wrong = static_cast<double>(T) - count[i];
        if (count[i] > 0) odds.right[i] /= count[i];
        if (count[i] > 0 && wrong > 0) odds.wrong[i] /= count[i] * wrong;
    }
    return odds;
}

}  // namespace locmoe
