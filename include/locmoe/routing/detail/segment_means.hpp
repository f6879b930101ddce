#pragma once

#include <bit>
#include <cstddef>
#include <cstring>
#include <type_traits>

#include "locmoe/core/detail/fetch_line.hpp"
#include "locmoe/core/detail/lanes.hpp"
#include "locmoe/core/element.hpp"
#include "locmoe/core/matrix_view.hpp"
#include "locmoe/routing/detail/eight_rows.hpp"
#include "locmoe/routing/detail/grap_segment.hpp"
#include "locmoe/routing/detail/row_math.hpp"

namespace locmoe::inline v0::detail {

template <class Real, class E>
void segment_means_plain(const E* x, std::size_t length, std::size_t count, Real* means) {
    for (std::size_t i = 0; i < count; ++i)
        means[i] = row_sum<Real>(x + i * length, length) / static_cast<Real>(length);
}

#if LOCMOE_HAS_EIGHT_ROWS

/// Means of eight segments side by side, each summed as `row_sum` does it: what is left over 16
/// interleaved parts first, then the parts, in their order.
template <class E>
[[gnu::always_inline]] inline void eight_means(const E* x, std::size_t length, float* means) {
    const std::size_t left = length % sum_parts, whole = length - left;
    float_rows sums = {};
    add_columns(x + whole, length, left - left % 4, sums);
    for (std::size_t j = length - left % 4; j < length; ++j) {
        float column[row_lanes];
        for (std::size_t i = 0; i < row_lanes; ++i) column[i] = as_real<float>(x[i * length + j]);
        float_rows numbers;
        std::memcpy(&numbers, column, sizeof column);
        sums += numbers;
    }
    if (whole == sum_parts) {
        add_columns(x, length, sum_parts, sums);
    } else if (whole != 0) {
        float parts[row_lanes * sum_parts];
        // One segment after the other, as they lie in memory: so it is read fastest.
        for (std::size_t i = 0; i < row_lanes; ++i) {
            float_rows part[2] = {};
            for (std::size_t j = 0; j < whole; j += sum_parts)
#pragma GCC unroll 2
                for (std::size_t p = 0; p < 2; ++p) {
                    float_rows numbers;
                    load_lanes<row_lanes>(x + i * length + j + p * row_lanes, numbers);
                    part[p] += numbers;
                }
#pragma GCC unroll 2
            for (std::size_t p = 0; p < 2; ++p)  // each by itself: they stay in registers
                std::memcpy(parts + i * sum_parts + p * row_lanes, &part[p], sizeof part[p]);
        }
        add_columns(parts, sum_parts, sum_parts, sums);
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
                                                      std::size_t count, float* means,
                                                      const E* ahead) {
    // The last eight may overlap those before: the same means again.
    for (std::size_t i = 0; i < count; i += row_lanes) {
        const std::size_t first = i + row_lanes <= count ? i : count - row_lanes;
        fetch_lines(ahead + first * length, row_lanes * length * sizeof(E));
        eight_means(x + first * length, length, means + first);
    }
}

#endif

/// means `[count]` of as many contiguous segments of one length; meanwhile the same bytes of
/// `ahead` are fetched.
template <class Real, class E>
void segment_means(const E* x, std::size_t length, std::size_t count, Real* means,
                   [[maybe_unused]] const E* ahead) {
#if LOCMOE_HAS_EIGHT_ROWS
    if constexpr (std::is_same_v<Real, float> && std::is_same_v<sum_type_t<E>, float>)
        if (count >= row_lanes && has_eight_rows())
            return in_eight_rows<segment_means_wide<E>>(x, length, count, means, ahead);
#endif
    segment_means_plain(x, length, count, means);
}

}  // namespace locmoe::detail
