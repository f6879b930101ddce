// How planning and exchange grow with the cluster, up to 4,096 ranks, none of which need be there:
// all ranks' planners in one process, and `simulate`'s clock for what they planned.
//
// Nodes of 8 ranks, 4 nodes a leaf switch, one card of 12.5 GB/s a node, 30 GB/s inside; 256 tokens a
// rank, rows of 4 KiB, two different experts a token, one expert a rank, all equally likely. `--svg FILE`
// draws the curves.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <functional>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "locmoe/assign/assignment.hpp"
#include "locmoe/plan/detail/from_next_rank.hpp"
#include "locmoe/plan/direct.hpp"
#include "locmoe/plan/lower_bound.hpp"
#include "locmoe/plan/node_aggregated.hpp"
#include "locmoe/plan/simulate.hpp"
#include "locmoe/plan/strategy.hpp"
#include "locmoe/routing/routing.hpp"
#include "locmoe/topology/cluster_costs.hpp"

#include "rows.hpp"

namespace {

using namespace locmoe;

constexpr std::size_t ranks_per_node = 8, tokens = 256, row_bytes = 4096;

cluster_costs costs() {
    cluster_costs c;
    c.leaves = leaf_switches{};
    return c;
}

std::vector<assignment> draw_assignments(std::size_t ranks) {
    std::vector<assignment> all;
    for (std::size_t r = 0; r < ranks; ++r) {
        std::mt19937_64 random(r + 1);
        routing chosen{tokens, 2, ranks};
        for (std::size_t t = 0; t < tokens; ++t) {
            const auto first = static_cast<expert_id>(random() % ranks);
            const auto further = static_cast<expert_id>(1 + random() % (ranks - 1));
            chosen.chosen.push_back(first);
            chosen.chosen.push_back((first + further) % static_cast<expert_id>(ranks));
        }
        chosen.weights.assign(2 * tokens, 0.5f);
        all.push_back(assign(chosen, {}));
    }
    return all;
}

struct outcome {
    double plan_us = 0;         ///< of one rank, the mean
    double metadata_bytes = 0;  ///< that one rank sends, the largest
    double dispatch_ms = 0;
    double bound_ms = 0;
};

template <class Strategy>
outcome run(const Strategy& strategy, std::size_t ranks, const std::vector<assignment>& assigned) {
    const topology nodes = topology::uniform(ranks / ranks_per_node, ranks_per_node);
    const auto placement = expert_placement::blocked(ranks, ranks);
    std::chrono::steady_clock::duration spent{};
    const auto timed = [&](auto&& work) {
        const auto begin = std::chrono::steady_clock::now();
        work();
        spent += std::chrono::steady_clock::now() - begin;
    };
    std::vector<plan_request> requests;
    for (std::size_t r = 0; r < ranks; ++r)
        requests.push_back({static_cast<rank_id>(r), nodes, placement, assigned[r]});
    using planner = decltype(strategy.planner(requests[0]));
    std::vector<planner> planners;
    planners.reserve(ranks);
    timed([&] {
        for (const plan_request& request : requests) planners.push_back(strategy.planner(request));
    });
    std::vector<std::size_t> words(ranks, 0);
    for (std::size_t round = 0; round < planner::rounds; ++round) {
        std::vector<std::vector<message>> sent(ranks), inbox(ranks);
        timed([&] {
            for (std::size_t r = 0; r < ranks; ++r) sent[r] = planners[r].outgoing(round);
        });
        for (std::size_t r = 0; r < ranks; ++r)
            for (message& m : sent[r]) {
                words[r] += m.words.size();
                inbox[static_cast<std::size_t>(m.peer)].push_back(
                    {static_cast<rank_id>(r), std::move(m.words)});
            }
        for (std::size_t r = 0; r < ranks; ++r)
            inbox[r] = locmoe::detail::from_next_rank(static_cast<rank_id>(r), std::move(inbox[r]));
        timed([&] {
            for (std::size_t r = 0; r < ranks; ++r) planners[r].incoming(round, inbox[r]);
        });
    }
    std::vector<exchange_plan> plans;
    plans.reserve(ranks);
    timed([&] {
        for (planner& p : planners) plans.push_back(p.finish());
    });
    planners.clear();
    outcome o;
    o.plan_us = std::chrono::duration<double, std::micro>(spent).count() /
                static_cast<double>(ranks);
    o.metadata_bytes = 8 * static_cast<double>(*std::max_element(words.begin(), words.end()));
    o.bound_ms = 1e3 * lower_bound(plans, row_bytes, nodes, costs()).seconds();
    o.dispatch_ms =
        1e3 * simulate(plans, &exchange_plan::dispatch, row_bytes, nodes, costs()).seconds;
    return o;
}

struct curve {
    std::string name, colour;
    std::vector<std::pair<double, double>> points;
};

/// One figure with logarithmic axes, at `x0` of the page.
std::string panel(double x0, const std::string& title, const std::vector<curve>& curves) {
    constexpr double width = 250, height = 220, top = 50, left = 55;
    double low = 1e300, high = 0;
    for (const curve& c : curves)
        for (const auto& [ranks, value] : c.points) {
            low = std::min(low, value);
            high = std::max(high, value);
        }
    const double bottom_decade = std::floor(std::log10(low));
    const double decades = std::max(1.0, std::ceil(std::log10(high)) - bottom_decade);
    const auto x = [&](double ranks) {
        return x0 + left + width * (std::log2(ranks) - 6) / 6;  // 64 to 4,096
    };
    const auto y = [&](double value) {
        return top + height * (1 - (std::log10(value) - bottom_decade) / decades);
    };
    std::string out;
    char line[256];
    const auto text = [&](double at_x, double at_y, const char* anchor, const std::string& words) {
        std::snprintf(line, sizeof line, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>\n",
                      at_x, at_y, anchor, words.c_str());
        out += line;
    };
    text(x0 + left, 30, "start", title);
    for (double d = 0; d <= decades; ++d) {
        const double value = std::pow(10, bottom_decade + d);
        std::snprintf(line, sizeof line,
                      "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"#ddd\"/>\n",
                      x0 + left, x0 + left + width, y(value), y(value));
        out += line;
        char number[32];
        std::snprintf(number, sizeof number, "%g", value);
        text(x0 + left - 5, y(value) + 4, "end", number);
    }
    for (int ranks = 64; ranks <= 4096; ranks *= 4)
        text(x(ranks), top + height + 16, "middle", std::to_string(ranks));
    double key = top + height + 36;
    for (const curve& c : curves) {
        std::string points;
        for (const auto& [ranks, value] : c.points) {
            std::snprintf(line, sizeof line, "%.1f,%.1f ", x(ranks), y(value));
            points += line;
        }
        out += "<polyline fill=\"none\" stroke-width=\"2\" stroke=\"" + c.colour + "\" points=\"" +
               points + "\"/>\n";
        std::snprintf(line, sizeof line, "<rect x=\"%.1f\" y=\"%.1f\" width=\"10\" height=\"10\" ",
                      x0 + left, key - 9);
        out += line + ("fill=\"" + c.colour + "\"/>\n");
        text(x0 + left + 16, key, "start", c.name);
        key += 16;
    }
    return out;
}

bool draw(const std::string& path, const std::vector<std::string>& panels) {
    std::ofstream file(path);
    file << "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"1000\" height=\"360\" "
            "font-family=\"sans-serif\" font-size=\"12\">\n"
            "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n";
    for (const std::string& one : panels) file << one;
    file << "</svg>\n";
    file.close();
    return static_cast<bool>(file);
}

}  // namespace

int main(int argc, char** argv) {
    std::string svg;
    std::vector<char*> rest;
    for (int i = 0; i < argc; ++i)
        if (std::string_view(argv[i]) == "--svg" && i + 1 < argc)
            svg = argv[++i];
        else
            rest.push_back(argv[i]);
    bench::report report("scaling", static_cast<int>(rest.size()), rest.data());

    curve plan_direct{"direct", "#4878a8", {}}, plan_nodes{"rows once per node", "#d1495b", {}};
    curve sent_direct = plan_direct, sent_nodes = plan_nodes;
    curve time_direct = plan_direct, time_nodes = plan_nodes, bound{"bound", "#999", {}};
    for (std::size_t ranks = 64; ranks <= 4096; ranks *= 2) {
        const auto assigned = draw_assignments(ranks);
        const outcome flat = run(direct{}, ranks, assigned);
        const outcome nodes = run(node_aggregated{}, ranks, assigned);
        const auto p = static_cast<double>(ranks);
        plan_direct.points.emplace_back(p, flat.plan_us);
        plan_nodes.points.emplace_back(p, nodes.plan_us);
        sent_direct.points.emplace_back(p, flat.metadata_bytes);
        sent_nodes.points.emplace_back(p, nodes.metadata_bytes);
        time_direct.points.emplace_back(p, flat.dispatch_ms);
        time_nodes.points.emplace_back(p, nodes.dispatch_ms);
        bound.points.emplace_back(p, nodes.bound_ms);

        const std::string name = std::to_string(ranks) + " ranks, ";
        const auto add = [&](const std::string& what, double value, const std::string& unit,
                             const std::string& rival, double rival_value) {
            report.add({name + what, value, unit, rival, rival_value, rival_value / value,
                        std::nullopt});
        };
        add("planning, rows once per node", nodes.plan_us, "us/rank", "direct", flat.plan_us);
        add("metadata, direct", flat.metadata_bytes, "bytes/rank",
            "all ranks' counts on all ranks", 8 * p * p);
        add("metadata, rows once per node", nodes.metadata_bytes, "bytes/rank",
            "all ranks' counts on all ranks", 8 * p * p);
        add("dispatch, direct", flat.dispatch_ms, "ms", "bound", flat.bound_ms);
        add("dispatch, rows once per node", nodes.dispatch_ms, "ms", "direct", flat.dispatch_ms);
    }
    if (!svg.empty() &&
        !draw(svg, {panel(0, "Planning, microseconds a rank", {plan_direct, plan_nodes}),
                    panel(330, "Metadata, bytes a rank sends", {sent_direct, sent_nodes}),
                    panel(660, "Predicted dispatch, ms", {time_direct, time_nodes, bound})})) {
        std::fprintf(stderr, "cannot write %s\n", svg.c_str());
        return 1;
    }
    return report.finish();
}
