#pragma once

#include <cstddef>
#include <cstring>

#include "locmoe/exec/detail/stream_row.hpp"
#include "locmoe/exec/row_kernels.hpp"

namespace locmoe::inline v0::detail {

/// One row of a gather past the caches, while the row `ahead` is fetched, where that is not null.
inline void stream_gathered(const row_space& space, row_index r, std::byte* to, std::size_t bytes,
                            const std::byte* ahead) {
    if (r == empty_row)
        std::memset(to, 0, bytes);
    else
        stream_row(to, space.row(r), bytes, ahead);
}

/// `gather` past the caches, in the order of the sources instead of the targets: a row that goes to
/// k places is read from memory once, and rows are read one after the other. A dispatch lists its
/// sources in a few ascending runs (one an expert or a rank), so that no sorting is needed: of each
/// run as much is copied as lies in one block of sources, then of the next block. Meanwhile the
/// block after it is fetched. False, with nothing done, where there are many runs, or more sources
/// than rows to copy.
inline bool gather_by_source(const row_space& space, const row_sums& rows, row_range range,
                             token_rows to) {
    constexpr std::size_t most_runs = 512, block_bytes = std::size_t{128} << 10;
    std::size_t next[most_runs], end[most_runs], runs = 0;
    row_index lowest = 0, highest = 0;
    for (std::size_t i = range.begin; i < range.end; ++i) {
        const row_index r = rows.from[i];
        if (i == range.begin) lowest = highest = r;
        if (r < lowest) lowest = r;  // empty_row is the lowest: the first block has it
        if (r > highest) highest = r;
        if (i == range.begin || r < rows.from[i - 1]) {
            if (runs == most_runs) return false;
            next[runs++] = i;
        }
        end[runs - 1] = i + 1;
    }
    const std::size_t count = range.end - range.begin;
    if (static_cast<std::size_t>(highest - lowest) > 2 * count) return false;

    const std::size_t in_block = block_bytes / to.row_bytes;
    const auto block = static_cast<row_index>(in_block == 0 ? 1 : in_block);
    for (row_index first = lowest; first <= highest; first += block) {
        const row_index limit = first + block;
        row_index ahead = limit;
        for (std::size_t run = 0; run < runs; ++run)
            for (std::size_t& i = next[run]; i < end[run] && rows.from[i] < limit; ++i) {
                const bool more = ahead < limit + block && ahead <= highest;
                stream_gathered(space, rows.from[i], to.row(i - range.begin), to.row_bytes,
                                more ? space.row(ahead++) : nullptr);
            }
    }
    return true;
}

/// `gather` past the caches, row by row, the next one fetched meanwhile.
inline void gather_by_target(const row_space& space, const row_sums& rows, row_range range,
                             token_rows to) {
    constexpr std::size_t pages = 4;  // rows ahead, whose addresses are looked up in time
    for (std::size_t i = range.begin; i < range.end; ++i) {
        const auto later = [&](std::size_t by) {
            return i + by < range.end && rows.from[i + by] != empty_row
                       ? space.row(rows.from[i + by])
                       : nullptr;
        };
        if (const std::byte* page = later(pages)) fetch_line(page);
        stream_gathered(space, rows.from[i], to.row(i - range.begin), to.row_bytes, later(1));
    }
}

}  // namespace locmoe::detail
