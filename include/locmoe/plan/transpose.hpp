#pragma once

#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "locmoe/core/error.hpp"
#include "locmoe/plan/flow.hpp"

namespace locmoe::inline v0 {

namespace detail {

/// The rows of a flow that its transpose makes in one go, as sums of their uses: its sources, or
/// what one phase received.
struct transposed_rows {
    row_index begin = 0;
    std::size_t rows = 0;
    row_sums* sums = nullptr;
    std::size_t first_user = 0;  // the first phase to send one on; the number of phases: none does
    row_index* first = nullptr;  // of `sums`, for the passes over all uses
    row_index* from = nullptr;
};

/// Calls `each(piece, row of the piece, use)` for every use of every row of a flow: rows that
/// travel first, by phase and place in its pack, then rows that are delivered. An `empty_row` is
/// no use.
template <class Each>
void for_each_use(const flow& forward, const std::vector<row_index>& returns,
                  std::vector<transposed_rows>& pieces, Each&& each) {
    // Neighbours mostly come from one piece, which the inner loop keeps at hand.
    const auto some = [&](std::span<const row_index> rows, std::size_t user, row_index use,
                          row_index step) {
        const row_index* r = rows.data();
        const row_index* const end = r + rows.size();
        while (r != end) {
            if (*r == empty_row) {
                ++r;
                use += step;
                continue;
            }
            std::size_t p = 0;
            while (*r >= pieces[p].begin + static_cast<row_index>(pieces[p].rows)) ++p;
            if (user < pieces[p].first_user) pieces[p].first_user = user;
            const transposed_rows at = pieces[p];
            for (; r != end; ++r, use += step) {
                const auto row = static_cast<std::size_t>(*r - at.begin);
                if (row >= at.rows) break;
                each(at, row, use);
            }
        }
    };
    const auto all = [&](const row_sums& made, std::size_t user, row_index use) {
        if (made.is_gather())
            some(made.from, user, use, 1);
        else
            for (std::size_t i = 0; i < made.rows(); ++i, ++use)
                some(made.sources(i), user, use, 0);
    };
    for (std::size_t p = 0; p < forward.phases.size(); ++p)
        all(forward.phases[p].pack, p, returns[p]);
    all(forward.deliver, forward.phases.size(), 0);
}

/// Fills `pieces` where every row has exactly one use, as the pairs' rows have: in one pass.
inline bool transpose_permutation(const flow& forward, const std::vector<row_index>& returns,
                                  std::vector<transposed_rows>& pieces) {
    std::size_t uses = forward.deliver.from.size();
    for (const phase& p : forward.phases) uses += p.pack.from.size();
    if (uses != static_cast<std::size_t>(forward.source_rows + forward.staging_rows)) return false;
    for (transposed_rows& piece : pieces) {
        piece.sums->from.assign(piece.rows, -1);
        piece.from = piece.sums->from.data();
    }
    for_each_use(forward, returns, pieces,
                 [](const transposed_rows& piece, std::size_t row, row_index use) {
                     piece.from[row] = use;
                 });
    // As many uses as rows: where no row has none, none has two.
    bool all_used = true;
    for (const transposed_rows& piece : pieces)
        for (const row_index use : piece.sums->from) all_used &= use >= 0;
    return all_used;
}

/// Fills `pieces` whatever the uses: counts them, then lists them.
inline void transpose_sums(const flow& forward, const std::vector<row_index>& returns,
                           std::vector<transposed_rows>& pieces) {
    // Counted two places on, summed up to where a row's uses start one place on, which listing
    // moves to where they end: the next row's start.
    for (transposed_rows& piece : pieces) {
        piece.sums->first.assign(piece.rows + 2, 0);
        piece.first = piece.sums->first.data();
    }
    for_each_use(
        forward, returns, pieces,
        [](const transposed_rows& piece, std::size_t row, row_index) { ++piece.first[row + 2]; });
    std::vector<bool> gather;
    for (transposed_rows& piece : pieces) {
        row_index sum = 0;
        bool once = true;
        for (std::size_t i = 2; i < piece.rows + 2; ++i) {
            once &= piece.first[i] == 1;
            sum += piece.first[i];
            piece.first[i] = sum;
        }
        piece.sums->from.resize(static_cast<std::size_t>(sum));
        piece.from = piece.sums->from.data();
        gather.push_back(once);
    }
    for_each_use(forward, returns, pieces,
                 [](const transposed_rows& piece, std::size_t row, row_index use) {
                     piece.from[piece.first[row + 1]++] = use;
                 });
    for (std::size_t i = 0; i < pieces.size(); ++i) {
        pieces[i].sums->first.pop_back();
        if (gather[i]) pieces[i].sums->first = std::vector<row_index>();
    }
}

}  // namespace detail

/// The transpose of a flow: phases in reverse, each message back where it came from, and where a
/// row was copied to several places, the sum of what comes back from them. So the transpose of
/// dispatch is combine, and of combine, dispatch. The sum's order is fixed: rows that travelled
/// first, by phase and by place in its pack, then rows that never left the rank. What comes back
/// for an `empty_row` goes nowhere. Who gave in an order takes in it, and the other way round.
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
    std::vector<detail::transposed_rows> pieces;
    row_index end = 0;
    const auto add_piece = [&](row_index rows, row_sums& sums) {
        pieces.push_back({end, static_cast<std::size_t>(rows), &sums, phase_count});
        end += rows;
    };
    add_piece(forward.source_rows, back.deliver);
    for (std::size_t p = 0; p < phase_count; ++p) {
        row_index received = 0;
        for (const segment& s : forward.phases[p].receives) received += s.rows;
        add_piece(received, back.phases[phase_count - 1 - p].pack);
    }
    LOCMOE_ASSERT(end == forward.source_rows + forward.staging_rows);
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
        turned.send_order = old.receive_order;
        turned.receive_order = old.send_order;
        turned.window = old.window;
        // It needs the returns of every later phase that sent one of its rows on; the earliest of
        // these phases returns last.
        turned.needs = phase_count - pieces[p + 1].first_user;
    }
    return back;
}

}  // namespace locmoe
