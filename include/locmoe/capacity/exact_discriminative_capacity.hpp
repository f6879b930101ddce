#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include <boost/math/special_functions/beta.hpp>

#include "locmoe/capacity/exact_capacity.hpp"
#include "locmoe/core/error.hpp"

// Asks for Boost.Math's headers, so locmoe.hpp leaves it out.

namespace locmoe::inline v0 {

/// An expert wants to see `token_count` class-discriminative tokens, and not to miss that more
/// often than `failure`. `share` is the chance that a token at the expert is one: n p_delta under
/// the theorem's assumptions (`discriminative_share`), or a share that was measured.
struct discriminative_demand {
    double share = 0;              ///< above 0, at most 1
    std::int64_t token_count = 1;  ///< m
    double failure = 0.01;         ///< eps, above 0 and below 1
};

/// min(1, n p_delta), in the exact form: the paper's upper bound of the share, so that a capacity
/// that follows from it is a lower bound. 0 where p_delta underflows a double. Throws as
/// log_p_delta_exact does, and where n is zero.
inline double discriminative_share(const token_angle& angle, std::size_t expert_count) {
    const double log_slots = least_capacity_exact(angle, expert_count).log_slots;
    return log_slots > 0 ? std::exp(-log_slots) : 1;
}

/// The probability that fewer than m of `slots` tokens are class-discriminative: the negative
/// binomial's tail, I_{1-q}(slots - m + 1, m). Throws argument_error where the share is not in (0,
/// 1], m < 1, or there are fewer than 0 slots.
inline double chance_of_too_few(const discriminative_demand& wanted, std::int64_t slots) {
    using detail::concat;
    const char* function = "chance_of_too_few";
    if (!(wanted.share > 0 && wanted.share <= 1))
        detail::throw_argument(function, "share", "above 0 and at most 1", concat(wanted.share));
    if (wanted.token_count < 1)
        detail::throw_argument(function, "token_count", "at least 1", concat(wanted.token_count));
    if (slots < 0) detail::throw_argument(function, "slots", "at least 0", concat(slots));
    if (slots < wanted.token_count) return 1;
    if (wanted.share == 1) return 0;
    return boost::math::ibetac(static_cast<double>(wanted.token_count),
                               static_cast<double>(slots - wanted.token_count + 1), wanted.share);
}

/// The least capacity with which an expert sees at least m class-discriminative tokens with
/// probability 1 - failure: exact for tokens that are drawn independently. The paper's 1 / (n p)
/// slots hold one in expectation, and none at all in 1 of e batches; this is what to ask for
/// instead. 2^53 where the true number is that or more, as counts are no exact doubles there.
/// Throws as chance_of_too_few does, and where `failure` is not strictly between 0 and 1.
inline std::int64_t capacity_to_see(const discriminative_demand& wanted) {
    if (!(wanted.failure > 0 && wanted.failure < 1))
        detail::throw_argument("capacity_to_see", "failure", "above 0 and below 1",
                               detail::concat(wanted.failure));
    constexpr std::int64_t limit = std::int64_t{1} << 53;
    const auto enough = [&](std::int64_t slots) {
        return chance_of_too_few(wanted, slots) <= wanted.failure;
    };
    std::int64_t most = wanted.token_count;
    std::int64_t least = most;
    while (!enough(most)) {
        if (most >= limit) return limit;
        least = most + 1;
        most = most < limit / 2 ? 2 * most : limit;
    }
    while (least < most) {
        const std::int64_t middle = least + (most - least) / 2;
        if (enough(middle))
            most = middle;
        else
            least = middle + 1;
    }
    return least;
}

}  // namespace locmoe
