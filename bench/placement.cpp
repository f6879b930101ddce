// Where experts stand: balance_experts against the placement rule of DeepSeek's EPLB and against
// experts dealt out in order, on the same synthetic loads.
//
// Loads: node n chooses expert e with weight exp(s_e + a_ne), s_e normal with deviation 0.5 (some
// experts are popular everywhere), a_ne normal with deviation `affinity` (each node's data has its
// own taste); 4,096 tokens a rank. EPLB says where replicas stand, not who is served by which; so
// its placement is served here as ours is, own node first under the same cap, which is the best it
// can get. The plain rule (each replica an equal part, which is what EPLB balances for) stands
// beside it.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <limits>
#include <numeric>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "locmoe/routing/routing.hpp"
#include "locmoe/routing/to_physical.hpp"
#include "locmoe/topology/balance_experts.hpp"

#include "rows.hpp"

namespace {

using locmoe::expert_id;
using locmoe::node_id;
using locmoe::rank_id;

constexpr double load_cap = 1.1;
constexpr std::size_t tokens_per_rank = 4096;
constexpr std::uint32_t seeds = 10;

struct cluster {
    std::size_t nodes, ranks_per_node, experts, slots_per_rank;

    std::size_t ranks() const { return nodes * ranks_per_node; }
    std::size_t slots() const { return ranks() * slots_per_rank; }
    std::string text() const {
        return std::to_string(nodes) + "x" + std::to_string(ranks_per_node) + " ranks, " +
               std::to_string(experts) + " experts, " + std::to_string(slots_per_rank) +
               (slots_per_rank == 1 ? " slot" : " slots");
    }
};

/// What each node's tokens choose with what probability: [N, n].
std::vector<double> tastes(const cluster& c, double affinity, std::uint32_t seed) {
    std::mt19937_64 random(seed);
    std::normal_distribution<double> normal;
    std::vector<double> popularity(c.experts), taste;
    for (double& p : popularity) p = 0.5 * normal(random);
    for (std::size_t n = 0; n < c.nodes; ++n) {
        std::vector<double> weight(c.experts);
        double sum = 0;
        for (std::size_t e = 0; e < c.experts; ++e)
            sum += weight[e] = std::exp(popularity[e] + affinity * normal(random));
        for (const double w : weight) taste.push_back(w / sum);
    }
    return taste;
}

std::vector<std::int64_t> expected_loads(const cluster& c, const std::vector<double>& taste) {
    std::vector<std::int64_t> loads;
    for (const double t : taste)
        loads.push_back(std::llround(t * static_cast<double>(c.ranks_per_node * tokens_per_rank)));
    return loads;
}

/// No placement can do better: each node holds as many of its favourites as it has slots, no cap.
double least_inter_node(const cluster& c, std::vector<double> taste) {
    double kept = 0;
    for (std::size_t n = 0; n < c.nodes; ++n) {
        const auto first = taste.begin() + static_cast<std::ptrdiff_t>(n * c.experts);
        std::sort(first, first + static_cast<std::ptrdiff_t>(c.experts), std::greater<>());
        const std::size_t held = std::min(c.experts, c.ranks_per_node * c.slots_per_rank);
        kept += std::accumulate(first, first + static_cast<std::ptrdiff_t>(held), 0.0);
    }
    return 1 - kept / static_cast<double>(c.nodes);
}

// EPLB's rule, in our words after github.com/deepseek-ai/EPLB (eplb.py).
namespace eplb {

struct packed {
    std::vector<std::size_t> pack, place;
};

/// Equal numbers of items a pack: the heaviest item left to the lightest pack with room.
packed pack_evenly(const std::vector<double>& weight, std::size_t packs) {
    const std::size_t room = weight.size() / packs;
    packed out{std::vector<std::size_t>(weight.size()), std::vector<std::size_t>(weight.size(), 0)};
    std::vector<std::size_t> order(weight.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    if (room == 1) {
        out.pack = order;
        return out;
    }
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return weight[a] > weight[b]; });
    std::vector<double> load(packs, 0);
    std::vector<std::size_t> held(packs, 0);
    for (const std::size_t item : order) {
        std::size_t best = packs;
        for (std::size_t p = 0; p < packs; ++p)
            if (held[p] < room && (best == packs || load[p] < load[best])) best = p;
        out.pack[item] = best;
        out.place[item] = held[best]++;
        load[best] += weight[item];
    }
    return out;
}

/// One replica each, then the next to the largest load per replica: the item of each slot.
std::vector<std::size_t> replicate(const std::vector<double>& weight, std::size_t slots,
                                   std::vector<double>& load_of_slot) {
    std::vector<std::size_t> item(weight.size());
    std::iota(item.begin(), item.end(), std::size_t{0});
    std::vector<double> count(weight.size(), 1);
    while (item.size() < slots) {
        std::size_t best = 0;
        for (std::size_t e = 1; e < weight.size(); ++e)
            if (weight[e] / count[e] > weight[best] / count[best]) best = e;
        item.push_back(best);
        ++count[best];
    }
    for (const std::size_t e : item) load_of_slot.push_back(weight[e] / count[e]);
    return item;
}

/// The logical expert of every physical one. Hierarchical: experts are packed to nodes, replicated
/// inside theirs, packed to its ranks. Global, EPLB's way where experts do not divide by nodes: the
/// same with the whole cluster as one node.
std::vector<expert_id> place(const std::vector<double>& weight, const cluster& c,
                             bool hierarchical) {
    const std::size_t nodes = hierarchical ? c.nodes : 1;
    const std::size_t experts = c.experts / nodes, slots = c.slots() / nodes;
    std::vector<std::size_t> by_node(c.experts);  // node by node
    if (nodes == 1) {
        std::iota(by_node.begin(), by_node.end(), std::size_t{0});
    } else {
        const packed on = pack_evenly(weight, nodes);
        for (std::size_t e = 0; e < c.experts; ++e) by_node[on.pack[e] * experts + on.place[e]] = e;
    }
    std::vector<expert_id> logical_of(c.slots());
    for (std::size_t n = 0; n < nodes; ++n) {
        std::vector<double> own, load_of_slot;
        for (std::size_t e = 0; e < experts; ++e) own.push_back(weight[by_node[n * experts + e]]);
        const auto item = replicate(own, slots, load_of_slot);
        const packed on = pack_evenly(load_of_slot, c.ranks() / nodes);
        for (std::size_t s = 0; s < slots; ++s)
            logical_of[n * slots + on.pack[s] * c.slots_per_rank + on.place[s]] =
                static_cast<expert_id>(by_node[n * experts + item[s]]);
    }
    return logical_of;
}

}  // namespace eplb

locmoe::expert_placement slots_in_order(const cluster& c) {
    std::vector<rank_id> rank_of;
    for (std::size_t p = 0; p < c.slots(); ++p)
        rank_of.push_back(static_cast<rank_id>(p / c.slots_per_rank));
    return locmoe::expert_placement::from_rank_of_expert(std::move(rank_of), c.ranks());
}

/// Inter-node fraction and largest load over the mean, over the seeds: mean of the one, worst of
/// the other.
struct outcome {
    double inter_node = 0;
    double load = 0;

    void add(locmoe::load_estimate one) {
        inter_node += one.inter_node_fraction / seeds;
        load = std::max(load, one.load_max_over_mean);
    }
};

/// The same counted, on tokens that a router draws from the tastes after the loads were observed.
locmoe::load_estimate count_next_batch(const cluster& c, const std::vector<double>& taste,
                                       const locmoe::replicated_placement& placed,
                                       std::uint32_t seed) {
    std::mt19937_64 random(seed);
    std::vector<double> of_rank(c.ranks(), 0);
    double inter_node = 0, all = 0;
    for (std::size_t r = 0; r < c.ranks(); ++r) {
        const auto rank = static_cast<rank_id>(r);
        const auto node = static_cast<std::size_t>(placed.nodes().node_of(rank));
        const auto first = taste.begin() + static_cast<std::ptrdiff_t>(node * c.experts);
        std::discrete_distribution<expert_id> draw(first,
                                                   first + static_cast<std::ptrdiff_t>(c.experts));
        locmoe::routing routed{tokens_per_rank, 1, c.experts};
        for (std::size_t t = 0; t < tokens_per_rank; ++t) routed.chosen.push_back(draw(random));
        routed.weights.assign(tokens_per_rank, 1);
        for (const expert_id p : locmoe::to_physical(routed, placed, rank).chosen) {
            const rank_id holder = placed.physical().rank_of(p);
            ++of_rank[static_cast<std::size_t>(holder)];
            inter_node += !placed.nodes().same_node(rank, holder);
            ++all;
        }
    }
    return {inter_node / all, *std::max_element(of_rank.begin(), of_rank.end()) *
                                  static_cast<double>(c.ranks()) / all};
}

void compare(bench::report& report, const cluster& c, double affinity, bool with_targets) {
    const auto nodes = locmoe::topology::uniform(c.nodes, c.ranks_per_node);
    outcome ours, ours_counted, eplb_counted, in_order, eplb_even, eplb_global, eplb_hierarchical;
    double least = 0;
    for (std::uint32_t seed = 1; seed <= seeds; ++seed) {
        const auto taste = tastes(c, affinity, seed);
        const auto loads = expected_loads(c, taste);
        const locmoe::matrix_view<const std::int64_t> view(loads.data(), c.nodes, c.experts);
        std::vector<double> weight(c.experts, 0);
        for (std::size_t i = 0; i < loads.size(); ++i)
            weight[i % c.experts] += static_cast<double>(loads[i]);

        const auto placed = locmoe::balance_experts(
            view, nodes, {.slots_per_rank = c.slots_per_rank, .load_cap = load_cap});
        ours.add(estimate_load(placed, view));
        ours_counted.add(count_next_batch(c, taste, placed, seed + 1000));

        least += least_inter_node(c, taste) / seeds;

        const auto serve = [&](const std::vector<expert_id>& logical_of) {
            return locmoe::serve_nearest(slots_in_order(c), logical_of, view, nodes, load_cap);
        };
        const auto global = eplb::place(weight, c, false);
        const auto global_served = serve(global);
        eplb_global.add(estimate_load(global_served, view));
        eplb_counted.add(count_next_batch(c, taste, global_served, seed + 1000));
        eplb_even.add(estimate_load(locmoe::replicated_placement::from_shares(
                                        slots_in_order(c), global, c.experts, nodes,
                                        std::vector<std::int64_t>(c.nodes * c.slots(), 1)),
                                    view));
        if (c.experts % c.nodes == 0)
            eplb_hierarchical.add(estimate_load(serve(eplb::place(weight, c, true)), view));
        std::vector<expert_id> dealt;
        for (std::size_t p = 0; p < c.slots(); ++p)
            dealt.push_back(static_cast<expert_id>(p % c.experts));
        in_order.add(estimate_load(serve(dealt), view));
    }

    char text[32];
    std::snprintf(text, sizeof text, ", affinity %.1f", affinity);
    const std::string name = c.text() + text;
    const auto target = [&](double ratio) {
        return with_targets ? std::optional<double>(ratio) : std::nullopt;
    };
    const auto fraction = [&](const std::string& what, double value, const std::string& rival,
                              double rival_value, std::optional<double> wanted) {
        report.add({name + ": " + what + " against " + rival, value, "fraction", rival, rival_value,
                    rival_value / value, wanted});
    };
    fraction("inter-node", ours.inter_node, "EPLB global", eplb_global.inter_node,
             target(1 / 0.65));
    if (c.experts % c.nodes == 0)
        fraction("inter-node", ours.inter_node, "EPLB hierarchical", eplb_hierarchical.inter_node,
                 target(1 / 0.65));
    fraction("inter-node", ours.inter_node, "EPLB global, replicas alike", eplb_even.inter_node,
             std::nullopt);
    fraction("inter-node", ours.inter_node, "experts in order", in_order.inter_node, std::nullopt);
    fraction("inter-node", ours.inter_node, "each node its own favourites, whatever the load",
             least, std::nullopt);
    fraction("inter-node, counted on the next batch", ours_counted.inter_node, "EPLB global",
             eplb_counted.inter_node, target(1 / 0.65));
    const auto load = [&](const std::string& what, double value, const std::string& rival,
                          double rival_value, std::optional<double> wanted) {
        report.add({name + ": " + what + " against " + rival, value, "max/mean", rival, rival_value,
                    rival_value / value, wanted});
    };
    // The cap is met where the last digit of a double says so or not.
    load("worst load", ours.load, "the cap", load_cap * (1 + 1e-12), target(1));
    load("worst load", ours.load, "EPLB global", eplb_global.load, std::nullopt);
    load("worst load", ours.load, "experts in order", in_order.load, std::nullopt);
    load("worst load, counted on the next batch", ours_counted.load, "EPLB global",
         eplb_counted.load, std::nullopt);
}

/// The paper's largest cluster: 16 experts on 32 nodes, so that half the nodes hold none.
void mend_the_paper(bench::report& report) {
    const cluster c{32, 8, 16, 1};
    const auto nodes = locmoe::topology::uniform(c.nodes, c.ranks_per_node);
    const std::vector<std::int64_t> loads(c.nodes * c.experts, 2048);
    const locmoe::matrix_view<const std::int64_t> view(loads.data(), c.nodes, c.experts);
    const auto ours =
        estimate_load(locmoe::balance_experts(view, nodes, {.slots_per_rank = 1}), view);
    std::vector<expert_id> alone(c.experts);
    std::iota(alone.begin(), alone.end(), 0);
    const auto paper =
        estimate_load(locmoe::serve_nearest(locmoe::expert_placement::blocked(c.experts, c.ranks()),
                                            alone, view, nodes),
                      view);
    report.add({c.text() + ", uniform: inter-node", ours.inter_node_fraction, "fraction",
                "16 experts on 16 of 256 ranks", paper.inter_node_fraction,
                paper.inter_node_fraction / ours.inter_node_fraction, std::nullopt});
}

template <class Call>
double least_ms(int rounds, Call call) {
    double least = std::numeric_limits<double>::max();
    for (int i = 0; i < rounds; ++i) {
        const auto start = std::chrono::steady_clock::now();
        call();
        const std::chrono::duration<double, std::milli> took =
            std::chrono::steady_clock::now() - start;
        least = std::min(least, took.count());
    }
    return least;
}

void time_it(bench::report& report, const cluster& c) {
    const auto nodes = locmoe::topology::uniform(c.nodes, c.ranks_per_node);
    const auto loads = expected_loads(c, tastes(c, 1, 1));
    const locmoe::matrix_view<const std::int64_t> view(loads.data(), c.nodes, c.experts);
    std::vector<double> weight(c.experts, 0);
    for (std::size_t i = 0; i < loads.size(); ++i)
        weight[i % c.experts] += static_cast<double>(loads[i]);
    std::size_t replicas = 0;
    const double ours = least_ms(5, [&] {
        replicas += locmoe::balance_experts(view, nodes, {.slots_per_rank = c.slots_per_rank})
                        .physical()
                        .expert_count();
    });
    const double rival = least_ms(5, [&] { replicas += eplb::place(weight, c, false).size(); });
    if (replicas == 0) std::printf("nothing placed\n");
    report.add({c.text() + ": time to place", ours, "ms", "EPLB global (places only)", rival,
                rival / ours, std::nullopt});
}

}  // namespace

int main(int argc, char** argv) {
    bench::report report("placement", argc, argv);
    const cluster eight{8, 8, 64, 2}, paper{32, 8, 16, 1};
    compare(report, eight, 1.0, true);
    compare(report, paper, 1.0, true);
    compare(report, eight, 0.5, false);
    compare(report, paper, 0.5, false);
    compare(report, eight, 0.0, false);
    compare(report, paper, 0.0, false);
    mend_the_paper(report);
    time_it(report, eight);
    time_it(report, {32, 8, 256, 2});
    time_it(report, {128, 8, 256, 2});
    return report.finish();
}
