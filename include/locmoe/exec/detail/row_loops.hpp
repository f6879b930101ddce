#pragma once

#include <cstddef>
#include <cstring>
#include <span>

#include "locmoe/core/detail/lanes.hpp"
#include "locmoe/core/element.hpp"
#include "locmoe/exec/detail/stream_row.hpp"
#include "locmoe/exec/row_kernels.hpp"
#include "locmoe/routing/detail/row_math.hpp"

namespace locmoe::inline v0::detail {

// Bodies for `widest_of`, whose vectors have `Bytes`: every number is made by the same
// operations in the same order, however many are made at once.

/// Where the sums go: into memory, or past the caches.
enum class row_store : bool { cached, streamed };

/// A row of sums: what its columns are made of.
template <class E, class Weight>
struct summed_row {
    const row_space& space;
    std::span<const row_index> sources;
    std::span<const Weight> weights;

    const E* row(std::size_t s) const {
        return reinterpret_cast<const E*>(space.row(sources[s]));
    }
    sum_type_t<E> weight(std::size_t s) const {
        const auto r = static_cast<std::size_t>(sources[s]);
        return r < weights.size() ? static_cast<sum_type_t<E>>(weights[r]) : sum_type_t<E>{1};
    }
};

/// `Packs` vectors of columns of a row, from column `first` on, written to `to`: all sources are
/// added to them while they are in registers.
template <row_store Store, std::size_t Packs, std::size_t N, class E, class Weight>
[[gnu::always_inline]] inline void sum_columns(const summed_row<E, Weight>& row,
                                               std::size_t first, E* to) {
    constexpr std::size_t parts = lane_parts<E>, columns = N * parts;
    lane_pack<E, N> sums[Packs];
#pragma GCC unroll 8
    for (std::size_t p = 0; p < Packs; ++p)
        for (std::size_t i = 0; i < parts; ++i) sums[p][i] = lanes<sum_type_t<E>, N>{};
    for (std::size_t s = 0; s < row.sources.size(); ++s) {
        const E* in = row.row(s) + first;
        const sum_type_t<E> w = row.weight(s);
#pragma GCC unroll 8
        for (std::size_t p = 0; p < Packs; ++p) {
            lane_pack<E, N> x;
            load_pack<N>(in + p * columns, x);
            for (std::size_t i = 0; i < parts; ++i) sums[p][i] += w * x[i];
        }
    }
#pragma GCC unroll 8
    for (std::size_t p = 0; p < Packs; ++p) {
        if constexpr (Store == row_store::cached) {
            store_pack<N>(to + p * columns, sums[p]);
        } else {
            E stored[columns];
            store_pack<N>(stored, sums[p]);
            stream_half_line(reinterpret_cast<std::byte*>(to + p * columns),
                             reinterpret_cast<const std::byte*>(stored));
        }
    }
}

template <class E, class Weight>
[[gnu::always_inline]] inline void sum_narrow_row(const summed_row<E, Weight>& row, E* out,
                                                  std::size_t cols) {
    for (std::size_t c = 0; c < cols; ++c) {
        sum_type_t<E> sum{};
        for (std::size_t s = 0; s < row.sources.size(); ++s)
            sum += row.weight(s) * element_traits<E>::load(row.row(s)[c]);
        out[c] = element_traits<E>::store(sum);
    }
}

/// Each source is read once and the row written once, unzeroed. What is no whole number of vectors
/// at an end is summed in vectors that reach into their neighbours.
template <class E, class Weight, row_store Store, std::size_t Bytes>
[[gnu::always_inline]] inline void sum_rows(const row_space* space, const row_sums* rows,
                                            row_range range, std::span<const Weight> weights,
                                            token_rows to) {
    constexpr std::size_t N = lane_count<sum_type_t<E>, Bytes>, columns = N * lane_parts<E>;
    constexpr std::size_t many = 8 / lane_parts<E>;  // packs in half of 16 registers
    const std::size_t cols = to.cols();
    for (std::size_t i = range.begin; i < range.end; ++i) {
        const summed_row<E, Weight> row{*space, rows->sources(i), weights};
        E* out = reinterpret_cast<E*>(to.row(i - range.begin));
        if (i + 1 < range.end)
            for (const row_index next : rows->sources(i + 1)) fetch_line(space->row(next));
        if (cols < 2 * columns) {
            sum_narrow_row(row, out, cols);
            continue;
        }
        std::size_t c = 0;
        E ends[2 * columns];
        if constexpr (Store == row_store::streamed) {
            c = to_next_line(to.row(i - range.begin)) / sizeof(E);
            if (c != 0) {
                sum_columns<row_store::cached, 2, N>(row, 0, ends);
                std::memcpy(to.row(i - range.begin), ends, c * sizeof(E));
            }
        }
        for (; c + many * columns <= cols; c += many * columns)
            sum_columns<Store, many, N>(row, c, out + c);
        for (; c + 2 * columns <= cols; c += 2 * columns)
            sum_columns<Store, 2, N>(row, c, out + c);
        if (c != cols) {
            const std::size_t last = cols - 2 * columns;
            sum_columns<row_store::cached, 2, N>(row, last, ends);
            std::memcpy(to.row(i - range.begin) + c * sizeof(E), ends + (c - last),
                        (cols - c) * sizeof(E));
        }
    }
}

template <class E, class Weight, std::size_t Bytes>
[[gnu::always_inline]] inline void scale_rows(const_token_rows in, std::span<const Weight> weights,
                                              token_rows to) {
    using sum_type = sum_type_t<E>;
    using traits = element_traits<E>;
    constexpr std::size_t N = lane_count<sum_type, Bytes>, columns = N * lane_parts<E>;
    const std::size_t cols = in.cols();
    for (std::size_t i = 0; i < in.rows; ++i) {
        const E* from = reinterpret_cast<const E*>(in.row(i));
        E* out = reinterpret_cast<E*>(to.row(i));
        const auto w = static_cast<sum_type>(weights[i]);
        std::size_t c = 0;
        for (; c + columns <= cols; c += columns) {
            lane_pack<E, N> x;
            load_pack<N>(from + c, x);
            for (auto& part : x) part = w * part;
            store_pack<N>(out + c, x);
        }
        for (; c < cols; ++c) out[c] = traits::store(w * traits::load(from[c]));
    }
}

/// Sums in `sum_parts` interleaved parts, whatever the vectors.
template <class E, class Result, std::size_t Bytes>
[[gnu::always_inline]] inline void dot_rows(const_token_rows a, const_token_rows b,
                                            std::span<Result> dots) {
    constexpr std::size_t N = lane_count<Result, Bytes>;
    const std::size_t cols = a.cols();
    for (std::size_t i = 0; i < a.rows; ++i) {
        const E* x = reinterpret_cast<const E*>(a.row(i));
        const E* y = reinterpret_cast<const E*>(b.row(i));
        lanes<Result, N> part[sum_parts / N];
        for (auto& p : part) p = lanes<Result, N>{};
        std::size_t c = 0;
        for (; c + sum_parts <= cols; c += sum_parts)
            for (std::size_t p = 0; p < sum_parts / N; ++p) {
                lanes<sum_type_t<E>, N> read;
                lanes<Result, N> left, right;
                load_lanes<N>(x + c + p * N, read);
                convert_lanes(read, left);
                load_lanes<N>(y + c + p * N, read);
                convert_lanes(read, right);
                part[p] += left * right;
            }
        Result sum = 0;
        for (; c < cols; ++c) sum += as_real<Result>(x[c]) * as_real<Result>(y[c]);
        Result parts[sum_parts];
        std::memcpy(parts, part, sizeof parts);
        for (const Result p : parts) sum += p;
        dots[i] = sum;
    }
}

}  // namespace locmoe::detail
