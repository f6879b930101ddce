#pragma once

#include <cmath>
#include <cstddef>
#include <optional>
#include <span>

#include "locmoe/core/error.hpp"

// Expert-Token Resonance (arXiv 2406.00023) on who should choose. Of the s tokens of a sample one
// is right for each expert. With chance p_i it chooses expert i; a wrong token beats it there with
// chance q_i. A step succeeds where the right token is among the C that the expert processes.

namespace locmoe::inline v0 {

/// What the success rates are functions of.
struct choice_odds {
    std::size_t token_count = 0;    ///< s, at least 2
    std::size_t capacity = 0;       ///< C
    std::span<const double> right;  ///< p_i, [n]
    std::span<const double> wrong;  ///< q_i, [n]
};

namespace detail {

inline void check_odds(const char* function, const choice_odds& odds) {
    if (odds.token_count < 2)
        throw_argument(function, "token_count", "at least 2", concat(odds.token_count));
    if (odds.right.empty() || odds.right.size() != odds.wrong.size())
        throw_argument(function, "right, wrong", "n >= 1 chances each",
                       concat(odds.right.size(), ", ", odds.wrong.size()));
    for (const auto chances : {odds.right, odds.wrong})
        for (const double p : chances)
            if (!(p >= 0 && p <= 1))
                throw_argument(function, "right, wrong", "chances from 0 to 1", concat(p));
}

}  // namespace detail

/// Tokens choose, and of those that chose an expert the first C are kept: C sum(p_i) / s. An
/// approximation for C well below s; taken as 1 where it passes that. Throws argument_error where
/// s < 2, the spans differ in length or are empty, or a chance is not in [0, 1].
inline double token_choice_success(const choice_odds& odds) {
    detail::check_odds("token_choice_success", odds);
    double sum = 0;
    for (const double p : odds.right) sum += p;
    const double rate =
        static_cast<double>(odds.capacity) * sum / static_cast<double>(odds.token_count);
    return rate < 1 ? rate : 1;
}

/// Experts choose the C tokens of the highest affinity: at most mean exp(-(s-1) q_i / 8) where C <=
/// (s-1) q_i / 2 for every expert, the early state of training. None elsewhere, where the bound
/// does not hold. Throws as token_choice_success does.
inline std::optional<double> expert_choice_at_most(const choice_odds& odds) {
    detail::check_odds("expert_choice_at_most", odds);
    const double others = static_cast<double>(odds.token_count) - 1;
    double sum = 0;
    for (const double q : odds.wrong) {
        if (static_cast<double>(odds.capacity) > others * q / 2) return std::nullopt;
        sum += std::exp(-others * q / 8);
    }
    return sum / static_cast<double>(odds.wrong.size());
}

/// Experts choose: at least 1 - exp(-3C/16) where C >= 2 s q_i for every expert, the late state.
/// None elsewhere. Throws as token_choice_success does.
inline std::optional<double> expert_choice_at_least(const choice_odds& odds) {
    detail::check_odds("expert_choice_at_least", odds);
    const double c = static_cast<double>(odds.capacity);
    for (const double q : odds.wrong)
        if (c < 2 * static_cast<double>(odds.token_count) * q) return std::nullopt;
    return -std::expm1(-3 * c / 16);
}

/// Who is certain to succeed more often: `better_choice` says it.
enum class choosing {
    tokens,    ///< token choice succeeds more often
    experts,   ///< expert choice does
    undecided  ///< the bounds do not tell
};

/// Who succeeds more often for certain: tokens where expert choice's upper bound lies below their
/// rate, experts where its lower bound lies above, undecided between. Throws as
/// token_choice_success does.
inline choosing better_choice(const choice_odds& odds) {
    const double tokens = token_choice_success(odds);
    const auto most = expert_choice_at_most(odds);
    if (most && *most < tokens) return choosing::tokens;
    const auto least = expert_choice_at_least(odds);
    if (least && *least > tokens) return choosing::experts;
    return choosing::undecided;
}

/// The point to switch from token choice to expert choice: once every q_i has fallen to this,
/// expert choice is certain to succeed more often. C / (2 s), at most 1; none where token choice is
/// as good as the bound even then. `odds.wrong` is checked but does not matter. Throws as
/// token_choice_success does.
inline std::optional<double> switch_over(const choice_odds& odds) {
    const double tokens = token_choice_success(odds);
    const double c = static_cast<double>(odds.capacity);
    if (!(-std::expm1(-3 * c / 16) > tokens)) return std::nullopt;
    const double q = c / (2 * static_cast<double>(odds.token_count));
    return q < 1 ? q : 1;
}

}  // namespace locmoe
