#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>
#include <string_view>
#include <vector>

#include "locmoe/core/error.hpp"
#include "locmoe/plan/exchange_plan.hpp"

namespace locmoe::inline v0::detail {

[[noreturn]] inline void refuse(const exchange_plan& plan, std::string_view flow_name,
                                std::string_view what) {
    throw plan_error(concat("locmoe: validate: plan of rank ", plan.rank, ", ", flow_name, ": ",
                            what));
}

/// Segments cut rows from `begin` on without gap or overlap, in ascending order, none beyond `end`;
/// one a peer. Where they end.
inline row_index check_segments(const exchange_plan& plan, std::string_view name,
                                const std::vector<segment>& segments, row_index begin,
                                row_index end) {
    std::vector<rank_id> peers;
    for (const segment& s : segments) {
        if (s.peer < 0 || static_cast<std::size_t>(s.peer) >= plan.rank_count)
            refuse(plan, name, concat("peer ", s.peer, " of ", plan.rank_count, " ranks"));
        if (s.peer == plan.rank) refuse(plan, name, "a message to itself");
        if (s.tier != link_tier::intra_node && s.tier != link_tier::inter_node)
            refuse(plan, name, concat("a message to rank ", s.peer, " over no link"));
        if (s.rows <= 0 || s.rows > end - begin)
            refuse(plan, name, concat("a message of ", s.rows, " rows where ", end - begin,
                                      " are left"));
        if (s.first != begin)
            refuse(plan, name, concat("a segment at row ", s.first, ", expected ", begin));
        begin += s.rows;
        peers.push_back(s.peer);
    }
    std::sort(peers.begin(), peers.end());
    for (std::size_t i = 1; i < peers.size(); ++i)
        if (peers[i] == peers[i - 1])
            refuse(plan, name, concat("two messages with rank ", peers[i], " in one phase"));
    return begin;
}

/// None, or each segment once.
inline void check_order(const exchange_plan& plan, std::string_view name,
                        const std::vector<std::size_t>& order, std::size_t segments) {
    if (order.empty()) return;
    if (order.size() != segments)
        refuse(plan, name, concat("an order of ", order.size(), " messages for ", segments));
    std::vector<char> seen(segments, 0);
    for (const std::size_t i : order)
        if (i >= segments || seen[i]++ != 0)
            refuse(plan, name, concat("message ", i, " of ", segments, " twice in its order, or not there"));
}

inline void check_sums(const exchange_plan& plan, std::string_view name, const row_sums& sums,
                       row_index available) {
    if (!sums.is_gather()) {
        row_index before = 0;
        if (sums.first.front() != 0) refuse(plan, name, "sums do not start at 0");
        for (const row_index f : sums.first) {
            if (f < before) refuse(plan, name, "sums run backwards");
            before = f;
        }
        if (before != static_cast<row_index>(sums.from.size()))
            refuse(plan, name, "sums do not end with their sources");
    }
    const bool may_be_empty = plan.rows_per_source > 0 && sums.is_gather();
    for (const row_index r : sums.from)
        if ((r < 0 && !(may_be_empty && r == empty_row)) || r >= available)
            refuse(plan, name, concat("row ", r, " of ", available, " that are there by then"));
}

/// `copies`: rows are copied as they are, none added up.
inline void check_flow(const exchange_plan& plan, std::string_view name, const flow& moved,
                       std::size_t sources, std::size_t delivered, bool copies) {
    if (moved.source_rows != static_cast<row_index>(sources))
        refuse(plan, name, concat("starts from ", moved.source_rows, " rows, expected ", sources));
    if (moved.staging_rows > std::numeric_limits<row_index>::max() - moved.source_rows)
        refuse(plan, name, concat("has ", moved.staging_rows, " rows of staging"));
    bool gathers = moved.deliver.is_gather();
    std::vector<row_index> staged{0};
    for (std::size_t p = 0; p < moved.phases.size(); ++p) {
        const phase& step = moved.phases[p];
        gathers = gathers && step.pack.is_gather();
        if (step.needs > p) refuse(plan, name, concat("phase ", p, " waits for a later one"));
        check_sums(plan, name, step.pack, moved.source_rows + staged[step.needs]);
        const auto packed = static_cast<row_index>(step.pack.rows());
        const row_index sent = check_segments(plan, name, step.sends, 0, packed);
        if (sent != packed)
            refuse(plan, name, concat("phase ", p, " packs ", packed, " rows and sends ", sent));
        check_order(plan, name, step.send_order, step.sends.size());
        check_order(plan, name, step.receive_order, step.receives.size());
        staged.push_back(
            check_segments(plan, name, step.receives, staged.back(), moved.staging_rows));
    }
    if (copies && !gathers) refuse(plan, name, "adds up rows");
    if (staged.back() != moved.staging_rows)
        refuse(plan, name, concat("receives ", staged.back(), " rows, staging holds ",
                                  moved.staging_rows));
    check_sums(plan, name, moved.deliver, moved.source_rows + moved.staging_rows);
    if (moved.deliver.rows() != delivered)
        refuse(plan, name, concat("delivers ", moved.deliver.rows(), " rows, expected ",
                                  delivered));
}

}  // namespace locmoe::detail
