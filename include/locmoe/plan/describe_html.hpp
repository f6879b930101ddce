#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "locmoe/core/error.hpp"
#include "locmoe/plan/detail/page_bars.hpp"
#include "locmoe/plan/detail/page_choice.hpp"
#include "locmoe/plan/detail/page_heat.hpp"
#include "locmoe/plan/detail/page_style.hpp"
#include "locmoe/plan/detail/page_text.hpp"
#include "locmoe/plan/detail/page_time.hpp"
#include "locmoe/plan/exchange_plan.hpp"
#include "locmoe/plan/lower_bound.hpp"
#include "locmoe/plan/simulate.hpp"
#include "locmoe/plan/traffic.hpp"
#include "locmoe/topology/cluster_costs.hpp"
#include "locmoe/topology/topology.hpp"

namespace locmoe::inline v0 {

/// What the page says besides the plans.
struct page_options {
    std::size_t row_bytes = 0;                    ///< of the rows dispatched and combined
    cluster_costs costs = {};                     ///< what times are predicted by
    std::string title = "Exchange of a cluster";  ///< plain text

    /// [P][phases], in seconds from the exchange's start; empty: not measured.
    std::span<const std::vector<phase_times>> measured_dispatch = {};
    /// The same of combine.
    std::span<const std::vector<phase_times>> measured_combine = {};

    /// A figure of the capacity, as `to_svg` of a capacity report draws it; empty: none.
    std::string capacity_svg = {};
};

namespace detail::page {

/// Places a side of a map: it stays below half a megabyte, and a cell has 3 dots a side.
inline constexpr std::size_t most_places = 256;

inline void check_page(std::span<const exchange_plan> plans, const topology& nodes,
                       const page_options& options) {
    if (plans.size() != nodes.rank_count())
        throw_argument("describe_html", "plans",
                       concat("one for each of ", nodes.rank_count(), " ranks"),
                       concat(plans.size()));
    const auto check = [&](std::string_view name, std::span<const std::vector<phase_times>> times,
                           const flow& moved, std::size_t r) {
        if (times.empty()) return;
        if (times.size() != plans.size())
            throw_argument("describe_html", name, concat("times of ", plans.size(), " ranks"),
                           concat(times.size()));
        if (times[r].size() != moved.phases.size())
            throw_argument("describe_html", name,
                           concat("times of ", moved.phases.size(), " phases"),
                           concat(times[r].size()), static_cast<rank_id>(r));
    };
    for (std::size_t r = 0; r < plans.size(); ++r) {
        if (plans[r].rank != static_cast<rank_id>(r))
            throw_argument("describe_html", concat("plans[", r, "]"), concat("rank ", r, "'s plan"),
                           concat("rank ", plans[r].rank, "'s"));
        check("measured_dispatch", options.measured_dispatch, plans[r].dispatch, r);
        check("measured_combine", options.measured_combine, plans[r].combine, r);
    }
}

inline std::string bound_text(const exchange_bound& bound) {
    const double most = bound.seconds();
    if (!(most > 0)) return "";
    return concat("at least ", time_text(most), ", by ",
                  most == bound.nodes    ? "a network card"
                  : most == bound.leaves ? "a leaf's uplinks"
                                         : "a rank's links");
}

inline std::string traffic_table(const traffic& out, const traffic& back) {
    const auto row = [](std::string_view name, const traffic& t) {
        const auto side = [](const tier_traffic& one) {
            return concat(cell(count_text(one.rows)), cell(count_text(one.messages)),
                          cell(bytes_text(one.bytes)));
        };
        return concat("<tr><td class=\"name\">", name, "</td>", side(t.inter_node),
                      side(t.intra_node), "</tr>\n");
    };
    return concat(
        "<div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"Traffic\">"
        "<table><thead><tr><td></td><th>rows between nodes</th><th>messages</th>"
        "<th>bytes</th><th>rows inside nodes</th><th>messages</th><th>bytes</th></tr>"
        "</thead><tbody>\n",
        row("dispatch", out), row("combine", back), "</tbody></table></div>\n");
}

/// Which place sends most to others, and which takes in most. Rank r is in place `place_of[r]`.
inline std::string busiest_sentence(std::span<const exchange_plan> plans, std::size_t row_bytes,
                                    std::string_view what, const std::vector<std::size_t>& place_of,
                                    std::size_t places) {
    std::vector<std::int64_t> out(places, 0), in(places, 0);
    std::int64_t sum = 0;
    for (const exchange_plan& plan : plans)
        for (const phase& p : plan.dispatch.phases)
            for (const segment& s : p.sends) {
                const std::size_t from = place_of[static_cast<std::size_t>(plan.rank)];
                const std::size_t to = place_of[static_cast<std::size_t>(s.peer)];
                if (from == to) continue;
                const std::int64_t bytes = s.rows * static_cast<std::int64_t>(row_bytes);
                out[from] += bytes;
                in[to] += bytes;
                sum += bytes;
            }
    if (sum == 0) return concat("No ", what, " sends to another.");
    std::size_t sender = 0, receiver = 0;
    for (std::size_t i = 0; i < places; ++i) {
        if (out[i] > out[sender]) sender = i;
        if (in[i] > in[receiver]) receiver = i;
    }
    return concat("On average a ", what, " sends ",
                  bytes_text(sum / static_cast<std::int64_t>(places)), " to others; ", what, " ",
                  sender, " sends most, ", bytes_text(out[sender]), ", and ", what, " ", receiver,
                  " takes in most, ", bytes_text(in[receiver]), ".");
}

inline std::string node_map(std::span<const exchange_plan> plans, const topology& nodes,
                            std::size_t row_bytes) {
    const std::size_t count = nodes.node_count();
    const std::size_t together = (count + most_places - 1) / most_places;
    const std::size_t places = (count + together - 1) / together;
    std::vector<std::size_t> node_of, place_of;
    for (std::size_t r = 0; r < nodes.rank_count(); ++r) {
        node_of.push_back(static_cast<std::size_t>(nodes.node_of(static_cast<rank_id>(r))));
        place_of.push_back(node_of[r] / together);
    }
    std::vector<heat_label> labels;
    const std::size_t every = (places + 15) / 16;
    for (std::size_t p = 0; p < places; p += every)
        labels.push_back(
            {static_cast<double>(p) + 0.5, concat(places <= 12 ? "node " : "", p * together)});
    const traffic_matrix matrix(plans, row_bytes, place_of, places);
    const std::string html = concat(
        "<h3>By node</h3>\n<p>", busiest_sentence(plans, row_bytes, "node", node_of, count),
        " On the diagonal is what stays inside a node.",
        together > 1 ? concat(" Each cell stands for ", together, " by ", together, " nodes.") : "",
        "</p>\n",
        heat_map(matrix, "Bytes of one dispatch from node to node",
                 "Senders downwards, receivers across.", labels, {}));
    if (count > 32) return html;
    std::string head, rows;
    for (std::size_t n = 0; n < count; ++n) {
        head += concat("<th>to ", n, "</th>");
        rows += concat("<tr><td class=\"name\">node ", n, "</td>");
        for (std::size_t to = 0; to < count; ++to) rows += cell(bytes_text(matrix.at(n, to)));
        rows += "</tr>\n";
    }
    return concat(html,
                  "<details><summary>The same as a table</summary><div class=\"scroll\" "
                  "tabindex=\"0\" role=\"group\" aria-label=\"Bytes from node to node\"><table>"
                  "<thead><tr><th class=\"name\">from</th>",
                  head, "</tr></thead><tbody>\n", rows, "</tbody></table></div></details>\n");
}

inline std::string rank_map(std::span<const exchange_plan> plans, const topology& nodes,
                            std::size_t row_bytes) {
    const std::size_t ranks = nodes.rank_count();
    const std::size_t together = (ranks + most_places - 1) / most_places;
    const std::size_t places = (ranks + together - 1) / together;
    const bool few = ranks <= 12;
    std::vector<std::size_t> itself(ranks), place_of(ranks), borders;
    std::vector<heat_label> labels;
    const std::size_t every = (nodes.node_count() + 15) / 16;
    std::size_t line = 0;
    for (std::size_t n = 0; n < nodes.node_count(); ++n) {
        const std::size_t first = line;
        for (const rank_id r : nodes.ranks_of(static_cast<node_id>(n))) {
            if (few) labels.push_back({static_cast<double>(line) + 0.5, concat("rank ", r)});
            itself[static_cast<std::size_t>(r)] = static_cast<std::size_t>(r);
            place_of[static_cast<std::size_t>(r)] = line++ / together;
        }
        if (n > 0 && together == 1 && nodes.node_count() <= 64) borders.push_back(first);
        if (!few && nodes.node_count() > 1 && n % every == 0)
            labels.push_back(
                {static_cast<double>(first + line) / 2 / static_cast<double>(together), concat(n)});
    }
    return concat("<h3>By rank</h3>\n<p>",
                  busiest_sentence(plans, row_bytes, "rank", itself, ranks),
                  " Ranks stand in the order of their nodes",
                  borders.empty() ? "" : ", with lines between nodes",
                  labels.empty() || few ? "." : "; the numbers are the nodes'.",
                  together > 1 ? concat(" Each cell stands for ", together, " by ", together,
                                        " ranks: rank by rank this page would be too large.")
                               : "",
                  "</p>\n",
                  heat_map(traffic_matrix(plans, row_bytes, place_of, places),
                           "Bytes of one dispatch from rank to rank",
                           "Senders downwards, receivers across.", labels, borders));
}

inline std::string times_of(std::string_view name, std::span<const exchange_plan> plans,
                            flow exchange_plan::*which, const simulated_exchange& predicted,
                            std::span<const std::vector<phase_times>> measured,
                            const topology& nodes, std::size_t row_bytes) {
    const std::vector<phase_sum> phases = add_up_phases(plans, which, row_bytes);
    std::string html =
        concat("<h3>", name, ", predicted: ", time_text(predicted.seconds), "</h3>\n");
    html +=
        time_line(phases, predicted.phases, predicted.finished, nodes, concat(name, ", predicted"));
    if (!measured.empty()) {
        double seconds = 0;
        for (const auto& rank : measured)
            for (const phase_times& t : rank) seconds = t.done > seconds ? t.done : seconds;
        html += concat("<h3>", name, ", measured: ", time_text(seconds),
                       " until the last phase ends</h3>\n");
        html += time_line(phases, measured, {}, nodes, concat(name, ", measured"));
    }
    return html + phase_table(phases, predicted.phases, measured, concat(name, " by phase"));
}

inline std::string load_section(std::span<const exchange_plan> plans) {
    std::vector<std::int64_t> of_expert, of_rank, dropped;
    std::int64_t kept = 0, lost = 0;
    for (const exchange_plan& plan : plans) {
        for (std::size_t i = 0; i < plan.experts.size(); ++i) {
            const auto e = static_cast<std::size_t>(plan.experts[i]);
            if (e >= of_expert.size()) of_expert.resize(e + 1, 0);
            of_expert[e] = plan.expert_first[i + 1] - plan.expert_first[i];
        }
        of_rank.push_back(plan.expert_first.back());
        dropped.push_back(plan.dropped_pairs);
        kept += plan.expert_first.back();
        lost += plan.dropped_pairs;
    }
    const auto most = [](const std::vector<std::int64_t>& counts) {
        std::size_t at = 0;
        for (std::size_t i = 0; i < counts.size(); ++i) at = counts[i] > counts[at] ? i : at;
        return at;
    };
    const auto above_mean = [](std::int64_t value, std::int64_t sum, std::size_t count) {
        return sum == 0 ? std::string("0")
                        : three_digits(static_cast<double>(value) * static_cast<double>(count) /
                                       static_cast<double>(sum));
    };
    const std::size_t e = most(of_expert), r = most(of_rank), d = most(dropped);
    std::string html =
        concat("<h2>Load of the experts</h2>\n<p>Expert ", e, " has most rows, ",
               count_text(of_expert[e]), ", ", above_mean(of_expert[e], kept, of_expert.size()),
               " times the mean; rank ", r, " has most, ", count_text(of_rank[r]), ", ",
               above_mean(of_rank[r], kept, of_rank.size()), " times the mean.</p>\n");
    html += bar_chart(of_expert, "Rows of each expert", "expert");
    if (lost == 0) return html + "<h3>Drops</h3>\n<p>Nothing is dropped.</p>\n";
    const auto pairs = static_cast<double>(kept + lost);
    html += concat("<h3>Drops</h3>\n<p>", count_text(lost), " of ", count_text(kept + lost),
                   " pairs of token and expert found no room, ",
                   percent_text(static_cast<double>(lost), pairs),
                   "; most of one rank's: ", count_text(dropped[d]), ", of rank ", d, ".</p>\n");
    return html + bar_chart(dropped, "Dropped pairs of each rank", "rank");
}

/// A drawing with a style of its own, which the page's does not reach.
inline std::string picture(std::string_view svg, std::string_view title) {
    constexpr const char* digits = "0123456789ABCDEF";
    std::string address = "data:image/svg+xml,";
    for (const char c : svg) {
        const auto code = static_cast<unsigned char>(c);
        if (c == '"' || c == '#' || c == '%' || c == '<' || c == '>' || c == '&' || code < ' ' ||
            code > '~') {
            address += '%';
            address += digits[code / 16];
            address += digits[code % 16];
        } else {
            address += c;
        }
    }
    return concat("<img class=\"picture\" alt=\"", title, "\" src=\"", address, "\">\n");
}

}  // namespace detail::page

/// A whole cluster's exchange as one HTML page that needs nothing else, no network and no script:
/// `plans[r]` is rank r's. It shows the strategy and why it was chosen; who sends how much to whom,
/// by node and by rank; each phase on a time line, as `simulate` predicts it and, where given, as
/// measured; the load of the experts, and drops; the capacity where a figure is given. Above 256
/// ranks, or nodes, neighbours share a cell of the map, and above 32 nodes a line of the time line,
/// so that a page stays below 2 MB. Throws argument_error where plans, costs or times do not fit,
/// plan_error as `simulate` does.
inline std::string describe_html(std::span<const exchange_plan> plans, const topology& nodes,
                                 const page_options& options) {
    using namespace detail::page;
    using detail::concat;
    check_page(plans, nodes, options);
    const simulated_exchange out =
        simulate(plans, &exchange_plan::dispatch, options.row_bytes, nodes, options.costs);
    const simulated_exchange back =
        simulate(plans, &exchange_plan::combine, options.row_bytes, nodes, options.costs);
    const exchange_bound bound = lower_bound(plans, options.row_bytes, nodes, options.costs);

    traffic sent, returned;
    std::int64_t tokens = 0, pairs = 0, dropped = 0;
    std::size_t experts = 0;
    for (const exchange_plan& p : plans) {
        sent += p.traffic(options.row_bytes);
        returned += count_traffic(p.combine, options.row_bytes);
        tokens += static_cast<std::int64_t>(p.token_count);
        pairs += static_cast<std::int64_t>(p.pair_count());
        dropped += p.dropped_pairs;
        experts += p.experts.size();
    }
    const exchange_plan& first = plans[0];
    const double all = static_cast<double>(pairs + dropped);
    const std::string title = escaped(options.title);

    std::string html = concat(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>",
        title, "</title>\n<style>", style, "</style>\n</head>\n<body>\n<main>\n<h1>", title,
        "</h1>\n<p class=\"lead\"><strong>", escaped(first.strategy), "</strong>",
        first.choice ? choice_sentence(*first.choice) : ", the strategy that was asked for.",
        "</p>\n<dl>\n");
    html += tile("cluster", counted(static_cast<std::int64_t>(plans.size()), "rank"),
                 concat("on ", counted(static_cast<std::int64_t>(nodes.node_count()), "node")));
    html += tile("routing", counted(tokens, "token"),
                 concat("top-", first.choice_count, " of ", experts, " experts"));
    html += tile("dispatch, predicted", time_text(out.seconds), bound_text(bound));
    html += tile("combine, predicted", time_text(back.seconds), "");
    html += tile("between nodes", bytes_text(sent.inter_node.bytes),
                 concat("in ", counted(sent.inter_node.messages, "message"), " of dispatch"));
    html += tile("inside nodes", bytes_text(sent.intra_node.bytes),
                 concat("in ", counted(sent.intra_node.messages, "message"), " of dispatch"));
    html += tile("row", bytes_text(static_cast<std::int64_t>(options.row_bytes)),
                 counted(static_cast<std::int64_t>(options.row_bytes), "byte"));
    html += tile("dropped", percent_text(static_cast<double>(dropped), all),
                 concat("of ", counted(pairs + dropped, "pair")));
    html += "</dl>\n";
    if (first.choice) html += concat("<h2>Why this strategy</h2>\n", choice_table(*first.choice));
    html += concat(
        "<h2>Traffic</h2>\n", traffic_table(sent, returned),
        "<p class=\"soft\">The maps show one dispatch, every hop of a row counted; combine "
        "goes the same ways back. Steps of colour are logarithmic.</p>\n",
        node_map(plans, nodes, options.row_bytes), rank_map(plans, nodes, options.row_bytes));
    html += concat(
        "<h2>Time line</h2>\n<p class=\"soft\">Predicted by a simulation of the cluster's links. A "
        "bar begins when the phase may be packed and ends when its last message is in; ",
        nodes.rank_count() <= 16 ? "there is a line for each rank"
                                 : "on one line it runs from its first rank to its last",
        ". Numbers are the phases'; one that waits for another is hidden behind it.</p>\n",
        times_of("Dispatch", plans, &exchange_plan::dispatch, out, options.measured_dispatch, nodes,
                 options.row_bytes),
        times_of("Combine", plans, &exchange_plan::combine, back, options.measured_combine, nodes,
                 options.row_bytes));
    html += load_section(plans);
    if (!options.capacity_svg.empty())
        html += concat("<h3>Capacity</h3>\n",
                       picture(options.capacity_svg, "Capacity of an expert"));
    return html + "</main>\n</body>\n</html>\n";
}

}  // namespace locmoe
