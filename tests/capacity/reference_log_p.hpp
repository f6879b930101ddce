#pragma once

// What the exact bound is held against, in the tests and in bench/capacity.cpp.

#include <cstddef>

#include <boost/math/constants/constants.hpp>
#include <boost/multiprecision/cpp_bin_float.hpp>

namespace reference {

using digits60 = boost::multiprecision::number<boost::multiprecision::cpp_bin_float<60>>;

/// log(1 - I_x(1/2, b)) in 60 digits, by
///     I_x(a, b) = x^a (1-x)^b / (a B(a, b)) sum_m (a+b)_m / (a+1)_m x^m
/// whose terms are all positive, taken from whichever end does not cancel, and
/// B(1/2, b + 1) = B(1/2, b) b / (b + 1/2) from B(1/2, 1/2) = pi or B(1/2, 1) = 2.
inline digits60 reference_log_p(std::size_t d, double delta) {
    const digits60 half = 0.5;
    const digits60 b = digits60(d - 1) / 2;
    const digits60 x = digits60(delta) * delta;
    const digits60 y = 1 - x;
    digits60 beta = d % 2 == 0 ? boost::math::constants::pi<digits60>() : digits60(2);
    for (digits60 c = d % 2 == 0 ? half : digits60(1); c < b; c += 1) beta *= c / (c + half);

    const bool from_tail = x * b > 20 || x > half;
    const digits60 near = from_tail ? b : half;
    const digits60 z = from_tail ? y : x;
    digits60 term = 1;
    digits60 sum = 1;
    for (digits60 m = 0;; m += 1) {
        const digits60 ratio = z * (half + b + m) / (near + 1 + m);
        term *= ratio;
        sum += term;
        if (ratio < 1 && term < sum * (1 - ratio) * digits60(1e-40)) break;
    }
    const digits60 log_end = log(sum) + b * log(y) + half * log(x) - log(near * beta);
    return from_tail ? log_end : digits60(log1p(-exp(log_end)));
}

}  // namespace reference
