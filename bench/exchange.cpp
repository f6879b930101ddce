// One dispatch under every strategy, the one that the planner chooses, and the lower bound, on
// clusters that are not there: 8, 16 and 32 nodes of 8 ranks with the default `cluster_costs` (30
// GB/s a rank inside a node, one card of 12.5 GB/s a node, 5 us, 1 us a message, 4 nodes a leaf), 64
// experts. Times are `simulate`'s, which are those of the executor over `simulated_backend`, to the
// bit, without moving the rows.
//
// Routings: "uniform" takes k of the 64 experts at random, "zipf" by popularity 1 / rank (scattered
// over the ranks), "4 nodes" takes 4 nodes at random and k of their experts.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <numeric>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "locmoe/plan/choose.hpp"
#include "locmoe/plan/simulate.hpp"

#include "rows.hpp"

namespace {

using namespace locmoe;

constexpr std::size_t ranks_per_node = 8;
constexpr std::size_t experts = 64;
constexpr std::size_t row_sizes[] = {256, 2048, 8192};

enum class taste { uniform, zipf, four_nodes };

struct traffic_case {
    std::size_t nodes, choices, tokens;
    taste routing;

    std::size_t ranks() const { return nodes * ranks_per_node; }
    std::string text(std::size_t row_bytes) const {
        const char* names[] = {"uniform", "zipf", "4 nodes"};
        return std::to_string(nodes) + "x8 " + names[static_cast<int>(routing)] + " top-" +
               std::to_string(choices) + " T " + std::to_string(tokens) + ", " +
               std::to_string(row_bytes) + " B";
    }
};

/// Experts are chosen without repetition.
std::vector<assignment> assign_all(const traffic_case& c) {
    std::mt19937_64 random(1);
    std::vector<std::size_t> scattered(experts);
    std::iota(scattered.begin(), scattered.end(), std::size_t{0});
    std::shuffle(scattered.begin(), scattered.end(), random);
    std::vector<double> weight(experts, 1.0);
    if (c.routing == taste::zipf)
        for (std::size_t i = 0; i < experts; ++i)
            weight[scattered[i]] = 1.0 / static_cast<double>(i + 1);
    std::discrete_distribution<expert_id> popular(weight.begin(), weight.end());
    // Experts stand in order, so those of a node are neighbours. On more than 64 ranks some have none.
    const std::size_t groups = std::min(c.nodes, experts / 2);
    const std::size_t in_group = experts / groups;
    std::vector<std::size_t> group(groups);
    std::iota(group.begin(), group.end(), std::size_t{0});

    std::vector<assignment> all;
    std::vector<expert_id> taken;
    for (std::size_t r = 0; r < c.ranks(); ++r) {
        routing decided;
        decided.token_count = c.tokens;
        decided.choice_count = c.choices;
        decided.expert_count = experts;
        decided.weights.assign(c.tokens * c.choices, 1.0f);
        decided.chosen.reserve(c.tokens * c.choices);
        for (std::size_t t = 0; t < c.tokens; ++t) {
            taken.clear();
            if (c.routing == taste::four_nodes) {
                for (std::size_t i = 0; i < 4; ++i)
                    std::swap(group[i], group[i + random() % (groups - i)]);
            }
            while (taken.size() < c.choices) {
                const expert_id e =
                    c.routing == taste::four_nodes
                        ? static_cast<expert_id>(group[random() % 4] * in_group +
                                                 random() % in_group)
                        : popular(random);
                if (std::find(taken.begin(), taken.end(), e) == taken.end()) taken.push_back(e);
            }
            decided.chosen.insert(decided.chosen.end(), taken.begin(), taken.end());
        }
        all.push_back(assign(decided));
    }
    return all;
}

/// What is looked for over all cells.
struct findings {
    std::size_t cells = 0;
    std::size_t near_best = 0;  // within 5 percent
    std::vector<std::string> others;
    double least_over_direct = std::numeric_limits<double>::infinity();
    std::string slowest;
    std::size_t bandwidth_cells = 0;
    double worst_of_bound = std::numeric_limits<double>::infinity();
    double worst_combine = std::numeric_limits<double>::infinity();
    std::string worst_cell;
    std::string worst_combine_cell;
};

void raise_lowest(double& lowest, std::string& where, double value, const std::string& name) {
    if (value >= lowest) return;
    lowest = value;
    where = name;
}

/// All row sizes of one routing: plans do not depend on them.
void run(const traffic_case& c, bench::report& report, findings& found) {
    const topology nodes = topology::uniform(c.nodes, ranks_per_node);
    const auto placement = expert_placement::blocked(experts, c.ranks());
    const std::vector<assignment> assigned = assign_all(c);
    plan_options options;
    options.costs.leaves = leaf_switches{};
    const auto all = all_strategies();
    constexpr std::size_t sizes = std::size(row_sizes);
    constexpr std::size_t count = decltype(all)::count;

    std::vector<std::int64_t> sums;
    for (std::size_t r = 0; r < c.ranks(); ++r) {
        const auto words = choice_words(
            all, {static_cast<rank_id>(r), nodes, placement, assigned[r]}, options.costs);
        sums.resize(words.size(), 0);
        for (std::size_t i = 0; i < words.size(); ++i) sums[i] += words[i];
    }
    chosen_strategy chosen[sizes];
    for (std::size_t s = 0; s < sizes; ++s) {
        options.row_bytes = row_sizes[s];
        chosen[s] = choose(all, nodes, options, sums);
    }

    double ms[sizes][count];
    double combine_ms[sizes] = {};
    double row_share = 0;  // inter-node rows of node_aggregated over those of direct
    double combine_share = 0;
    std::string names[count];
    traffic flat;
    all.for_each([&](const auto& strategy, std::size_t number) {
        names[number] = strategy.name();
        const bool declines = !std::string(strategy.declines(nodes)).empty();
        std::vector<exchange_plan> plans;
        if (!declines) plans = plan_all(strategy, nodes, placement, assigned);
        traffic sent, back;
        for (const exchange_plan& plan : plans) {
            sent += plan.traffic(1);
            back += count_traffic(plan.combine, 1);
        }
        if (number == 0) flat = sent;
        if (number == 1) {
            row_share = static_cast<double>(sent.inter_node.rows) /
                        static_cast<double>(flat.inter_node.rows);
            combine_share = static_cast<double>(back.inter_node.rows) /
                            static_cast<double>(flat.inter_node.rows);
        }
        for (std::size_t s = 0; s < sizes; ++s) {
            const auto time = [&](flow exchange_plan::* which) {
                return 1e3 * simulate(plans, which, row_sizes[s], nodes, options.costs).seconds;
            };
            ms[s][number] = declines ? std::numeric_limits<double>::infinity()
                                     : time(&exchange_plan::dispatch);
            if (number == chosen[s].number) combine_ms[s] = time(&exchange_plan::combine);
        }
    });

    for (std::size_t s = 0; s < sizes; ++s) {
        const std::string cell = c.text(row_sizes[s]);
        const double mine = ms[s][chosen[s].number];
        const std::size_t best =
            static_cast<std::size_t>(std::min_element(ms[s], ms[s] + count) - ms[s]);
        const double bound = static_cast<double>(chosen[s].why.lower_bound) * 1e-6;
        report.add({cell + ": " + names[chosen[s].number], mine, "ms", "best: " + names[best],
                    ms[s][best], ms[s][best] / mine});
        std::printf("   ");
        for (std::size_t i = 0; i < count; ++i)
            if (ms[s][i] < 1e300) std::printf(" %s %.4g;", names[i].c_str(), ms[s][i]);
        std::printf(" combine %.4g; bound %.4g\n", combine_ms[s], bound);

        ++found.cells;
        if (mine <= 1.05 * ms[s][best])
            ++found.near_best;
        else
            found.others.push_back(cell);
        raise_lowest(found.least_over_direct, found.slowest, ms[s][0] / mine, cell);
        // Bandwidth dominates where the bound is ten times the latencies and overheads of the plan.
        double fixed = 0;
        for (const phase_cost& p : chosen[s].why.chosen().phases)
            fixed += static_cast<double>(p.fixed()) * 1e-6;
        if (bound >= 10 * fixed) {
            ++found.bandwidth_cells;
            raise_lowest(found.worst_of_bound, found.worst_cell, bound / mine, cell);
            raise_lowest(found.worst_combine, found.worst_combine_cell, bound / combine_ms[s],
                         cell);
        }
        const bool large = row_sizes[s] == 8192 && c.tokens == 4096 && c.choices == 8;
        if (large && c.routing == taste::uniform && c.nodes == 8)
            report.add({"direct over chosen, top-8 at 8 nodes, large rows", mine, "ms", "direct",
                        ms[s][0], ms[s][0] / mine, 1.5});
        if (large && c.routing == taste::four_nodes)
            report.add({"direct over chosen, " + cell, mine, "ms", "direct", ms[s][0],
                        ms[s][0] / mine, 2.2});
        if (row_sizes[s] == 256 && c.tokens == 64 && c.routing == taste::uniform)
            report.add({"direct over chosen, " + cell, mine, "ms", "direct", ms[s][0],
                        ms[s][0] / mine, 2.0});
    }
    if (c.choices == 8 && c.tokens == 4096 && c.nodes == 8 && c.routing != taste::zipf) {
        // D / (k (N - 1) / N), D being the distinct remote nodes of a token.
        const auto choose_of = [](double n, double k) {
            double ways = 1;
            for (double i = 0; i < k; ++i) ways *= (n - i) / (k - i);
            return ways;
        };
        const double distinct =
            c.routing == taste::uniform
                ? 7 * (1 - choose_of(56, 8) / choose_of(64, 8))
                : 4 * (1 - choose_of(24, 8) / choose_of(32, 8)) * 7 / 8;
        const char* which = c.routing == taste::uniform ? "uniform" : "4 nodes";
        for (const auto& [name, share] : {std::pair("dispatch", row_share),
                                          std::pair("combine", combine_share)}) {
            const double apart = std::abs(share / (distinct / 7) - 1);
            report.add({std::string("inter-node rows over direct's, ") + which + " top-8, " + name,
                        share, "", "formula", distinct / 7, 1 - apart, 0.99});
        }
    }
}

}  // namespace

int main(int argc, char** argv) {
    bench::report report("exchange", argc, argv);
    findings found;
    for (const std::size_t nodes : {8u, 16u, 32u})
        for (const taste routing : {taste::uniform, taste::zipf, taste::four_nodes})
            for (const std::size_t choices : {1u, 2u, 8u})
                for (const std::size_t tokens : {64u, 512u, 4096u})
                    if (routing != taste::four_nodes || choices == 8)
                        run({nodes, choices, tokens, routing}, report, found);

    report.add({"cells whose choice is within 5 % of the best strategy",
                static_cast<double>(found.near_best), "cells", "all cells",
                static_cast<double>(found.cells),
                static_cast<double>(found.near_best) / static_cast<double>(found.cells), 0.95});
    for (const std::string& cell : found.others) std::printf("    not there: %s\n", cell.c_str());
    report.add({"least of direct over chosen, " + found.slowest, found.least_over_direct, "",
                "direct", 1, found.least_over_direct, 1.0});
    const std::string in = " of " + std::to_string(found.bandwidth_cells) + " bandwidth cells, ";
    report.add({"worst" + in + found.worst_cell, 1 / found.worst_of_bound, "x bound",
                "lower bound", 1, found.worst_of_bound, 0.8});
    report.add({"worst combine" + in + found.worst_combine_cell, 1 / found.worst_combine,
                "x bound", "lower bound", 1, found.worst_combine, 0.8});
    return report.finish();
}
