#pragma once

#include <cstddef>
#include <cstring>
#include <span>
#include <type_traits>

#include "locmoe/core/detail/lanes.hpp"
#include "locmoe/core/detail/reused.hpp"
#include "locmoe/core/element.hpp"
#include "locmoe/core/matrix_view.hpp"
#include "locmoe/routing/detail/row_math.hpp"
#include "locmoe/routing/detail/widest.hpp"

namespace locmoe::inline v0::detail {

// Z = X W^T, for X [T, d] that comes from memory and W [n, d] that fits in a cache. A tile of
// tokens by experts is held in registers while it runs down the depth d: each token's numbers are
// broadcast, and multiplied with vectors that hold one number of several experts each.
//
// A logit is a sum of sums over 256 columns each, both from left to right. That is the same in
// every instruction set and for every T, n and place in the batch; so the bits of a logit depend on
// whether products are rounded before they are added, alone. They are not (fused multiply-add)
// where the processor has AVX2 and FMA, or AVX-512.

// A first-level cache has 8 ways, and rows may all lie in one set.
inline constexpr std::size_t tile_tokens = 6;
inline constexpr std::size_t summed_depth = 256;

[[gnu::always_inline]] inline std::size_t least(std::size_t a, std::size_t b) {
    return a < b ? a : b;
}

/// How many vectors of experts a panel of weights takes of those left: 4, 2 or 1.
[[gnu::always_inline]] inline std::size_t panel_width(std::size_t left, std::size_t most) {
    return left >= 4 && most >= 4 ? 4 : left >= 2 ? 2 : 1;
}

/// W as the tiles read it: blocks of `block_depth` columns, of each its panels of vectors of N
/// experts, of each panel, for each column, the experts' numbers side by side. Experts are filled
/// up with zeros to whole vectors.
template <class Real, std::size_t N>
void pack_weights(matrix_view<const Real> w, std::size_t most, std::size_t block_depth,
                  Real* panel) {
    const std::size_t vectors = (w.rows + N - 1) / N;
    for (std::size_t from = 0; from < w.cols; from += block_depth) {
        const std::size_t end = least(from + block_depth, w.cols);
        for (std::size_t v = 0; v < vectors;) {
            const std::size_t width = panel_width(vectors - v, most), experts = width * N;
            constexpr std::size_t near = 64;  // so many columns of a panel stay in the cache
            for (std::size_t first = from; first < end; first += near)
                for (std::size_t i = v * N; i < (v + width) * N; ++i)
                    for (std::size_t j = first; j < least(first + near, end); ++j)
                        panel[(j - from) * experts + i - v * N] = i < w.rows ? w(i, j) : Real(0);
            panel += (end - from) * experts;
            v += width;
        }
    }
}

/// sums [tile, V vectors] += the tile's products over `depth` columns. Fetches as many columns from
/// `ahead`, of `ahead_bytes` each.
template <class Real, std::size_t N, std::size_t V>
[[gnu::always_inline]] inline void multiply_tile(const Real* const (&x)[tile_tokens],
                                                 const Real* w, std::size_t depth,
                                                 const std::byte* const (&ahead)[tile_tokens],
                                                 std::size_t ahead_bytes,
                                                 lanes<Real, N> (&sums)[tile_tokens][V]) {
    constexpr std::size_t in_line = 64 / sizeof(Real);
    for (std::size_t block = 0; block < depth; block += summed_depth) {
        lanes<Real, N> part[tile_tokens][V];
#pragma GCC unroll 6
        for (std::size_t t = 0; t < tile_tokens; ++t)
#pragma GCC unroll 4
            for (std::size_t v = 0; v < V; ++v) part[t][v] = lanes<Real, N>{};
        const std::size_t end = block + summed_depth < depth ? block + summed_depth : depth;
        for (std::size_t line = block; line < end; line += in_line) {
#ifdef __GNUC__
#pragma GCC unroll 6
            for (std::size_t t = 0; t < tile_tokens; ++t)
                __builtin_prefetch(ahead[t] + line * ahead_bytes);
#endif
            const std::size_t line_end = line + in_line < end ? line + in_line : end;
            for (std::size_t j = line; j < line_end; ++j) {
                lanes<Real, N> experts[V];
#pragma GCC unroll 4
                for (std::size_t v = 0; v < V; ++v)
                    load_lanes<N>(w + (j * V + v) * N, experts[v]);
#pragma GCC unroll 6
                for (std::size_t t = 0; t < tile_tokens; ++t)
#pragma GCC unroll 4
                    for (std::size_t v = 0; v < V; ++v) part[t][v] += x[t][j] * experts[v];
            }
        }
#pragma GCC unroll 6
        for (std::size_t t = 0; t < tile_tokens; ++t)
#pragma GCC unroll 4
            for (std::size_t v = 0; v < V; ++v) sums[t][v] += part[t][v];
    }
}

/// The tile's share of some columns added to its logits `z`, of which `experts` are real.
template <class Real, std::size_t N, std::size_t V>
[[gnu::always_inline]] inline void add_tile(const Real* const (&x)[tile_tokens], const Real* w,
                                            std::size_t depth,
                                            const std::byte* const (&ahead)[tile_tokens],
                                            std::size_t ahead_bytes, bool at_first,
                                            matrix_view<Real> z, std::size_t first_token,
                                            std::size_t first_expert) {
    const std::size_t tokens = least(tile_tokens, z.rows - first_token);
    const std::size_t experts = least(V * N, z.cols - first_expert);
    lanes<Real, N> sums[tile_tokens][V] = {};
    if (!at_first)
        for (std::size_t t = 0; t < tokens; ++t)
            std::memcpy(&sums[t], z.row(first_token + t).data() + first_expert,
                        experts * sizeof(Real));
    multiply_tile<Real, N, V>(x, w, depth, ahead, ahead_bytes, sums);
    for (std::size_t t = 0; t < tokens; ++t)
        std::memcpy(z.row(first_token + t).data() + first_expert, &sums[t], experts * sizeof(Real));
}

/// A token's numbers [first, first + count) in Real.
template <class Real, std::size_t N, class E>
[[gnu::always_inline]] inline void widen_row(const E* in, Real* out, std::size_t count) {
    std::size_t j = 0;
    for (; j + N <= count; j += N) {
        lanes<sum_type_t<E>, N> read;
        lanes<Real, N> wide;
        load_lanes<N>(in + j, read);
        convert_lanes(read, wide);
        std::memcpy(out + j, &wide, sizeof wide);
    }
    for (; j < count; ++j) out[j] = as_real<Real>(in[j]);
}

/// W for products with vectors of `Bytes`: how it is cut, and its panels.
template <class Real>
struct packed_weights {
    matrix_view<const Real> w = {};
    std::size_t block_depth = 0;
    std::size_t block_tokens = 0;  ///< so many go through a block of columns at a time
    const Real* panels = nullptr;
};

inline constexpr std::size_t deepest_block = 4 * summed_depth;

template <class Real, std::size_t Bytes>
inline constexpr std::size_t widest_panel = Bytes == 64 ? 4 : 2;  // of 32 or 16 registers

template <class Real, std::size_t Bytes>
packed_weights<Real> pack(matrix_view<const Real> w) {
    constexpr std::size_t N = lane_count<Real, Bytes>;
    const std::size_t vectors = (w.rows + N - 1) / N;
    // So many columns that their weights take half of a second-level cache of 1 MiB, while a block
    // of tokens passes by: a short one where there is one block of columns.
    constexpr std::size_t block_bytes = std::size_t{512} << 10;
    const std::size_t fits = block_bytes / sizeof(Real) / (vectors * N) / summed_depth;
    const std::size_t depth = least((fits < 1 ? 1 : fits) * summed_depth, deepest_block);
    const std::span<Real> panels = reused<Real, packed_weights<Real>>(vectors * N * w.cols);
    pack_weights<Real, N>(w, widest_panel<Real, Bytes>, depth, panels.data());
    return {w, depth, (w.cols <= depth ? 8 : 84) * tile_tokens, panels.data()};
}

/// The logits `z` of the tokens from `first` on, with vectors of `Bytes`.
template <class Real, class E, std::size_t Bytes>
[[gnu::always_inline]] inline void product_with(matrix_view<const E> x,
                                                const packed_weights<Real>& weights,
                                                std::size_t first, matrix_view<Real> z) {
    constexpr std::size_t N = lane_count<Real, Bytes>, most = widest_panel<Real, Bytes>;
    const std::size_t cols = weights.w.cols, vectors = (weights.w.rows + N - 1) / N;
    Real widened[std::is_same_v<E, Real> ? 1 : tile_tokens * deepest_block];
    for (std::size_t block = 0; block < z.rows; block += weights.block_tokens)
        for (std::size_t from = 0; from < cols; from += weights.block_depth) {
            const std::size_t depth = least(weights.block_depth, cols - from);
            const std::size_t end = least(block + weights.block_tokens, z.rows);
            for (std::size_t t = block; t < end; t += tile_tokens) {
                const Real* tile[tile_tokens];
                const std::byte* ahead[tile_tokens];
                for (std::size_t r = 0; r < tile_tokens; ++r) {
                    // A tile that is not full repeats the last token.
                    const E* row = x.row(first + least(t + r, end - 1)).data() + from;
                    const E* next =
                        x.row(least(first + t + r + tile_tokens, x.rows - 1)).data() + from;
                    ahead[r] = reinterpret_cast<const std::byte*>(next);
                    if constexpr (std::is_same_v<E, Real>) {
                        tile[r] = row;
                    } else {
                        Real* wide = widened + r * deepest_block;
                        widen_row<Real, N>(row, wide, depth);
                        tile[r] = wide;
                    }
                }
                for (std::size_t v = 0; v < vectors;) {
                    const std::size_t width = panel_width(vectors - v, most);
                    const Real* panel = weights.panels + from * vectors * N + v * N * depth;
                    const bool at_first = from == 0;
                    if (width == 1)
                        add_tile<Real, N, 1>(tile, panel, depth, ahead, sizeof(E), at_first, z, t,
                                             v * N);
                    else if (width == 2)
                        add_tile<Real, N, 2>(tile, panel, depth, ahead, sizeof(E), at_first, z, t,
                                             v * N);
                    else
                        add_tile<Real, N, most>(tile, panel, depth, ahead, sizeof(E), at_first, z,
                                                t, v * N);
                    v += width;
                }
            }
        }
}

#if LOCMOE_HAS_FUSED
template <class Real, class E>
[[gnu::target("avx2,fma")]] void product_avx2(matrix_view<const E> x,
                                              const packed_weights<Real>& weights,
                                              std::size_t first, matrix_view<Real> z) {
    product_with<Real, E, 32>(x, weights, first, z);
}

template <class Real, class E>
[[gnu::target("avx512f,avx512bw,avx512vl,fma")]] void product_avx512(
    matrix_view<const E> x, const packed_weights<Real>& weights, std::size_t first,
    matrix_view<Real> z) {
    product_with<Real, E, 64>(x, weights, first, z);
}
#endif

/// Z = X W^T in blocks of tokens, with W packed once: tokens X [T, d], weights W [n, d]. Until the
/// next one is made on this thread, since they share the memory of the packed weights.
template <class Real, class E>
class dense_product_blocks {
  public:
    dense_product_blocks(matrix_view<const E> x, matrix_view<const Real> w) : x_(x) {
#if LOCMOE_HAS_FUSED
        if (has_avx512())
            weights_ = pack<Real, 64>(w);
        else if (has_avx2_fused())
            weights_ = pack<Real, 32>(w);
        else
#endif
            weights_ = pack<Real, 16>(w);
    }

    /// How many tokens are best taken at a time.
    std::size_t rows_at_once() const { return weights_.block_tokens; }

    /// z [B, n]: the logits of the tokens from `first` on.
    void forward(std::size_t first, matrix_view<Real> z) const {
#if LOCMOE_HAS_FUSED
        if (has_avx512()) return product_avx512<Real>(x_, weights_, first, z);
        if (has_avx2_fused()) return product_avx2<Real>(x_, weights_, first, z);
#endif
        product_with<Real, E, 16>(x_, weights_, first, z);
    }

  private:
    matrix_view<const E> x_;
    packed_weights<Real> weights_;
};

/// Z = X W^T: tokens X [T, d], weights W [n, d], Z [T, n].
template <class Real, class E>
void dense_product(matrix_view<const E> x, matrix_view<const Real> w, matrix_view<Real> z) {
    dense_product_blocks<Real, E>(x, w).forward(0, z);
}

}  // namespace locmoe::detail
