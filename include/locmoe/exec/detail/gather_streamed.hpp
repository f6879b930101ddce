#pragma once

#include <cstddef>
#include <cstdint>
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

/// `gather` past the caches, in the order of the sources instead of the targets: each is read from
/// memory once, and they are read one after the other. A dispatch lists its sources in a few
/// ascending runs (one an expert or a rank), so that no sorting is needed: of each run, what lies
/// in one block of sources is taken, and chained by source. Rows of a few sources on are fetched
/// meanwhile. False, with nothing done, where there are many runs, or more sources than rows to
/// copy.
inline bool gather_by_source(const row_space& space, const row_sums& rows, row_range range,
                             token_rows to) {
    constexpr std::size_t most_runs = 512;
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

    constexpr row_index block = 512;
    constexpr std::size_t most_copies = 2048, ahead_bytes = 8192;
    constexpr std::uint16_t none = most_copies;
    const std::size_t ahead = to.row_bytes < ahead_bytes ? ahead_bytes / to.row_bytes : 1;
    std::uint16_t last[block], before[most_copies];  // of a source's copies: the last, those before
    std::size_t target[most_copies], copies = 0;
    for (std::uint16_t& copy : last) copy = none;
    for (row_index first = lowest; first <= highest; first += block) {
        const auto wanted_from = [&](row_index s) {
            while (s < block && last[s] == none) ++s;
            return s;
        };
        const auto copy_all = [&] {
            row_index later = wanted_from(0);  // of the next block, all are taken to be wanted
            for (std::size_t i = 0; i < ahead; ++i) later = wanted_from(later + 1);
            for (row_index s = wanted_from(0); s < block; s = wanted_from(s + 1)) {
                const std::byte* fetched = nullptr;
                if (first + later <= highest) fetched = space.row(first + later);
                later = wanted_from(later + 1);
                for (std::uint16_t& copy = last[s]; copy != none; copy = before[copy]) {
                    stream_gathered(space, first + s, to.row(target[copy]), to.row_bytes, fetched);
                    fetched = nullptr;
                }
            }
            copies = 0;
        };
        for (std::size_t run = 0; run < runs; ++run)
            for (std::size_t& i = next[run]; i < end[run] && rows.from[i] < first + block; ++i) {
                if (copies == most_copies) copy_all();
                std::uint16_t& copy = last[rows.from[i] - first];
                before[copies] = copy;
                copy = static_cast<std::uint16_t>(copies);
                target[copies++] = i - range.begin;
            }
        copy_all();
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
