#pragma once

// What this machine can do, in the easiest order: the kernels' limits.

#include <cstddef>
#include <string>

#include "locmoe/core/token_rows.hpp"
#include "locmoe/exec/row_kernels.hpp"
#include "locmoe/exec/thread_team.hpp"

namespace bench {

inline const std::string two = ", two threads";

void read_bytes(const std::byte* from, std::size_t bytes);

/// `range` of the rows read once, one after the other, and written `copies` times past the caches,
/// each time to where it stood.
void copy_rows(locmoe::const_token_rows from, locmoe::token_rows to, std::size_t copies,
               locmoe::row_range range);

/// Of each row of `range` the sources read, then the row filled past the caches: what a sum cannot
/// do without, in its own order.
void read_and_fill(locmoe::const_token_rows from, const locmoe::row_sums& sums,
                   locmoe::token_rows to, locmoe::row_range range);

/// 12 chains of fused multiply-adds, as long as the latency needs.
void multiply_add(double operations);

/// Half of [0, count) on each of two threads.
template <class Work>
void in_halves(locmoe::thread_team& team, std::size_t count, const Work& work) {
    team.run(2, [&](std::size_t half) {
        work(locmoe::row_range{count * half / 2, count * (half + 1) / 2});
    });
}

}  // namespace bench
