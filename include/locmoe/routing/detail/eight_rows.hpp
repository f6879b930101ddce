#pragma once

#include <cstddef>
#include <cstdint>

#include "locmoe/core/detail/lanes.hpp"
#include "locmoe/routing/detail/widest.hpp"

namespace locmoe::inline v0::detail {

// Eight rows side by side, a row a lane: what goes across a row (its sum, its largest) then takes
// no operation across a vector, and keeps its order. For processors with AVX2 and fused
// multiply-add; on others the plain loops give the same bits.

#if LOCMOE_HAS_FUSED
#define LOCMOE_HAS_EIGHT_ROWS 1

inline bool has_eight_rows() {
    return has_avx2_fused();
}

template <auto Body, class... Args>
[[gnu::target("avx2,fma")]] auto in_16_registers(Args... args) {
    return Body(args...);
}

template <auto Body, class... Args>
[[gnu::target("avx2,fma,avx512f,avx512bw,avx512vl")]] auto in_32_registers(Args... args) {
    return Body(args...);
}

/// `Body(args...)`. Only where `has_eight_rows`. Of AVX-512 it is the registers that count: an
/// exponential's constants stay in them.
template <auto Body, class... Args>
auto in_eight_rows(Args... args) {
    return has_avx512() ? in_32_registers<Body>(args...) : in_16_registers<Body>(args...);
}

inline constexpr std::size_t row_lanes = 8;
using float_rows = lanes<float, row_lanes>;
using int_rows = lanes<std::int32_t, row_lanes>;

/// a b + c, rounded once.
[[gnu::target("avx2,fma"), gnu::always_inline]] inline float_rows fused(const float_rows& a,
                                                                        const float_rows& b,
                                                                        const float_rows& c) {
    return __builtin_ia32_vfmaddps256(a, b, c);
}

/// `chosen` where the lane of a comparison says so, else `other`.
[[gnu::target("avx2"), gnu::always_inline]] inline float_rows select(const int_rows& mask,
                                                                     const float_rows& chosen,
                                                                     const float_rows& other) {
    return __builtin_ia32_blendvps256(other, chosen, reinterpret_cast<const float_rows&>(mask));
}

/// A bit a lane, of the results of a comparison.
[[gnu::target("avx2"), gnu::always_inline]] inline std::uint32_t lane_bits(const int_rows& mask) {
    return static_cast<std::uint32_t>(
        __builtin_ia32_movmskps256(reinterpret_cast<const float_rows&>(mask)));
}

/// Four vectors, each of four numbers of two rows: lane i of `out` becomes the sum of a row's,
/// those of the first halves before those of the second.
[[gnu::always_inline]] inline void add_halves(const float_rows* half, float_rows& out) {
    float_rows quarter[2];
#pragma GCC unroll 2
    for (std::size_t i = 0; i < 2; ++i) {
        const float_rows &a = half[2 * i], &b = half[2 * i + 1];
        quarter[i] = __builtin_shufflevector(a, b, 0, 1, 8, 9, 4, 5, 12, 13);
        quarter[i] += __builtin_shufflevector(a, b, 2, 3, 10, 11, 6, 7, 14, 15);
    }
    out = __builtin_shufflevector(quarter[0], quarter[1], 0, 2, 8, 10, 4, 6, 12, 14);
    out += __builtin_shufflevector(quarter[0], quarter[1], 1, 3, 9, 11, 5, 7, 13, 15);
}

/// Lane i of `out` becomes the sum of the lanes of row i, in the order of `sum_halves`.
[[gnu::always_inline]] inline void add_across(const float_rows (&row)[row_lanes],
                                              float_rows& out) {
    float_rows half[4];
#pragma GCC unroll 4
    for (std::size_t i = 0; i < 4; ++i) {
        half[i] = __builtin_shufflevector(row[i], row[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
        half[i] += __builtin_shufflevector(row[i], row[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
    }
    add_halves(half, out);
}

/// Of four vectors, each in both its halves: out[c] holds number c of each.
[[gnu::always_inline]] inline void transpose_halves(const float_rows (&in)[4],
                                                    float_rows (&out)[4]) {
    const float_rows low01 = __builtin_shufflevector(in[0], in[1], 0, 8, 1, 9, 4, 12, 5, 13);
    const float_rows high01 = __builtin_shufflevector(in[0], in[1], 2, 10, 3, 11, 6, 14, 7, 15);
    const float_rows low23 = __builtin_shufflevector(in[2], in[3], 0, 8, 1, 9, 4, 12, 5, 13);
    const float_rows high23 = __builtin_shufflevector(in[2], in[3], 2, 10, 3, 11, 6, 14, 7, 15);
    out[0] = __builtin_shufflevector(low01, low23, 0, 1, 8, 9, 4, 5, 12, 13);
    out[1] = __builtin_shufflevector(low01, low23, 2, 3, 10, 11, 6, 7, 14, 15);
    out[2] = __builtin_shufflevector(high01, high23, 0, 1, 8, 9, 4, 5, 12, 13);
    out[3] = __builtin_shufflevector(high01, high23, 2, 3, 10, 11, 6, 7, 14, 15);
}

/// Four numbers from `first` on, and of the seven rows after it, `stride` apart: columns[c] holds
/// number c of each row.
template <class E>
[[gnu::always_inline]] inline void load_columns(const E* first, std::size_t stride,
                                                float_rows (&columns)[4]) {
    float_rows row[4];  // two rows each, four apart
#pragma GCC unroll 4
    for (std::size_t i = 0; i < 4; ++i) {
        lanes<float, 4> low, high;
        load_lanes<4>(first + i * stride, low);
        load_lanes<4>(first + (i + 4) * stride, high);
        row[i] = __builtin_shufflevector(low, high, 0, 1, 2, 3, 4, 5, 6, 7);
    }
    transpose_halves(row, columns);
}

/// The same for eight numbers of each row, which are read one row after the other: from memory,
/// that is up to twice as fast as in another order.
template <class E>
[[gnu::always_inline]] inline void load_columns(const E* first, std::size_t stride,
                                                float_rows (&columns)[8]) {
    float_rows row[2][4], half[2][4];
#pragma GCC unroll 8
    for (std::size_t i = 0; i < 8; ++i) load_lanes<8>(first + i * stride, row[i / 4][i % 4]);
    transpose_halves(row[0], half[0]);
    transpose_halves(row[1], half[1]);
#pragma GCC unroll 4
    for (std::size_t c = 0; c < 4; ++c) {
        columns[c] = __builtin_shufflevector(half[0][c], half[1][c], 0, 1, 2, 3, 8, 9, 10, 11);
        columns[c + 4] =
            __builtin_shufflevector(half[0][c], half[1][c], 4, 5, 6, 7, 12, 13, 14, 15);
    }
}

#else
#define LOCMOE_HAS_EIGHT_ROWS 0
#endif

}  // namespace locmoe::detail
