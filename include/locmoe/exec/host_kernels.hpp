#pragma once

#include <cstddef>
#include <cstring>
#include <span>

#include "locmoe/core/element.hpp"
#include "locmoe/core/error.hpp"
#include "locmoe/exec/row_kernels.hpp"

namespace locmoe {

namespace detail {

/// Calls `work` with a value of the element's type.
template <class Work>
void with_element(element_type type, Work&& work) {
    switch (type) {
        case element_type::f32: return work(float{});
        case element_type::f64: return work(double{});
        case element_type::bf16: return work(bf16{});
        case element_type::fp16: return work(fp16{});
        case element_type::i32: return work(std::int32_t{});
        case element_type::i64: return work(std::int64_t{});
    }
}

}  // namespace detail

/// The row kernels in plain C++, for any processor: loops over contiguous columns that the compiler
/// vectorises.
struct host_kernels {
    void gather(const row_space& space, const row_sums& rows, row_range range,
                token_rows to) const {
        for (std::size_t i = range.begin; i < range.end; ++i)
            if (rows.from[i] == empty_row)
                std::memset(to.row(i - range.begin), 0, to.row_bytes);
            else
                std::memcpy(to.row(i - range.begin), space.row(rows.from[i]), to.row_bytes);
    }

    template <class Weight>
    void sum(const row_space& space, const row_sums& rows, row_range range,
             std::span<const Weight> weights, token_rows to) const {
        detail::with_element(to.type, [&](auto element) {
            using E = decltype(element);
            sum_rows<E>(space, rows, range, weights, to);
        });
    }

    template <class Weight>
    void scale(const_token_rows in, std::span<const Weight> weights, token_rows to) const {
        detail::with_element(to.type, [&](auto element) {
            using E = decltype(element);
            using traits = element_traits<E>;
            for (std::size_t i = 0; i < in.rows; ++i) {
                const E* from = reinterpret_cast<const E*>(in.row(i));
                E* out = reinterpret_cast<E*>(to.row(i));
                const auto w = static_cast<sum_type_t<E>>(weights[i]);
                for (std::size_t c = 0; c < in.cols(); ++c)
                    out[c] = traits::store(w * traits::load(from[c]));
            }
        });
    }

    template <class Weight>
    void dot(const_token_rows a, const_token_rows b, std::span<Weight> out) const {
        detail::with_element(a.type, [&](auto element) {
            using E = decltype(element);
            using traits = element_traits<E>;
            for (std::size_t i = 0; i < a.rows; ++i) {
                const E* x = reinterpret_cast<const E*>(a.row(i));
                const E* y = reinterpret_cast<const E*>(b.row(i));
                Weight sum = 0;
                for (std::size_t c = 0; c < a.cols(); ++c)
                    sum += static_cast<Weight>(traits::load(x[c])) *
                           static_cast<Weight>(traits::load(y[c]));
                out[i] = sum;
            }
        });
    }

  private:
    /// Columns in blocks that stay in the first-level cache, every source of a row added to one block
    /// before the next: each source is read once and the row written once, unzeroed.
    template <class E, class Weight>
    static void sum_rows(const row_space& space, const row_sums& rows, row_range range,
                         std::span<const Weight> weights, token_rows to) {
        using traits = element_traits<E>;
        using sum_type = sum_type_t<E>;
        constexpr std::size_t block = 256;
        sum_type sums[block];
        const std::size_t cols = to.cols();
        for (std::size_t i = range.begin; i < range.end; ++i) {
            E* out = reinterpret_cast<E*>(to.row(i - range.begin));
            for (std::size_t c = 0; c < cols; c += block) {
                const std::size_t n = cols - c < block ? cols - c : block;
                for (std::size_t j = 0; j < n; ++j) sums[j] = sum_type{};
                for (const row_index r : rows.sources(i)) {
                    const E* in = reinterpret_cast<const E*>(space.row(r)) + c;
                    const auto source = static_cast<std::size_t>(r);
                    if (source < weights.size()) {
                        const auto w = static_cast<sum_type>(weights[source]);
                        for (std::size_t j = 0; j < n; ++j) sums[j] += w * traits::load(in[j]);
                    } else {
                        for (std::size_t j = 0; j < n; ++j) sums[j] += traits::load(in[j]);
                    }
                }
                for (std::size_t j = 0; j < n; ++j) out[c + j] = traits::store(sums[j]);
            }
        }
    }
};

static_assert(row_kernels<host_kernels>);

}  // namespace locmoe
