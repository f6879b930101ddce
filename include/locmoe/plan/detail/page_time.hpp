#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "locmoe/plan/detail/page_text.hpp"
#include "locmoe/plan/exchange_plan.hpp"
#include "locmoe/plan/simulate.hpp"
#include "locmoe/topology/topology.hpp"

namespace locmoe::inline v0::detail::page {

/// What all ranks do in one phase.
struct phase_sum {
    std::string name;
    tier_traffic inside;
    tier_traffic outside;
    link_tier tier() const {
        return outside.rows >= inside.rows ? link_tier::inter_node : link_tier::intra_node;
    }
};

inline std::vector<phase_sum> add_up_phases(std::span<const exchange_plan> plans,
                                            flow exchange_plan::*which, std::size_t row_bytes) {
    std::vector<phase_sum> sums((plans[0].*which).phases.size());
    for (const exchange_plan& plan : plans) {
        const std::vector<phase>& phases = (plan.*which).phases;
        for (std::size_t p = 0; p < phases.size() && p < sums.size(); ++p) {
            sums[p].name = phases[p].name;
            for (const segment& s : phases[p].sends)
                (s.tier == link_tier::inter_node ? sums[p].outside : sums[p].inside) +=
                    {s.rows, 1, s.rows * static_cast<std::int64_t>(row_bytes)};
        }
    }
    return sums;
}

/// Ranks on one line of the time line.
struct time_row {
    std::string name;
    std::vector<rank_id> ranks;
};

/// A line a rank, or a node, or several nodes, so that there are 32 at most.
inline std::vector<time_row> time_rows(const topology& nodes) {
    std::vector<time_row> rows;
    if (nodes.rank_count() <= 16) {
        for (std::size_t n = 0; n < nodes.node_count(); ++n)
            for (const rank_id r : nodes.ranks_of(static_cast<node_id>(n)))
                rows.push_back({concat("rank ", r), {r}});
        return rows;
    }
    const std::size_t together = (nodes.node_count() + 31) / 32;
    for (std::size_t n = 0; n < nodes.node_count(); n += together) {
        const std::size_t end =
            n + together < nodes.node_count() ? n + together : nodes.node_count();
        time_row row;
        row.name = end - n == 1 ? concat("node ", n) : concat("nodes ", n, "–", end - 1);
        for (std::size_t m = n; m < end; ++m)
            for (const rank_id r : nodes.ranks_of(static_cast<node_id>(m))) row.ranks.push_back(r);
        rows.push_back(std::move(row));
    }
    return rows;
}

/// From the first rank that begins to the last that has ended. `posted` is the first's.
inline phase_times over_ranks(std::span<const rank_id> ranks,
                              std::span<const std::vector<phase_times>> times, std::size_t phase) {
    phase_times all = times[static_cast<std::size_t>(ranks[0])][phase];
    for (const rank_id r : ranks) {
        const phase_times& one = times[static_cast<std::size_t>(r)][phase];
        if (one.ready < all.ready) all.ready = one.ready;
        if (one.posted < all.posted) all.posted = one.posted;
        if (one.done > all.done) all.done = one.done;
    }
    return all;
}

inline std::string time_axis(double left, double right, double top, double bottom, double seconds) {
    std::string svg;
    const double step = round_step(seconds, 8);
    for (int i = 0; step * i <= seconds * (1 + 1e-9); ++i) {
        const double x = left + (right - left) * step * i / seconds;
        svg += svg_rule(x, top, x, bottom, "rule");
        svg += svg_words(x, bottom + 16, "middle", i == 0 ? "0" : time_text(step * i));
    }
    return svg;
}

/// Two lanes a line, one for phases that go between nodes for the most part, one for the others.
/// A phase is drawn over those that end later, so that of chunks that wait for one link each shows
/// the piece by which it ends. `finished` [P]: when rows are in place; empty where not known.
inline std::string time_line(const std::vector<phase_sum>& phases,
                             std::span<const std::vector<phase_times>> times,
                             std::span<const double> finished, const topology& nodes,
                             std::string_view title) {
    constexpr double left = 112, right = 950, top = 30, lane = 12;
    double seconds = 0;
    for (const auto& rank : times)
        for (const phase_times& t : rank) seconds = t.done > seconds ? t.done : seconds;
    for (const double f : finished) seconds = f > seconds ? f : seconds;
    if (!(seconds > 0)) return "<p>Nothing is sent, so nothing takes time.</p>\n";

    bool used[2] = {false, false};  // between nodes, inside them
    std::vector<std::size_t> lane_of(phases.size());
    std::vector<std::string> look(phases.size());
    std::size_t of_lane[2] = {0, 0};
    for (std::size_t p = 0; p < phases.size(); ++p) {
        if (phases[p].inside.rows + phases[p].outside.rows == 0) continue;
        lane_of[p] = phases[p].tier() == link_tier::inter_node ? 0 : 1;
        used[lane_of[p]] = true;
        look[p] = concat(lane_of[p] == 0 ? "outside" : "inside",
                         of_lane[lane_of[p]]++ % 2 == 0 ? "" : "2");
    }
    const std::size_t lanes = used[0] && used[1] ? 2 : 1;
    const std::vector<time_row> rows = time_rows(nodes);
    const double pitch = lane * static_cast<double>(lanes) + 6;
    const double bottom = top + pitch * static_cast<double>(rows.size());
    const auto x = [&](double t) { return left + (right - left) * t / seconds; };

    std::string svg = svg_begin(
        right + 30, bottom + 26, title,
        concat(counted(static_cast<std::int64_t>(rows.size()), "line"), " over ",
               time_text(seconds), "; when each phase begins and ends is in the table below."));
    double key = left;
    const auto entry = [&](bool shown, std::string_view look_of, std::string_view words) {
        if (!shown) return;
        svg += svg_box(key, 4, 14, 11, look_of);
        svg += svg_words(key + 19, 14, "", words);
        key += 170;
    };
    entry(used[0], "outside", "mostly between nodes");
    entry(used[1], "inside", "inside nodes");
    entry(true, "place", finished.empty() ? "packing" : "packing, placing");
    svg += time_axis(left, right, top, bottom, seconds) + "\n";

    for (std::size_t i = 0; i < rows.size(); ++i) {
        const double y = top + pitch * static_cast<double>(i) + 3;
        svg += svg_words(left - 8, y + (pitch - 6) / 2 + 4, "end", rows[i].name);
        std::vector<std::pair<phase_times, std::size_t>> bars;  // latest end first
        for (std::size_t p = 0; p < phases.size(); ++p) {
            if (look[p].empty()) continue;
            const phase_times t = over_ranks(rows[i].ranks, times, p);
            if (!(t.done > t.ready)) continue;
            std::size_t at = bars.size();
            while (at > 0 && bars[at - 1].first.done < t.done) --at;
            bars.insert(bars.begin() + static_cast<std::ptrdiff_t>(at), {t, p});
        }
        std::vector<double> numbered[2];  // where the numbers in each lane end
        for (const auto& [t, p] : bars) {
            const double lane_y = y + (lanes == 2 ? lane * static_cast<double>(lane_of[p]) : 0);
            const double width = x(t.done) - x(t.ready);
            svg += svg_box(x(t.ready), lane_y, width > 1 ? width : 1, lane - 1, look[p]);
            const double packing = x(t.posted) - x(t.ready);
            if (packing >= 0.5) svg += svg_box(x(t.ready), lane_y, packing, lane - 8, "place");
            bool room = phases.size() > 1 && width >= 16;
            for (const double end : numbered[lane_of[p]])
                room = room && (end - x(t.done) >= 16 || x(t.done) - end >= 16);
            if (!room) continue;
            numbered[lane_of[p]].push_back(x(t.done));
            svg += svg_words(x(t.done) - 3, lane_y + 9, "small", concat(p + 1));
        }
        if (finished.empty()) {
            svg += "\n";
            continue;
        }
        double begin = 0, end = 0;  // of the rank that is last
        for (const rank_id r : rows[i].ranks) {
            if (finished[static_cast<std::size_t>(r)] < end) continue;
            end = finished[static_cast<std::size_t>(r)];
            begin = 0;
            for (const phase_times& t : times[static_cast<std::size_t>(r)])
                begin = t.done > begin ? t.done : begin;
        }
        if (x(end) - x(begin) >= 0.3)
            svg += svg_box(x(begin), y, x(end) - x(begin), pitch - 7, "place");
        svg += "\n";
    }
    return svg + svg_end();
}

/// The numbers behind the time lines: predicted, and measured where there are any.
inline std::string phase_table(const std::vector<phase_sum>& phases,
                               std::span<const std::vector<phase_times>> predicted,
                               std::span<const std::vector<phase_times>> measured,
                               std::string_view caption) {
    std::vector<rank_id> everyone;
    for (std::size_t r = 0; r < predicted.size(); ++r) everyone.push_back(static_cast<rank_id>(r));
    std::string rows;
    for (std::size_t p = 0; p < phases.size(); ++p) {
        const phase_sum& sum = phases[p];
        const phase_times t = over_ranks(everyone, predicted, p);
        rows +=
            concat("<tr>", cell(concat(p + 1)), "<td class=\"name\">", escaped(sum.name), "</td>",
                   cell(count_text(sum.outside.rows)), cell(count_text(sum.outside.messages)),
                   cell(bytes_text(sum.outside.bytes)), cell(count_text(sum.inside.rows)),
                   cell(count_text(sum.inside.messages)), cell(bytes_text(sum.inside.bytes)),
                   cell(time_text(t.ready)), cell(time_text(t.done)));
        if (!measured.empty()) {
            const phase_times m = over_ranks(everyone, measured, p);
            rows += concat(cell(time_text(m.ready)), cell(time_text(m.done)));
        }
        rows += "</tr>\n";
    }
    return concat("<div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"", caption,
                  "\"><table><caption>", caption,
                  "</caption><thead><tr><td></td><th class=\"name\">phase</th>"
                  "<th>rows between nodes</th><th>messages</th><th>bytes</th>"
                  "<th>rows inside</th><th>messages</th><th>bytes</th>"
                  "<th>first begins</th><th>last ends</th>",
                  measured.empty() ? "" : "<th>measured: begins</th><th>ends</th>",
                  "</tr></thead><tbody>\n", rows, "</tbody></table></div>\n");
}

}  // namespace locmoe::detail::page
