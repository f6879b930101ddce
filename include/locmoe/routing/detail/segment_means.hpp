#pragma once

#include <bit>
#include <cstddef>
#include <cstring>
#include <type_traits>

#include "locmoe/core/detail/lanes.hpp"
#include "locmoe/core/element.hpp"
#include "locmoe/core/matrix_view.hpp"
#include "locmoe/routing/detail/eight_rows.hpp"
#include "locmoe/routing/detail/grap_segment.hpp"
#include "locmoe/routing/detail/row_math.hpp"

namespace locmoe::inline v0::detail {

/// A segment's sum in one order, which the vectors below keep: number j belongs to part j mod 8,
/// and `sum_halves` adds up the parts. (Minus zero is the zero that changes no number.)
inline constexpr std::size_t segment_parts = 8;

template <class Real, class E>
Real segment_sum(const E* x, std::size_t length) {
    Real part[segment_parts];
    for (Real& p : part) p = Real(-0.0);
    std::size_t j = 0;
    for (; j + segment_parts <= length; j += segment_parts)
        for (std::size_t p = 0; p < segment_parts; ++p) part[p] += as_real<Real>(x[j + p]);
    for (std::size_t p = 0; j + p < length; ++p) part[p] += as_real<Real>(x[j + p]);
    return sum_halves(part);
}

template <class Real, class E>
void segment_means_plain(const E* x, std::size_t length, std::size_t count, Real* means) {
    for (std::size_t i = 0; i < count; ++i)
        means[i] = segment_sum<Real>(x + i * length, length) / static_cast<Real>(length);
}

#if LOCMOE_HAS_EIGHT_ROWS

/// The parts of one segment whose length is no multiple of 8. `end`: of all that may be read.
template <class E>
[[gnu::always_inline]] inline void segment_part(const E* x, std::size_t length, const E* end,
                                                float_rows& part) {
    const int_rows place = {0, 1, 2, 3, 4, 5, 6, 7};
    const float_rows none = float_rows{} * -1.0f;
    const std::size_t left = length % row_lanes;
    float_rows numbers;
    part = none;
    for (std::size_t j = 0; j + row_lanes <= length; j += row_lanes) {
        load_lanes<row_lanes>(x + j, numbers);
        part += numbers;
    }
    // What lies behind the segment is read with it, but nothing behind the last.
    x += length - left;
    E copy[row_lanes] = {};
    if (end - x < static_cast<std::ptrdiff_t>(row_lanes)) {
        for (std::size_t i = 0; i < left; ++i) copy[i] = x[i];
        x = copy;
    }
    load_lanes<row_lanes>(x, numbers);
    part += place < static_cast<std::int32_t>(left) ? numbers : none;
}

/// The parts of eight segments of a multiple of 8 numbers: of `Length`, or 0 for any. One segment
/// after the other, as they lie in memory: so it is read fastest.
template <std::size_t Length, class E>
[[gnu::always_inline]] inline void whole_parts(const E* x, std::size_t length,
                                               float_rows (&parts)[row_lanes]) {
    if constexpr (Length != 0) length = Length;
#pragma GCC unroll 8
    for (std::size_t i = 0; i < row_lanes; ++i) {
        load_lanes<row_lanes>(x + i * length, parts[i]);
#pragma GCC unroll 4
        for (std::size_t j = row_lanes; j < length; j += row_lanes) {
            float_rows numbers;
            load_lanes<row_lanes>(x + i * length + j, numbers);
            parts[i] += numbers;
        }
    }
}

/// Means of eight segments side by side. `end`: of all that may be read.
template <class E>
[[gnu::always_inline]] inline void eight_means(const E* x, std::size_t length, const E* end,
                                               float* means) {
    float_rows sums, parts[row_lanes];
    if (length == row_lanes / 2) {  // two a vector
#pragma GCC unroll 4
        for (std::size_t i = 0; i < 4; ++i) load_lanes<row_lanes>(x + i * row_lanes, parts[i]);
        add_halves(parts, sums);  // of 0, 2, 4, 6, and of 1, 3, 5, 7
        sums = __builtin_shufflevector(sums, sums, 0, 4, 1, 5, 2, 6, 3, 7);
    } else {
        if (length == 2 * row_lanes)
            whole_parts<2 * row_lanes>(x, length, parts);
        else if (length % row_lanes == 0)
            whole_parts<0>(x, length, parts);
        else
            for (std::size_t i = 0; i < row_lanes; ++i)
                segment_part(x + i * length, length, end, parts[i]);
        add_across(parts, sums);
    }
    // A division takes as long as all else of a short segment, and by a power of 2 it is exact.
    if (std::has_single_bit(length))
        sums *= 1.0f / static_cast<float>(length);
    else
        sums /= static_cast<float>(length);
    std::memcpy(means, &sums, sizeof sums);
}

template <class E>
[[gnu::always_inline]] inline void segment_means_wide(const E* x, std::size_t length,
                                                      std::size_t count, float* means) {
    // The last eight may overlap those before: the same means again.
    for (std::size_t i = 0; i < count; i += row_lanes) {
        const std::size_t first = i + row_lanes <= count ? i : count - row_lanes;
        eight_means(x + first * length, length, x + count * length, means + first);
    }
}

#endif

/// means `[count]` of as many contiguous segments of one length.
template <class Real, class E>
void segment_means(const E* x, std::size_t length, std::size_t count, Real* means) {
#if LOCMOE_HAS_EIGHT_ROWS
    if constexpr (std::is_same_v<Real, float> && std::is_same_v<sum_type_t<E>, float>)
        if (count >= row_lanes && has_eight_rows())
            return in_eight_rows<segment_means_wide<E>>(x, length, count, means);
#endif
    segment_means_plain(x, length, count, means);
}

}  // namespace locmoe::detail
