#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "locmoe/core/ids.hpp"
#include "locmoe/topology/topology.hpp"

namespace locmoe {

/// A row's place in a buffer. Wide, so that no count of rows overflows it.
using row_index = std::int64_t;

/// In a gather, a row with no source: zeros, whatever the element type.
inline constexpr row_index empty_row = -1;

/// Consecutive rows that one peer gets or gives in one message.
struct segment {
    rank_id peer = 0;
    link_tier tier = link_tier::self;
    row_index first = 0;  ///< sends: row of the phase's pack; receives: row of the flow's staging
    row_index rows = 0;

    friend bool operator==(const segment&, const segment&) = default;
};

/// Rows made from other rows: row i is the sum of the rows `sources(i)`. With one source each, as in
/// every dispatch, it is a gather, and `first` stays empty; a row may then be `empty_row`.
struct row_sums {
    std::vector<row_index> from;
    std::vector<row_index> first;  ///< empty, or [rows + 1]: where the sources of row i start

    bool is_gather() const { return first.empty(); }
    std::size_t rows() const { return is_gather() ? from.size() : first.size() - 1; }
    std::span<const row_index> sources(std::size_t i) const {
        if (is_gather()) return {from.data() + i, from[i] == empty_row ? 0u : 1u};
        return {from.data() + first[i], static_cast<std::size_t>(first[i + 1] - first[i])};
    }

    friend bool operator==(const row_sums&, const row_sums&) = default;
};

/// One exchange: make the rows to send, send each segment, receive into staging.
struct phase {
    std::string name;
    row_sums pack;                  ///< the rows to send, from the flow's sources and staging
    std::vector<segment> sends;     ///< cut `pack` into messages, ascending in rows, no gap
    std::vector<segment> receives;  ///< fill this phase's piece of staging, ascending, no gap
    std::size_t needs = 0;          ///< packing may start once the phases before this one are in

    friend bool operator==(const phase&, const phase&) = default;
};

/// One rank's share of a sparse matrix that takes rows on all ranks to rows on all ranks, factored
/// into phases. Rows are numbered sources first, then staging: row r is source r where
/// r < source_rows, else row r - source_rows of staging. Staging holds what the phases received,
/// the first phase's rows first. In the end `deliver` makes the resulting rows, with no message.
struct flow {
    row_index source_rows = 0;
    row_index staging_rows = 0;
    std::vector<phase> phases;
    row_sums deliver;

    friend bool operator==(const flow&, const flow&) = default;
};

}  // namespace locmoe
