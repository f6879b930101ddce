#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "locmoe/core/ids.hpp"
#include "locmoe/topology/topology.hpp"

namespace locmoe::inline v0 {

/// A row's place in a buffer. Wide, so that no count of rows overflows it.
using row_index = std::int64_t;

/// In a gather, a row with no source: zeros, whatever the element type.
inline constexpr row_index empty_row = -1;

/// Consecutive rows that one peer gets or gives in one message.
struct segment {
    rank_id peer = 0;                  ///< of sends the receiver, of receives the sender
    link_tier tier = link_tier::self;  ///< of the link to `peer`; never self in a plan
    row_index first = 0;               ///< of sends in the phase's pack, of receives in staging
    row_index rows = 0;                ///< at least 1 in a plan

    friend bool operator==(const segment&, const segment&) = default;
};

/// Rows made from other rows: row i is the sum of the rows `sources(i)`. With one source each, as
/// in every dispatch, it is a gather, and `first` stays empty; a row may then be `empty_row`.
struct row_sums {
    std::vector<row_index> from;   ///< the sources of all rows, one row's after the other's
    std::vector<row_index> first;  ///< empty, or [rows + 1]: where the sources of row i start

    /// Whether each row has one source, or none, so that nothing is added up.
    bool is_gather() const { return first.empty(); }
    /// How many rows are made.
    std::size_t rows() const { return is_gather() ? from.size() : first.size() - 1; }
    /// What row i is the sum of, by the flow's numbers of rows; of no source it is zeros.
    std::span<const row_index> sources(std::size_t i) const {
        if (is_gather()) return {from.data() + i, from[i] == empty_row ? 0u : 1u};
        return {from.data() + first[i], static_cast<std::size_t>(first[i + 1] - first[i])};
    }

    friend bool operator==(const row_sums&, const row_sums&) = default;
};

/// How many inter-node receives a rank holds open in a phase: the credits that it gives. A large
/// message starts only once its receive is posted, so whoever has no credit yet holds back.
struct receive_window {
    std::size_t messages = 0;  ///< at least so many; 0: all at once
    std::size_t bytes = 0;     ///< and so many that they come to this, by their mean

    friend bool operator==(const receive_window&, const receive_window&) = default;
};

/// One exchange: make the rows to send, send each segment, receive into staging.
struct phase {
    std::string name;               ///< what reports and traces call it
    row_sums pack;                  ///< the rows to send, from the flow's sources and staging
    std::vector<segment> sends;     ///< cut `pack` into messages, ascending in rows, no gap
    std::vector<segment> receives;  ///< fill this phase's piece of staging, ascending, no gap
    std::size_t needs = 0;          ///< packing may start once the phases before this one are in

    std::vector<std::size_t> send_order;     ///< indices of sends, as posted; empty: 0, 1, ..
    std::vector<std::size_t> receive_order;  ///< of receives
    receive_window window;  ///< has messages = 0 on all ranks or on none

    /// The send that is posted as number i.
    const segment& nth_send(std::size_t i) const {
        return sends[send_order.empty() ? i : send_order[i]];
    }
    /// The receive that is posted as number i.
    const segment& nth_receive(std::size_t i) const {
        return receives[receive_order.empty() ? i : receive_order[i]];
    }

    /// Inter-node receives that are open at a time with rows of `row_bytes` bytes; 0: all.
    std::size_t open_receives(std::size_t row_bytes) const {
        std::size_t messages = 0;
        std::size_t bytes = 0;
        for (const segment& s : receives)
            if (s.tier == link_tier::inter_node) {
                ++messages;
                bytes += static_cast<std::size_t>(s.rows) * row_bytes;
            }
        const std::size_t enough = bytes == 0 ? 0 : (window.bytes * messages + bytes - 1) / bytes;
        return window.messages == 0 || enough < window.messages ? window.messages : enough;
    }

    friend bool operator==(const phase&, const phase&) = default;
};

/// One rank's share of a sparse matrix that takes rows on all ranks to rows on all ranks, factored
/// into phases. Rows are numbered sources first, then staging: row r is source r where
/// r < source_rows, else row r - source_rows of staging. Staging holds what the phases received,
/// the first phase's rows first. In the end `deliver` makes the resulting rows, with no message.
struct flow {
    row_index source_rows = 0;   ///< that the caller brings: T, K or R
    row_index staging_rows = 0;  ///< that all phases receive together
    std::vector<phase> phases;   ///< in the order in which they are posted
    row_sums deliver;            ///< the resulting rows, from sources and staging

    friend bool operator==(const flow&, const flow&) = default;
};

}  // namespace locmoe
