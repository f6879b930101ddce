#pragma once

#include <cstddef>
#include <cstring>
#include <span>

#include "locmoe/core/element.hpp"
#include "locmoe/exec/detail/gather_streamed.hpp"
#include "locmoe/exec/detail/row_loops.hpp"
#include "locmoe/exec/detail/stream_row.hpp"
#include "locmoe/exec/row_kernels.hpp"
#include "locmoe/routing/detail/widest.hpp"

namespace locmoe::inline v0 {

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

/// The row kernels for any processor: plain loops, in the widest vector instructions that it has,
/// with the same bits in all of them. Large targets, which no cache would hold, are written past
/// the caches, and gathered in the order of their sources. `dot` adds up 16 interleaved parts.
struct host_kernels {
    /// Copies bytes: every bit stays, a NaN's payload too.
    void gather(const row_space& space, const row_sums& rows, row_range range,
                token_rows to) const {
        if (!streamed(range, to)) {
            for (std::size_t i = range.begin; i < range.end; ++i)
                if (rows.from[i] == empty_row)
                    std::memset(to.row(i - range.begin), 0, to.row_bytes);
                else
                    std::memcpy(to.row(i - range.begin), space.row(rows.from[i]), to.row_bytes);
            return;
        }
        if (!detail::gather_by_source(space, rows, range, to))
            detail::gather_by_target(space, rows, range, to);
        detail::finish_streaming();
    }

    /// In vectors over the columns: each number adds up its sources in their order.
    template <class Weight>
    void sum(const row_space& space, const row_sums& rows, row_range range,
             std::span<const Weight> weights, token_rows to) const {
        using detail::row_store;
        detail::with_element(to.type, [&](auto element) {
            using E = decltype(element);
            if (!streamed(range, to))
                return detail::widest_of<detail::sum_rows<E, Weight, row_store::cached, 16>,
                                         detail::sum_rows<E, Weight, row_store::cached, 32>>(
                    &space, &rows, range, weights, to);
            detail::streaming<detail::sum_rows<E, Weight, row_store::streamed, 32>>(
                &space, &rows, range, weights, to);
            detail::finish_streaming();
        });
    }

    /// Multiplies in `sum_type_t` of the element, to which a wider weight is rounded first.
    template <class Weight>
    void scale(const_token_rows in, std::span<const Weight> weights, token_rows to) const {
        detail::with_element(to.type, [&](auto element) {
            using E = decltype(element);
            detail::widest_of<detail::scale_rows<E, Weight, 16>,
                              detail::scale_rows<E, Weight, 32>>(in, weights, to);
        });
    }

    /// In `Result`: 16 interleaved parts, added up at the end.
    template <class Result>
    void dot(const_token_rows a, const_token_rows b, std::span<Result> dots) const {
        detail::with_element(a.type, [&](auto element) {
            using E = decltype(element);
            detail::widest_of<detail::dot_rows<E, Result, 16>, detail::dot_rows<E, Result, 32>>(
                a, b, dots);
        });
    }

  private:
    static bool streamed(row_range range, token_rows to) {
        return to.row_bytes >= detail::streamed_row_bytes &&
               (range.end - range.begin) * to.row_bytes >= detail::streamed_bytes &&
               detail::can_stream();
    }
};

static_assert(row_kernels<host_kernels>);

}  // namespace locmoe
