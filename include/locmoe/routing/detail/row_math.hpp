#pragma once

#include <cstddef>

#include "locmoe/core/element.hpp"

namespace locmoe::inline v0::detail {

template <class Real, element E>
constexpr Real as_real(E value) {
    return static_cast<Real>(element_traits<E>::load(value));
}

/// Sums are kept in this many interleaved parts: floating-point addition may not be reordered, so a
/// single part would forbid vector instructions. The order depends on the length alone.
inline constexpr std::size_t sum_parts = 16;

template <class Real, element E>
[[gnu::always_inline]] inline Real row_sum(const E* x, std::size_t count) {
    Real part[sum_parts] = {};
    std::size_t j = 0;
    for (; j + sum_parts <= count; j += sum_parts)
        for (std::size_t p = 0; p < sum_parts; ++p) part[p] += as_real<Real>(x[j + p]);
    Real sum = 0;
    for (; j < count; ++j) sum += as_real<Real>(x[j]);
    for (const Real p : part) sum += p;
    return sum;
}

/// The sum of interleaved parts, as vectors add up fastest: those half of all apart, then those a
/// quarter apart, and so on. The parts are used up.
template <class Real, std::size_t Parts>
[[gnu::always_inline]] inline Real sum_halves(Real (&part)[Parts]) {
    for (std::size_t half = Parts / 2; half != 0; half /= 2)
        for (std::size_t p = 0; p < half; ++p) part[p] += part[p + half];
    return part[0];
}

template <class Real>
Real row_dot(const Real* x, const Real* y, std::size_t count) {
    Real part[sum_parts] = {};
    std::size_t j = 0;
    for (; j + sum_parts <= count; j += sum_parts)
        for (std::size_t p = 0; p < sum_parts; ++p) part[p] += x[j + p] * y[j + p];
    Real sum = 0;
    for (; j < count; ++j) sum += x[j] * y[j];
    for (const Real p : part) sum += p;
    return sum;
}

/// y += a x
template <class Real>
void row_add_scaled(Real* y, Real a, const Real* x, std::size_t count) {
    for (std::size_t j = 0; j < count; ++j) y[j] += a * x[j];
}

}  // namespace locmoe::detail
