#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "locmoe/core/error.hpp"
#include "locmoe/plan/flow.hpp"

namespace locmoe::inline v0::detail {

/// Rows for one other node that a rank hands to another rank of its own node; ranks by local index.
struct handover {
    std::size_t from = 0;
    std::size_t to = 0;
    std::size_t node = 0;
    row_index rows = 0;
};

/// What the ranks of a node hand each other so that afterwards their loads differ by at most one
/// row. `loads[r][n]`: rows of rank r for node n. Moves as few rows as can be: each rank only gives
/// or only takes, and the larger loads get the larger shares. Whoever gives does so in proportion
/// to what it has more than the taker for each node, so that the relays' loads there even out as
/// well. The same on every rank, without a word.
inline std::vector<handover> even_out(std::vector<std::vector<row_index>> loads) {
    const std::size_t ranks = loads.size();
    std::vector<row_index> surplus(ranks, 0);
    row_index total = 0;
    for (std::size_t r = 0; r < ranks; ++r) {
        for (const row_index rows : loads[r]) surplus[r] += rows;
        total += surplus[r];
    }
    std::vector<std::size_t> by_load;  // falling; of equal ones the lower index first
    for (std::size_t r = 0; r < ranks; ++r) {
        by_load.push_back(r);
        for (std::size_t i = r; i > 0 && surplus[by_load[i - 1]] < surplus[by_load[i]]; --i)
            std::swap(by_load[i - 1], by_load[i]);
    }
    const auto parts = static_cast<row_index>(ranks);
    for (std::size_t i = 0; i < ranks; ++i)
        surplus[by_load[i]] -= total / parts + (static_cast<row_index>(i) < total % parts ? 1 : 0);

    std::vector<handover> all;
    std::size_t last = ranks;
    for (const std::size_t from : by_load)
        while (surplus[from] > 0) {
            while (surplus[by_load[last - 1]] >= 0) --last;
            const std::size_t to = by_load[last - 1];
            const row_index rows = surplus[from] < -surplus[to] ? surplus[from] : -surplus[to];
            surplus[from] -= rows;
            surplus[to] += rows;
            const auto gap = [&](std::size_t n) {
                const row_index more = loads[from][n] - loads[to][n];
                return more > 0 ? more : 0;
            };
            row_index gaps = 0;
            for (std::size_t n = 0; n < loads[from].size(); ++n) gaps += gap(n);
            // The two ranks' loads differ by twice `rows` or more, so no share is beyond half its
            // gap.
            LOCMOE_ASSERT(gaps >= 2 * rows);
            row_index gaps_so_far = 0;
            row_index handed = 0;
            for (std::size_t n = 0; n < loads[from].size(); ++n) {
                gaps_so_far += gap(n);
                const row_index share = rows * gaps_so_far / gaps - handed;
                if (share == 0) continue;
                all.push_back({from, to, n, share});
                loads[from][n] -= share;
                loads[to][n] += share;
                handed += share;
            }
        }
    return all;
}

}  // namespace locmoe::detail
