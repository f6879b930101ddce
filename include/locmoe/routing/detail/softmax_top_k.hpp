#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <limits>
#include <span>

#include "locmoe/core/detail/fetch_line.hpp"
#include "locmoe/core/detail/lanes.hpp"
#include "locmoe/core/ids.hpp"
#include "locmoe/routing/detail/eight_rows.hpp"
#include "locmoe/routing/detail/row_exp.hpp"
#include "locmoe/routing/detail/row_math.hpp"

namespace locmoe::inline v0::detail {

#if LOCMOE_HAS_EIGHT_ROWS

/// `fast_exp` of 32 numbers that are at most 0, by the same operations.
[[gnu::target("avx2,fma"), gnu::always_inline]] inline void exp_lanes(float_rows (&x)[4]) {
    constexpr std::size_t chains = 4;
    int_rows above[chains];
    float_rows shifted[chains], r[chains], p[chains];
#pragma GCC unroll 4
    for (std::size_t i = 0; i < chains; ++i) {
        above[i] = x[i] > exp_least;  // what becomes of the others is thrown away
        shifted[i] = fused(x[i], float_rows{} + exp_log2, float_rows{} + exp_shifter);
    }
#pragma GCC unroll 4
    for (std::size_t i = 0; i < chains; ++i) {
        const float_rows whole = shifted[i] - exp_shifter;
        r[i] = fused(whole, float_rows{} - exp_ln2, x[i]);
        r[i] = fused(whole, float_rows{} + exp_ln2_over, r[i]);
        p[i] = float_rows{} + exp_factors[0];
    }
#pragma GCC unroll 5
    for (std::size_t f = 1; f < 6; ++f)
#pragma GCC unroll 4
        for (std::size_t i = 0; i < chains; ++i)
            p[i] = fused(p[i], r[i], float_rows{} + exp_factors[f]);
#pragma GCC unroll 4
    for (std::size_t i = 0; i < chains; ++i) {
        // Times a power of 2, by its exponent: the results are normal numbers.
        const int_rows power = reinterpret_cast<int_rows>(shifted[i]) << 23;
        x[i] = reinterpret_cast<float_rows>((reinterpret_cast<int_rows>(p[i]) + power) & above[i]);
    }
}

/// The `k` largest so far of each of eight rows, the largest first, of equals the earlier first.
struct best_of_rows {
    float_rows* value;
    int_rows* index;
    std::size_t k;

    [[gnu::always_inline]] void start() const {
        for (std::size_t s = 0; s < k; ++s) {
            value[s] = float_rows{} - std::numeric_limits<float>::infinity();
            index[s] = int_rows{} + no_expert;
        }
    }
    [[gnu::target("avx2"), gnu::always_inline]] void offer(const float_rows& number,
                                                           const int_rows& place) const {
        float_rows v = number, at = reinterpret_cast<const float_rows&>(place);
        int_rows larger = {};  // from where v belongs on, all move down
        for (std::size_t s = 0; s < k; ++s) {
            const float_rows held = value[s], held_at = reinterpret_cast<float_rows>(index[s]);
            larger |= v > held;
            value[s] = v > held ? v : held;
            v = v > held ? held : v;
            index[s] = reinterpret_cast<int_rows>(select(larger, at, held_at));
            at = select(larger, held_at, at);
        }
    }
};

/// What `top_k` and the softmax need to know of eight rows.
struct rows_chosen {
    static constexpr std::size_t most = 8;  ///< choices
    float_rows value[most];
    int_rows index[most];
};

/// By looking at every number for each of few choices. False where a number is not finite.
template <std::size_t K>
[[gnu::target("avx2,fma"), gnu::always_inline]] inline bool choose_few(const float* first,
                                                                   std::size_t stride,
                                                                   std::size_t n,
                                                                   rows_chosen& out) {
    float_rows value[K], zeros = {};
    int_rows index[K], at = {};
    const best_of_rows best{value, index, K};
    best.start();
    for (std::size_t c = 0; c < n; c += 8) {
        float_rows columns[8];
        load_columns(first + c, stride, columns);
#pragma GCC unroll 8
        for (const float_rows& column : columns) {
            zeros += column - column;
            best.offer(column, at);
            at += 1;
        }
    }
    for (std::size_t s = 0; s < K; ++s) {
        out.value[s] = value[s];
        out.index[s] = index[s];
    }
    return lane_bits(zeros == 0.0f) == 0xff;
}

/// The places of the bits that are set, and how many they are, for each of 256 numbers.
struct bit_places {
    std::int32_t of[256][row_lanes] = {};
    std::uint8_t count[256] = {};

    constexpr bit_places() {
        for (unsigned bits = 0; bits < 256; ++bits)
            for (unsigned b = 0; b < row_lanes; ++b)
                if ((bits >> b & 1) != 0)
                    of[bits][count[bits]++] = static_cast<std::int32_t>(b);
    }
};
inline constexpr bit_places places_of_bits;

/// By the few numbers that reach a threshold, as in `top_k_by_threshold`: the k-th largest of the
/// maxima of 16 interleaved parts, for k up to 8. False where a number is not finite or too many
/// reach it.
[[gnu::target("avx2,fma"), gnu::always_inline]] inline bool choose_by_threshold(
    const float* first, std::size_t stride, std::size_t n, std::size_t k, rows_chosen& out) {
    constexpr float none = -std::numeric_limits<float>::infinity();
    constexpr std::size_t most = 40;
    float maxima[row_lanes * sum_parts];
    float_rows zeros = {};
    for (std::size_t i = 0; i < row_lanes; ++i) {
        float_rows highest[2];
        for (std::size_t p = 0; p < 2; ++p) highest[p] = float_rows{} + none;
        for (std::size_t j = 0; j < n; j += sum_parts)
#pragma GCC unroll 2
            for (std::size_t p = 0; p < 2; ++p) {
                float_rows x;
                std::memcpy(&x, first + i * stride + j + p * row_lanes, sizeof x);
                highest[p] = x > highest[p] ? x : highest[p];
                zeros += x - x;
            }
#pragma GCC unroll 2
        for (std::size_t p = 0; p < 2; ++p)
            std::memcpy(maxima + i * sum_parts + p * row_lanes, &highest[p], sizeof highest[p]);
    }
    if (lane_bits(zeros == 0.0f) != 0xff) return false;
    for (std::size_t s = 0; s < k; ++s) out.value[s] = float_rows{} + none;
    for (std::size_t c = 0; c < sum_parts; c += 4) {
        float_rows columns[4];
        load_columns(maxima + c, sum_parts, columns);
        for (float_rows& v : columns)
            for (std::size_t s = 0; s < k; ++s) {
                const float_rows held = out.value[s];
                out.value[s] = held > v ? held : v;
                v = held < v ? held : v;
            }
    }
    float threshold[row_lanes];
    std::memcpy(threshold, &out.value[k - 1], sizeof threshold);

    constexpr std::size_t room = most + row_lanes;  // whole vectors are written
    std::int32_t index[row_lanes * room] = {}, counts[row_lanes];
    std::size_t longest = 0;
    for (std::size_t i = 0; i < row_lanes; ++i) {
        std::size_t count = 0;
        for (std::size_t j = 0; j < n; j += row_lanes) {
            float_rows x;
            std::memcpy(&x, first + i * stride + j, sizeof x);
            const std::uint32_t reached = lane_bits(x >= threshold[i]);
            int_rows places;
            std::memcpy(&places, places_of_bits.of[reached], sizeof places);
            places += static_cast<std::int32_t>(j);
            std::memcpy(index + i * room + count, &places, sizeof places);
            count += places_of_bits.count[reached];
            if (count > most) return false;
        }
        counts[i] = static_cast<std::int32_t>(count);
        longest = count > longest ? count : longest;
    }
    int_rows left;  // to be offered; what stands past them is some number or other
    std::memcpy(&left, counts, sizeof left);
    longest = (longest + 3) / 4 * 4;
    float value[row_lanes * room];
    for (std::size_t i = 0; i < row_lanes; ++i)
        for (std::size_t c = i * room; c < i * room + longest; ++c)
            value[c] = first[i * stride + static_cast<std::size_t>(index[c])];
    const best_of_rows best{out.value, out.index, k};
    best.start();
    for (std::size_t c = 0; c < longest; c += 4) {
        float_rows values[4], places[4];
        load_columns(value + c, room, values);
        load_columns(reinterpret_cast<const float*>(index + c), room, places);  // moved alone
        for (std::size_t i = 0; i < 4; ++i) {
            best.offer(left > 0 ? values[i] : float_rows{} + none,
                       reinterpret_cast<int_rows>(places[i]));
            left -= 1;
        }
    }
    return true;
}

/// `softmax_row` of eight rows, whose largest numbers are `highest`, with the same bits. Meanwhile
/// it fetches of `soon` what memory delivers in that time, 64 n bytes.
[[gnu::target("avx2,fma"), gnu::always_inline]] inline void softmax_of_eight(
    float* first, std::size_t stride, std::size_t n, const float_rows& highest,
    std::span<const std::byte> soon) {
    constexpr std::size_t lines = 4;
    float_rows sums[row_lanes];
    float top[row_lanes], share[row_lanes];
    std::memcpy(top, &highest, sizeof top);
    for (std::size_t i = 0; i < row_lanes; i += 2) {
        float* const row[2] = {first + i * stride, first + (i + 1) * stride};
        float_rows part[4] = {}, x[4];  // two rows, of each 16 columns at a time
        for (std::size_t j = 0; j < n; j += sum_parts) {
#pragma GCC unroll 4
            for (std::size_t p = 0; p < 4; ++p) {
                std::memcpy(&x[p], row[p / 2] + j + p % 2 * row_lanes, sizeof x[p]);
                x[p] -= top[i + p / 2];
            }
            if (soon.size() >= lines * cache_line) {
                for (std::size_t l = 0; l < lines; ++l) fetch_line(soon.data() + l * cache_line);
                soon = soon.subspan(lines * cache_line);
            }
            exp_lanes(x);
#pragma GCC unroll 4
            for (std::size_t p = 0; p < 4; ++p) {
                std::memcpy(row[p / 2] + j + p % 2 * row_lanes, &x[p], sizeof x[p]);
                part[p] += x[p];
            }
        }
        sums[i] = part[0] + part[1];
        sums[i + 1] = part[2] + part[3];
    }
    float_rows shares;
    add_across(sums, shares);
    shares = 1.0f / shares;
    std::memcpy(share, &shares, sizeof share);
    for (std::size_t i = 0; i < row_lanes; ++i)
        for (std::size_t j = 0; j < n; j += row_lanes) {
            float* at = first + i * stride + j;
            float_rows x;
            std::memcpy(&x, at, sizeof x);
            x *= share[i];
            std::memcpy(at, &x, sizeof x);
        }
}

[[gnu::target("avx2,fma"), gnu::always_inline]] inline bool softmax_top_k_wide(
    float* first, std::size_t stride, std::size_t n, std::size_t k, expert_id* chosen,
    std::span<const std::byte> soon) {
    rows_chosen found;
    const bool done = k == 1   ? choose_few<1>(first, stride, n, found)
                      : k == 2 ? choose_few<2>(first, stride, n, found)
                               : choose_by_threshold(first, stride, n, k, found);
    if (!done) return false;
    for (std::size_t s = 0; s < k; ++s)
        for (std::size_t i = 0; i < row_lanes; ++i) chosen[i * k + s] = found.index[s][i];
    softmax_of_eight(first, stride, n, found.value[0], soon);
    return true;
}

#endif

/// `top_k` and `softmax_row` on rows of `n` finite logits, as many of `rows` as can be done at
/// once: returns their number, a multiple of 8. What stops it is left as it was. `soon`: what is to
/// be read from memory after the first eight.
inline std::size_t softmax_top_k([[maybe_unused]] float* first,
                                 [[maybe_unused]] std::size_t stride,
                                 [[maybe_unused]] std::size_t rows, [[maybe_unused]] std::size_t n,
                                 [[maybe_unused]] std::size_t k,
                                 [[maybe_unused]] expert_id* chosen,
                                 [[maybe_unused]] std::span<const std::byte> soon = {}) {
    std::size_t done = 0;
#if LOCMOE_HAS_EIGHT_ROWS
    if (n == 0 || n % sum_parts != 0 || k > rows_chosen::most || !has_eight_rows()) return 0;
    while (done + row_lanes <= rows &&
           in_eight_rows<softmax_top_k_wide>(first + done * stride, stride, n, k,
                                             chosen + done * k,
                                             done == 0 ? soon : std::span<const std::byte>{}))
        done += row_lanes;
#endif
    return done;
}

}  // namespace locmoe::detail
