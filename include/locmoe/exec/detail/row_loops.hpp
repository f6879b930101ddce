#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "locmoe/core/element.hpp"
#include "locmoe/exec/detail/stream_row.hpp"
#include "locmoe/exec/row_kernels.hpp"
#include "locmoe/routing/detail/row_math.hpp"

namespace locmoe::detail {

// Bodies for `widest`: every number is made by the same operations in the same order in every
// instruction set. Columns go in blocks that stay in the first-level cache, most of them of this
// constant length, which is what compilers ask for before they use vector instructions at -O2.
inline constexpr std::size_t column_block = 256;

/// Calls work(first, count) on blocks of the columns, the first one of `head` columns if not 0.
template <class Work>
[[gnu::always_inline]] inline void for_column_blocks(std::size_t cols, std::size_t head,
                                                     const Work& work) {
    std::size_t c = head < cols ? head : cols;
    if (c != 0) work(std::size_t{0}, c);
    for (; c + column_block <= cols; c += column_block) work(c, column_block);
    if (c != cols) work(c, cols - c);
}

/// A source of a sum: its row from the block's first column on, and its weight.
template <class E>
struct weighted_row {
    const E* row;
    sum_type_t<E> weight;
};

/// sums_j becomes (sums_j, or 0 at first) + w a_j + w' b_j, from left to right.
template <class E>
[[gnu::always_inline]] inline void add_two(sum_type_t<E>* __restrict sums, bool at_first,
                                           weighted_row<E> a, weighted_row<E> b,
                                           std::size_t count) {
    using traits = element_traits<E>;
    if (at_first)
        for (std::size_t j = 0; j < count; ++j)
            sums[j] = sum_type_t<E>{} + a.weight * traits::load(a.row[j]) +
                      b.weight * traits::load(b.row[j]);
    else
        for (std::size_t j = 0; j < count; ++j)
            sums[j] = sums[j] + a.weight * traits::load(a.row[j]) +
                      b.weight * traits::load(b.row[j]);
}

template <class E>
[[gnu::always_inline]] inline void add_one(sum_type_t<E>* __restrict sums, bool at_first,
                                           weighted_row<E> a, std::size_t count) {
    using traits = element_traits<E>;
    if (at_first)
        for (std::size_t j = 0; j < count; ++j)
            sums[j] = sum_type_t<E>{} + a.weight * traits::load(a.row[j]);
    else
        for (std::size_t j = 0; j < count; ++j)
            sums[j] = sums[j] + a.weight * traits::load(a.row[j]);
}

[[gnu::always_inline]] inline void fetch_row(const std::byte* row, std::size_t bytes) {
#ifdef __GNUC__
    for (std::size_t i = 0; i < bytes; i += 64) __builtin_prefetch(row + i);
#endif
}

/// Each source is read once and the row written once, unzeroed; meanwhile the next row's sources are
/// fetched.
template <class E, class Weight>
[[gnu::always_inline]] inline void sum_rows(const row_space* space, const row_sums* rows,
                                            row_range range, std::span<const Weight> weights,
                                            token_rows to, bool streamed) {
    using sum_type = sum_type_t<E>;
    constexpr std::size_t line = 64;
    for (std::size_t i = range.begin; i < range.end; ++i) {
        std::byte* out = to.row(i - range.begin);
        const auto sources = rows->sources(i);
        const auto ahead = i + 1 < range.end ? rows->sources(i + 1) : std::span<const row_index>{};
        // Where the first block ends at the end of a cache line, the others are whole lines.
        const std::size_t over = reinterpret_cast<std::uintptr_t>(out) % line / sizeof(E);
        const std::size_t head = streamed && over != 0 ? line / sizeof(E) - over : 0;
        for_column_blocks(to.cols(), head, [&](std::size_t first, std::size_t count)
                                               __attribute__((always_inline)) {
            alignas(line) sum_type sums[column_block];
            const auto source = [&](std::size_t s) {
                const auto r = static_cast<std::size_t>(sources[s]);
                return weighted_row<E>{
                    reinterpret_cast<const E*>(space->row(sources[s])) + first,
                    r < weights.size() ? static_cast<sum_type>(weights[r]) : sum_type{1}};
            };
            for (const row_index r : ahead)
                fetch_row(space->row(r) + first * sizeof(E), count * sizeof(E));
            std::size_t s = 0;
            for (; s + 2 <= sources.size(); s += 2)
                add_two<E>(sums, s == 0, source(s), source(s + 1), count);
            if (s < sources.size()) add_one<E>(sums, s == 0, source(s), count);
            if (sources.empty())
                for (std::size_t j = 0; j < count; ++j) sums[j] = sum_type{};
            alignas(line) E stored[column_block];
            for (std::size_t j = 0; j < count; ++j) stored[j] = element_traits<E>::store(sums[j]);
            const auto* bytes = reinterpret_cast<const std::byte*>(stored);
            if (streamed)
                stream_row(out + first * sizeof(E), bytes, count * sizeof(E), nullptr);
            else
                std::memcpy(out + first * sizeof(E), bytes, count * sizeof(E));
        });
    }
}

template <class E, class Weight>
[[gnu::always_inline]] inline void scale_rows(const_token_rows in, std::span<const Weight> weights,
                                              token_rows to) {
    using traits = element_traits<E>;
    for (std::size_t i = 0; i < in.rows; ++i) {
        const E* from = reinterpret_cast<const E*>(in.row(i));
        const auto w = static_cast<sum_type_t<E>>(weights[i]);
        for_column_blocks(in.cols(), 0, [&](std::size_t first, std::size_t count)
                                            __attribute__((always_inline)) {
            E scaled[column_block];  // `to` may be `in`
            for (std::size_t j = 0; j < count; ++j)
                scaled[j] = traits::store(w * traits::load(from[first + j]));
            std::memcpy(to.row(i) + first * sizeof(E), scaled, count * sizeof(E));
        });
    }
}

template <class E, class Result>
[[gnu::always_inline]] inline void dot_rows(const_token_rows a, const_token_rows b,
                                            std::span<Result> dots) {
    for (std::size_t i = 0; i < a.rows; ++i) {
        const E* x = reinterpret_cast<const E*>(a.row(i));
        const E* y = reinterpret_cast<const E*>(b.row(i));
        Result part[sum_parts] = {}, rest = 0;
        for_column_blocks(a.cols(), 0, [&](std::size_t first, std::size_t count)
                                           __attribute__((always_inline)) {
            Result products[column_block];
            for (std::size_t j = 0; j < count; ++j)
                products[j] = as_real<Result>(x[first + j]) * as_real<Result>(y[first + j]);
            std::size_t j = 0;
            for (; j + sum_parts <= count; j += sum_parts)
                for (std::size_t p = 0; p < sum_parts; ++p) part[p] += products[j + p];
            for (; j < count; ++j) rest += products[j];
        });
        for (const Result p : part) rest += p;
        dots[i] = rest;
    }
}

}  // namespace locmoe::detail
