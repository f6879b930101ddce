#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "locmoe/routing/detail/row_math.hpp"

namespace locmoe::inline v0::detail {

/// e^x, within 2e-7 of itself wherever the result is a normal float; 0 below that, 2.4e38 from
/// x = 88.3 on, NaN of NaN. Cephes' expf (Moshier) without branches and tables, selections as
/// masks, so that compilers make vector instructions of a loop over it; of the standard's expf they
/// do not. All of this header is inlined, so that `widest` widens it.
[[gnu::always_inline]] inline float fast_exp(float x) {
    const auto bits = [](float v) { return std::bit_cast<std::uint32_t>(v); };
    const auto mask = [](bool b) { return 0u - static_cast<std::uint32_t>(b); };
    const std::uint32_t above = mask(x > -87.3f), below = mask(x < 88.3f), nan = mask(x != x);
    const float y = std::bit_cast<float>(bits(x) & above & below);
    const float shifter = 0x1.8p23f;  // adding it rounds to a whole number, in the low bits
    const float shifted = y * 1.44269504088896341f + shifter;
    const float whole = shifted - shifter;
    const float r = y - whole * 0.693359375f - whole * -2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    const float result = p * std::bit_cast<float>((bits(shifted) + 127u) << 23);
    return std::bit_cast<float>((bits(result) & above & below) | (bits(2.4e38f) & ~below & ~nan) |
                                (bits(x) & nan));
}

/// In double the standard's own: gradient checks and whoever asks for digits.
[[gnu::always_inline]] inline double fast_exp(double x) {
    return std::exp(x);
}

/// x_j becomes e^(a x_j + b); returns their sum.
template <class Real>
[[gnu::always_inline]] inline Real row_exp(Real* x, Real a, Real b, std::size_t count) {
    Real part[sum_parts] = {};
    std::size_t j = 0;
    for (; j + sum_parts <= count; j += sum_parts) {
        for (std::size_t p = 0; p < sum_parts; ++p) x[j + p] = fast_exp(a * x[j + p] + b);
        for (std::size_t p = 0; p < sum_parts; ++p) part[p] += x[j + p];
    }
    Real sum = 0;
    for (; j < count; ++j) {
        x[j] = fast_exp(a * x[j] + b);
        sum += x[j];
    }
    for (const Real p : part) sum += p;
    return sum;
}

/// The largest; `count` > 0. NaN is passed over.
template <class Real>
[[gnu::always_inline]] inline Real row_max(const Real* x, std::size_t count) {
    Real part[sum_parts];
    for (std::size_t p = 0; p < sum_parts; ++p) part[p] = x[0];
    std::size_t j = 0;
    for (; j + sum_parts <= count; j += sum_parts)
        for (std::size_t p = 0; p < sum_parts; ++p)
            part[p] = x[j + p] > part[p] ? x[j + p] : part[p];
    Real highest = x[0];
    for (; j < count; ++j) highest = x[j] > highest ? x[j] : highest;
    for (const Real p : part) highest = p > highest ? p : highest;
    return highest;
}

template <class Real>
[[gnu::always_inline]] inline bool row_is_finite(const Real* x, std::size_t count) {
    Real part[sum_parts] = {};
    std::size_t j = 0;
    for (; j + sum_parts <= count; j += sum_parts)
        for (std::size_t p = 0; p < sum_parts; ++p) part[p] += x[j + p] - x[j + p];
    Real zero = 0;
    for (; j < count; ++j) zero += x[j] - x[j];
    for (const Real p : part) zero += p;
    return zero == Real(0);
}

}  // namespace locmoe::detail
