#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "locmoe/routing/detail/row_math.hpp"

namespace locmoe::inline v0::detail {

// e^x = 2^w e^r, with a whole w and r within half of ln 2, by a polynomial of degree 5 that is off
// by 9e-8 at most. Products are fused with what is added: it takes fewer operations, and the one
// rounding is the same in every instruction set, for std::fma is right where a processor has none.
inline constexpr float exp_least = -87.3f;       // below, the result is no normal float
inline constexpr float exp_log2 = 1.44269504f;   // 1 / ln 2
inline constexpr float exp_shifter = 0x1.8p23f;  // adding it rounds to a whole, in the low bits
inline constexpr float exp_ln2 = 0.693147182f;   // a float, and so
inline constexpr float exp_ln2_over = 1.90465430e-9f;  // too large
inline constexpr float exp_factors[] = {0x1.0fa7fcp-7f, 0x1.573aap-5f, 0x1.555a6cp-3f,
                                        0x1.fffdc4p-2f, 0x1.fffff6p-1f, 1.0f};

/// e^x, within 2e-7 of itself wherever the result is a normal float; 0 below that, 2.4e38 from
/// x = 88.3 on, NaN of NaN. Without branches and tables, selections as masks, so that compilers
/// make vector instructions of a loop over it; of the standard's expf they do not. All of this
/// header is inlined, so that `widest_fused` widens it.
[[gnu::always_inline]] inline float fast_exp(float x) {
    const auto bits = [](float v) { return std::bit_cast<std::uint32_t>(v); };
    const auto mask = [](bool b) { return 0u - static_cast<std::uint32_t>(b); };
    const std::uint32_t above = mask(x > exp_least), below = mask(x < 88.3f), nan = mask(x != x);
    const float y = std::bit_cast<float>(bits(x) & above & below);
    const float shifted = std::fma(y, exp_log2, exp_shifter);
    const float whole = shifted - exp_shifter;
    const float r = std::fma(whole, exp_ln2_over, std::fma(whole, -exp_ln2, y));
    float p = exp_factors[0];
    p = std::fma(p, r, exp_factors[1]);
    p = std::fma(p, r, exp_factors[2]);
    p = std::fma(p, r, exp_factors[3]);
    p = std::fma(p, r, exp_factors[4]);
    p = std::fma(p, r, exp_factors[5]);
    const float result = p * std::bit_cast<float>((bits(shifted) + 127u) << 23);
    return std::bit_cast<float>((bits(result) & above & below) | (bits(2.4e38f) & ~below & ~nan) |
                                (bits(x) & nan));
}

/// In double the standard's own: gradient checks and whoever asks for digits.
[[gnu::always_inline]] inline double fast_exp(double x) {
    return std::exp(x);
}

/// x_j becomes e^(a x_j + b), where a is 1 or -1, so that the product is exact; returns their sum.
template <class Real>
[[gnu::always_inline]] inline Real row_exp(Real* x, Real a, Real b, std::size_t count) {
    Real part[sum_parts] = {};
    std::size_t j = 0;
    for (; j + sum_parts <= count; j += sum_parts) {
        for (std::size_t p = 0; p < sum_parts; ++p) x[j + p] = fast_exp(a * x[j + p] + b);
        for (std::size_t p = 0; p < sum_parts; ++p) part[p] += x[j + p];
    }
    for (std::size_t p = 0; j + p < count; ++p) {
        x[j + p] = fast_exp(a * x[j + p] + b);
        part[p] += x[j + p];
    }
    return sum_halves(part);
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
