#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "locmoe/core/error.hpp"
#include "locmoe/plan/flow.hpp"

namespace locmoe {

/// The transpose of a flow: phases in reverse, each message back where it came from, and where a row
/// was copied to several places, the sum of what comes back from them. So the transpose of dispatch
/// is combine, and of combine, dispatch. The sum's order is fixed: rows that travelled first, by
/// phase and by place in its pack, then rows that never left the rank.
///
/// Linear in the rows of the flow. Every rank transposes its own share; the shares fit together.
inline flow transpose(const flow& forward) {
    const auto sources = static_cast<std::size_t>(forward.source_rows);
    const auto staging = static_cast<std::size_t>(forward.staging_rows);
    const std::size_t phase_count = forward.phases.size();

    flow back;
    back.source_rows = static_cast<row_index>(forward.deliver.rows());

    // Where the rows of each forward phase's pack come back to, numbered in the new space.
    std::vector<row_index> returns(phase_count);
    for (std::size_t p = phase_count; p-- > 0;) {
        returns[p] = back.source_rows + back.staging_rows;
        back.staging_rows += static_cast<row_index>(forward.phases[p].pack.rows());
    }

    // Every use of every old row, as rows of the new space: first counted, then listed.
    row_sums uses;
    uses.first.assign(sources + staging + 1, 0);
    const auto count = [&](const row_sums& rows) {
        for (const row_index r : rows.from) ++uses.first[static_cast<std::size_t>(r) + 1];
    };
    for (const phase& p : forward.phases) count(p.pack);
    count(forward.deliver);
    for (std::size_t r = 0; r < sources + staging; ++r) uses.first[r + 1] += uses.first[r];
    uses.from.resize(static_cast<std::size_t>(uses.first.back()));
    std::vector<row_index> next(uses.first.begin(), uses.first.end() - 1);
    const auto list = [&](const row_sums& rows, row_index base) {
        for (std::size_t i = 0; i < rows.rows(); ++i)
            for (const row_index r : rows.sources(i))
                uses.from[static_cast<std::size_t>(next[static_cast<std::size_t>(r)]++)] =
                    base + static_cast<row_index>(i);
    };
    for (std::size_t p = 0; p < phase_count; ++p) list(forward.phases[p].pack, returns[p]);
    list(forward.deliver, 0);

    // Rows [begin, end) of the old space, each as the sum of its uses.
    const auto sums = [&](std::size_t begin, std::size_t end) {
        row_sums s;
        const row_index base = uses.first[begin];
        s.from.assign(uses.from.begin() + base, uses.from.begin() + uses.first[end]);
        bool gather = true;
        for (std::size_t r = begin; gather && r < end; ++r)
            gather = uses.first[r + 1] - uses.first[r] == 1;
        if (!gather) {
            s.first.resize(end - begin + 1);
            for (std::size_t r = begin; r <= end; ++r) s.first[r - begin] = uses.first[r] - base;
        }
        return s;
    };

    std::vector<std::size_t> received_before(phase_count + 1, 0);
    for (std::size_t p = 0; p < phase_count; ++p) {
        received_before[p + 1] = received_before[p];
        for (const segment& s : forward.phases[p].receives)
            received_before[p + 1] += static_cast<std::size_t>(s.rows);
    }
    LOCMOE_ASSERT(received_before[phase_count] == staging);

    for (std::size_t p = phase_count; p-- > 0;) {
        const phase& old = forward.phases[p];
        phase turned;
        turned.name = old.name + ", back";
        turned.pack = sums(sources + received_before[p], sources + received_before[p + 1]);
        turned.sends = old.receives;
        for (segment& s : turned.sends) s.first -= static_cast<row_index>(received_before[p]);
        turned.receives = old.sends;
        for (segment& s : turned.receives) s.first += returns[p] - back.source_rows;
        // It needs the returns of every later phase that sent one of its rows on.
        for (const row_index r : turned.pack.from)
            for (std::size_t q = p + 1; q < phase_count; ++q)
                if (r >= returns[q] &&
                    r < returns[q] + static_cast<row_index>(forward.phases[q].pack.rows()) &&
                    turned.needs < phase_count - q)
                    turned.needs = phase_count - q;
        back.phases.push_back(std::move(turned));
    }
    back.deliver = sums(0, sources);
    return back;
}

}  // namespace locmoe
