#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "locmoe/core/error.hpp"
#include "locmoe/plan/flow.hpp"

namespace locmoe {

namespace detail {

/// The rows of a flow that its transpose makes in one go, as sums of their uses: its sources, or what
/// one phase received.
struct transposed_rows {
    row_index begin = 0;
    row_index rows = 0;
    row_sums* sums = nullptr;
};

/// Calls `each(piece, row of the piece, use)` for every use of every row of a flow: rows that travel
/// first, by phase and place in its pack, then rows that are delivered. A row made from nothing (-1)
/// is no use. Ends, with false, where `each` does.
template <class Each>
bool for_each_use(const flow& forward, const std::vector<row_index>& returns,
                  const std::vector<transposed_rows>& pieces, Each&& each) {
    const transposed_rows* at = pieces.data();
    const auto one = [&](row_index r, row_index use) {
        if (r < 0) return true;
        if (r < at->begin || r >= at->begin + at->rows)  // rare: neighbours come from one piece
            for (at = pieces.data(); r >= at->begin + at->rows;) ++at;
        return each(*at, static_cast<std::size_t>(r - at->begin), use);
    };
    const auto all = [&](const row_sums& made, row_index use) {
        if (made.is_gather()) {
            for (const row_index r : made.from)
                if (!one(r, use++)) return false;
        } else {
            for (std::size_t i = 0; i < made.rows(); ++i, ++use)
                for (const row_index r : made.sources(i))
                    if (!one(r, use)) return false;
        }
        return true;
    };
    for (std::size_t p = 0; p < forward.phases.size(); ++p)
        if (!all(forward.phases[p].pack, returns[p])) return false;
    return all(forward.deliver, 0);
}

/// Fills `pieces` where every row has exactly one use, as the pairs' rows have: in one pass.
inline bool transpose_permutation(const flow& forward, const std::vector<row_index>& returns,
                                  const std::vector<transposed_rows>& pieces) {
    std::size_t uses = forward.deliver.from.size();
    for (const phase& p : forward.phases) uses += p.pack.from.size();
    if (uses != static_cast<std::size_t>(forward.source_rows + forward.staging_rows)) return false;
    for (const transposed_rows& piece : pieces)
        piece.sums->from.assign(static_cast<std::size_t>(piece.rows), -1);
    // As many uses as rows, and none of them a row's second: then each has one.
    std::size_t used = 0;
    const bool once = for_each_use(forward, returns, pieces,
                                   [&](const transposed_rows& piece, std::size_t row, row_index u) {
                                       row_index& place = piece.sums->from[row];
                                       if (place >= 0) return false;
                                       place = u;
                                       ++used;
                                       return true;
                                   });
    return once && used == uses;
}

/// Fills `pieces` whatever the uses: counts them, then lists them.
inline void transpose_sums(const flow& forward, const std::vector<row_index>& returns,
                           const std::vector<transposed_rows>& pieces) {
    // Counted two places on, summed up to where a row's uses start one place on, which listing moves
    // to where they end: the next row's start.
    for (const transposed_rows& piece : pieces)
        piece.sums->first.assign(static_cast<std::size_t>(piece.rows) + 2, 0);
    for_each_use(forward, returns, pieces,
                 [](const transposed_rows& piece, std::size_t row, row_index) {
                     ++piece.sums->first[row + 2];
                     return true;
                 });
    std::vector<bool> gather;
    for (const transposed_rows& piece : pieces) {
        auto& first = piece.sums->first;
        bool once = true;
        for (std::size_t i = 2; i < first.size(); ++i) {
            once = once && first[i] == 1;
            first[i] += first[i - 1];
        }
        piece.sums->from.resize(static_cast<std::size_t>(first.back()));
        gather.push_back(once);
    }
    for_each_use(forward, returns, pieces,
                 [](const transposed_rows& piece, std::size_t row, row_index use) {
                     row_index& next = piece.sums->first[row + 1];
                     piece.sums->from[static_cast<std::size_t>(next++)] = use;
                     return true;
                 });
    for (std::size_t i = 0; i < pieces.size(); ++i) {
        pieces[i].sums->first.pop_back();
        if (gather[i]) pieces[i].sums->first = std::vector<row_index>();
    }
}

}  // namespace detail

/// The transpose of a flow: phases in reverse, each message back where it came from, and where a row
/// was copied to several places, the sum of what comes back from them. So the transpose of dispatch
/// is combine, and of combine, dispatch. The sum's order is fixed: rows that travelled first, by
/// phase and by place in its pack, then rows that never left the rank. A row made from nothing (a
/// source of -1) goes back to nowhere.
///
/// Linear in the rows of the flow. Every rank transposes its own share; the shares fit together.
inline flow transpose(const flow& forward) {
    const std::size_t phase_count = forward.phases.size();

    flow back;
    back.source_rows = static_cast<row_index>(forward.deliver.rows());

    // Where the rows of each forward phase's pack come back to, numbered in the new space.
    std::vector<row_index> returns(phase_count);
    for (std::size_t p = phase_count; p-- > 0;) {
        returns[p] = back.source_rows + back.staging_rows;
        back.staging_rows += static_cast<row_index>(forward.phases[p].pack.rows());
    }

    back.phases.resize(phase_count);
    std::vector<detail::transposed_rows> pieces{{0, forward.source_rows, &back.deliver}};
    for (std::size_t p = 0; p < phase_count; ++p) {
        row_index received = 0;
        for (const segment& s : forward.phases[p].receives) received += s.rows;
        pieces.push_back({pieces.back().begin + pieces.back().rows, received,
                          &back.phases[phase_count - 1 - p].pack});
    }
    LOCMOE_ASSERT(pieces.back().begin + pieces.back().rows ==
                  forward.source_rows + forward.staging_rows);
    if (!detail::transpose_permutation(forward, returns, pieces))
        detail::transpose_sums(forward, returns, pieces);

    for (std::size_t p = 0; p < phase_count; ++p) {
        const phase& old = forward.phases[p];
        phase& turned = back.phases[phase_count - 1 - p];
        turned.name = old.name + ", back";
        turned.sends = old.receives;
        for (segment& s : turned.sends) s.first -= pieces[p + 1].begin - forward.source_rows;
        turned.receives = old.sends;
        for (segment& s : turned.receives) s.first += returns[p] - back.source_rows;
        // It needs the returns of every later phase that sent one of its rows on; the earliest of
        // these phases returns last, and so to the highest rows.
        row_index highest = -1;
        for (const row_index r : turned.pack.from) highest = r > highest ? r : highest;
        if (highest < back.source_rows) continue;
        std::size_t q = p + 1;
        while (q < phase_count && highest < returns[q]) ++q;
        turned.needs = phase_count - q;
    }
    return back;
}

}  // namespace locmoe
