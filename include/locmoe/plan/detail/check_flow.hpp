#pragma once

#include <cstddef>
#include <limits>
#include <string_view>
#include <vector>

#include "locmoe/core/detail/merge_sort.hpp"
#include "locmoe/core/detail/reused.hpp"
#include "locmoe/core/error.hpp"
#include "locmoe/plan/exchange_plan.hpp"

namespace locmoe::inline v0::detail {

struct order_memory;
struct staging_memory;

[[noreturn]] inline void refuse(const exchange_plan& plan, std::string_view flow_name,
                                std::string_view what) {
    throw plan_error(concat("locmoe: validate: plan of rank ", plan.rank, ", ", flow_name, ": ",
                            what));
}

/// The first peer that has two segments, or -1. Plans list peers in ascending order from any of
/// them on; any other order costs a sort.
inline rank_id repeated_peer(const std::vector<segment>& segments) {
    std::size_t turns = 0;
    for (std::size_t i = 1; i < segments.size(); ++i)
        if (segments[i].peer <= segments[i - 1].peer) ++turns;
    if (turns == 0 || (turns == 1 && segments.back().peer < segments.front().peer)) return -1;
    std::vector<rank_id> peers;
    for (const segment& s : segments) peers.push_back(s.peer);
    merge_sort(peers, [](rank_id a, rank_id b) { return a < b; });
    for (std::size_t i = 1; i < peers.size(); ++i)
        if (peers[i] == peers[i - 1]) return peers[i];
    return -1;
}

/// Segments cut rows from `begin` on without gap or overlap, in ascending order, none beyond `end`;
/// one a peer. Where they end.
inline row_index check_segments(const exchange_plan& plan, std::string_view name,
                                const std::vector<segment>& segments, row_index begin,
                                row_index end) {
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
    }
    if (const rank_id twice = repeated_peer(segments); twice >= 0)
        refuse(plan, name, concat("two messages with rank ", twice, " in one phase"));
    return begin;
}

/// None, or each segment once.
inline void check_order(const exchange_plan& plan, std::string_view name,
                        const std::vector<std::size_t>& order, std::size_t segments) {
    if (order.empty()) return;
    if (order.size() != segments)
        refuse(plan, name, concat("an order of ", order.size(), " messages for ", segments));
    const auto seen = reused<char, order_memory>(segments);
    for (char& s : seen) s = 0;
    for (const std::size_t i : order)
        if (i >= segments || seen[i]++ != 0)
            refuse(plan, name,
                   concat("message ", i, " of ", segments, " twice in its order, or not there"));
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
    // By phase: the rows of staging that the phases before it fill.
    const auto staged = reused<row_index, staging_memory>(moved.phases.size() + 1);
    staged[0] = 0;
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
        staged[p + 1] = check_segments(plan, name, step.receives, staged[p], moved.staging_rows);
    }
    if (copies && !gathers) refuse(plan, name, "adds up rows");
    if (staged[moved.phases.size()] != moved.staging_rows)
        refuse(plan, name, concat("receives ", staged[moved.phases.size()], " rows, staging holds ",
                                  moved.staging_rows));
    check_sums(plan, name, moved.deliver, moved.source_rows + moved.staging_rows);
    if (moved.deliver.rows() != delivered)
        refuse(plan, name, concat("delivers ", moved.deliver.rows(), " rows, expected ",
                                  delivered));
}

}  // namespace locmoe::detail
