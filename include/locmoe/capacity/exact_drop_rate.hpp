#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

#include <boost/math/special_functions/beta.hpp>

#include "locmoe/capacity/drop_rate.hpp"
#include "locmoe/core/error.hpp"

// Asks for Boost.Math's headers, so locmoe.hpp leaves it out.

namespace locmoe::inline v0 {

/// Batches yet to come: `pair_count` (token, choice) pairs, each of which goes to expert i with
/// chance load[i] / sum(load), on its own. The loads of the next batch are then multinomial, that
/// of one expert binomial. Tokens of one text are alike, so that real loads spread more than this:
/// take its drop rates as the least to expect.
struct expected_load {
    std::span<const std::int64_t> load;  ///< [n], observed, of any number of pairs
    std::int64_t pair_count = 0;         ///< of one batch to come: T k
};

/// Between these two lies a probability.
struct probability_bounds {
    double least = 0;  ///< the lower bound
    double most = 0;   ///< the upper bound, at most 1
};

namespace detail {

/// P(X > c) for X binomial(n, p).
inline double binomial_tail(std::int64_t n, double p, std::int64_t c) {
    if (c >= n || p <= 0) return 0;
    if (p >= 1) return 1;
    return boost::math::ibeta(static_cast<double>(c + 1), static_cast<double>(n - c), p);
}

inline double binomial_mass(std::int64_t n, double p, std::int64_t k) {
    return boost::math::ibeta_derivative(static_cast<double>(k + 1), static_cast<double>(n - k + 1),
                                         p) /
           (static_cast<double>(n) + 1);
}

/// E max(0, X - c) for X binomial(n, p), by
///     E[X; X > c] = n p P(X > c) + (c + 1)(1 - p) P(X = c + 1).
/// Above the mean the two terms cancel, by three digits at most where the result does not
/// underflow: within 1e-12 of 50 digits for n up to 10^6.
inline double binomial_excess(std::int64_t n, double p, std::int64_t c) {
    if (c >= n || p <= 0) return 0;
    const double slots = static_cast<double>(c);
    const double above = static_cast<double>(n) * p - slots;
    if (p >= 1) return above;
    const double excess =
        above * binomial_tail(n, p, c) + (slots + 1) * (1 - p) * binomial_mass(n, p, c + 1);
    return excess > 0 ? excess : 0;
}

inline double check_expected(const char* function, const expected_load& expected) {
    const std::int64_t all = check_load(function, expected.load);
    if (all == 0) throw_argument(function, "load", "at least one pair observed", "none");
    if (expected.pair_count < 1)
        throw_argument(function, "pair_count", "at least 1", concat(expected.pair_count));
    return static_cast<double>(all);
}

inline double expected_drops(const expected_load& expected, double all, std::int64_t capacity) {
    double drops = 0;
    for (const std::int64_t l : expected.load)
        drops += binomial_excess(expected.pair_count, static_cast<double>(l) / all, capacity);
    return drops / static_cast<double>(expected.pair_count);
}

}  // namespace detail

/// The expected share of pairs that experts of `capacity` slots drop: exact, as the mean of a sum
/// asks for the binomial loads alone. Throws argument_error where no pair was observed, none is
/// expected, or the capacity or a load is negative.
inline double expected_drop_fraction(const expected_load& expected, std::int64_t capacity) {
    const double all = detail::check_expected("expected_drop_fraction", expected);
    if (capacity < 0)
        detail::throw_argument("expected_drop_fraction", "capacity", "at least 0",
                               detail::concat(capacity));
    return detail::expected_drops(expected, all, capacity);
}

/// The probability that a batch drops anything, which is that of the greatest of multinomial loads
/// passing the capacity. It lies between 1 - prod(1 - t_i), as these loads are negatively
/// associated (Mallows 1968), and sum(t_i), t_i being expert i's binomial tail: two bounds that
/// meet where drops are rare. Throws as expected_drop_fraction does.
inline probability_bounds any_drop_probability(const expected_load& expected,
                                               std::int64_t capacity) {
    const double all = detail::check_expected("any_drop_probability", expected);
    if (capacity < 0)
        detail::throw_argument("any_drop_probability", "capacity", "at least 0",
                               detail::concat(capacity));
    double log_none = 0;
    double sum = 0;
    for (const std::int64_t l : expected.load) {
        const double tail =
            detail::binomial_tail(expected.pair_count, static_cast<double>(l) / all, capacity);
        log_none += std::log1p(-tail);
        sum += tail;
    }
    return {-std::expm1(log_none), sum < 1 ? sum : 1};
}

/// The least capacity whose expected drop fraction is at most `rate`; over pair_count / n it is the
/// capacity factor. Throws as expected_drop_fraction does, and where `rate` is not in [0, 1].
inline std::int64_t capacity_for_expected_drop_rate(const expected_load& expected, double rate) {
    const double all = detail::check_expected("capacity_for_expected_drop_rate", expected);
    detail::check_rate("capacity_for_expected_drop_rate", rate);
    std::int64_t least = 0;
    std::int64_t most = expected.pair_count;  // drops nothing
    while (least < most) {
        const std::int64_t middle = least + (most - least) / 2;
        if (detail::expected_drops(expected, all, middle) <= rate)
            most = middle;
        else
            least = middle + 1;
    }
    return least;
}

}  // namespace locmoe
