#pragma once

#include <cstddef>
#include <span>
#include <utility>

#include "locmoe/core/parallel.hpp"
#include "locmoe/exec/host_kernels.hpp"
#include "locmoe/exec/row_kernels.hpp"

namespace locmoe::inline v0 {

/// Row kernels over several threads: each makes a part of the rows, by the same kernels, so that
/// the bits are those of one thread. The threads outlive them.
template <parallel Threads, row_kernels Kernels = host_kernels>
class parallel_kernels {
  public:
    /// Work is shared by `threads`; each part is done by `kernels`.
    explicit parallel_kernels(Threads& threads, Kernels kernels = {})
        : threads_(&threads), kernels_(std::move(kernels)) {}

    /// Cuts `range` among the threads.
    void gather(const row_space& space, const row_sums& rows, row_range range,
                token_rows to) const {
        over_rows(to, [&](std::size_t begin, std::size_t end) {
            kernels_.gather(space, rows, {range.begin + begin, range.begin + end},
                            rows_of(to, begin, end));
        });
    }

    /// Cuts `range` among the threads: no row is added up by two.
    template <class Weight>
    void sum(const row_space& space, const row_sums& rows, row_range range,
             std::span<const Weight> weights, token_rows to) const {
        over_rows(to, [&](std::size_t begin, std::size_t end) {
            kernels_.sum(space, rows, {range.begin + begin, range.begin + end}, weights,
                         rows_of(to, begin, end));
        });
    }

    /// Cuts the rows, and their weights, among the threads.
    template <class Weight>
    void scale(const_token_rows in, std::span<const Weight> weights, token_rows to) const {
        over_rows(in, [&](std::size_t begin, std::size_t end) {
            kernels_.scale(rows_of(in, begin, end), weights.subspan(begin, end - begin),
                           rows_of(to, begin, end));
        });
    }

    /// Cuts the rows among the threads: no inner product is made by two.
    template <class Result>
    void dot(const_token_rows a, const_token_rows b, std::span<Result> dots) const {
        over_rows(a, [&](std::size_t begin, std::size_t end) {
            kernels_.dot(rows_of(a, begin, end), rows_of(b, begin, end),
                         dots.subspan(begin, end - begin));
        });
    }

  private:
    template <class Byte>
    static basic_token_rows<Byte> rows_of(basic_token_rows<Byte> all, std::size_t begin,
                                          std::size_t end) {
        all.data = all.row(begin);
        all.rows = end - begin;
        return all;
    }

    // Few bytes are not worth waking a thread for.
    template <class Byte, class Work>
    void over_rows(basic_token_rows<Byte> rows, const Work& work) const {
        constexpr std::size_t least_bytes = std::size_t{64} << 10;
        const std::size_t grain = rows.row_bytes == 0 ? 1 : least_bytes / rows.row_bytes + 1;
        detail::for_ranges(*threads_, rows.rows, grain, work);
    }

    Threads* threads_;
    Kernels kernels_;
};

static_assert(row_kernels<parallel_kernels<one_thread>>);

}  // namespace locmoe
