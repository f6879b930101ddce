#include "locmoe/topology/serve_nearest.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "random_cases.hpp"

using namespace locmoe;

namespace {

/// Replicas on ranks, and rows for them.
struct serving_case {
    topology nodes;
    expert_placement physical;
    std::vector<expert_id> logical_of;
    std::size_t experts;
    std::vector<std::int64_t> loads;  // [N, n]

    matrix_view<const std::int64_t> view() const {
        return {loads.data(), nodes.node_count(), experts};
    }
};

serving_case any_case(std::uint32_t seed, std::size_t max_ranks, std::size_t max_experts,
                      std::size_t max_load) {
    random_cases::generator g(seed);
    const std::size_t ranks = 1 + g.up_to(max_ranks - 1), experts = 1 + g.up_to(max_experts - 1);
    const topology nodes = random_cases::any_topology(g, ranks);
    std::vector<rank_id> rank_of;
    std::vector<expert_id> logical_of;
    for (std::size_t p = 0; p < experts + g.up_to(experts + 1); ++p) {
        rank_of.push_back(static_cast<rank_id>(g.up_to(ranks - 1)));
        logical_of.push_back(static_cast<expert_id>(p < experts ? p : g.up_to(experts - 1)));
    }
    std::vector<std::int64_t> loads(nodes.node_count() * experts);
    for (auto& load : loads) load = static_cast<std::int64_t>(g.up_to(max_load));
    return {nodes, expert_placement::from_rank_of_expert(std::move(rank_of), ranks),
            std::move(logical_of), experts, std::move(loads)};
}

/// The best that any split of whole rows can do, row after row by hand.
struct by_hand {
    std::vector<std::int64_t> row_node, row_expert, of_rank;
    std::int64_t best_load = 0, best_inter_node = 0;

    /// The least of the largest loads; then the fewest inter-node rows with no load above the cap.
    by_hand(const serving_case& c, std::int64_t cap) : of_rank(c.nodes.rank_count(), 0) {
        for (std::size_t n = 0; n < c.nodes.node_count(); ++n)
            for (std::size_t e = 0; e < c.experts; ++e)
                for (std::int64_t i = 0; i < c.loads[n * c.experts + e]; ++i) {
                    row_node.push_back(static_cast<std::int64_t>(n));
                    row_expert.push_back(static_cast<std::int64_t>(e));
                }
        best_load = static_cast<std::int64_t>(row_node.size());
        try_all(c, 0, 0, best_load, true);
        best_inter_node = static_cast<std::int64_t>(row_node.size());
        try_all(c, 0, 0, std::max(cap, best_load), false);
    }

    void try_all(const serving_case& c, std::size_t row, std::int64_t inter_node, std::int64_t cap,
                 bool for_load) {
        if (!for_load && inter_node >= best_inter_node) return;
        if (row == row_node.size()) {
            best_inter_node = inter_node;
            best_load = std::min(best_load, *std::max_element(of_rank.begin(), of_rank.end()));
            return;
        }
        for (std::size_t p = 0; p < c.logical_of.size(); ++p) {
            if (c.logical_of[p] != row_expert[row]) continue;
            const rank_id rank = c.physical.rank_of(static_cast<expert_id>(p));
            const auto r = static_cast<std::size_t>(rank);
            if (of_rank[r] + 1 > cap || (for_load && of_rank[r] + 1 >= best_load)) continue;
            ++of_rank[r];
            try_all(c, row + 1, inter_node + (c.nodes.node_of(rank) != row_node[row]), cap,
                    for_load);
            --of_rank[r];
        }
    }
};

std::int64_t mean_of(const serving_case& c, std::int64_t total, double load_cap) {
    std::int64_t holders = 0;
    for (std::size_t r = 0; r < c.nodes.rank_count(); ++r)
        holders += !c.physical.experts_of(static_cast<rank_id>(r)).empty();
    return detail::rank_cap(total, holders, load_cap);
}

struct served {
    std::vector<std::int64_t> of_rank;
    std::int64_t inter_node = 0;
};

/// What ranks get where shares are rows, as they are for pairs with a load.
served count_rows(const serving_case& c, const replicated_placement& placed) {
    served s{std::vector<std::int64_t>(c.nodes.rank_count(), 0)};
    for (std::size_t n = 0; n < c.nodes.node_count(); ++n)
        for (std::size_t p = 0; p < c.logical_of.size(); ++p) {
            const auto node = static_cast<node_id>(n);
            const auto replica = static_cast<expert_id>(p);
            if (c.loads[n * c.experts + static_cast<std::size_t>(c.logical_of[p])] == 0) continue;
            const rank_id rank = c.physical.rank_of(replica);
            s.of_rank[static_cast<std::size_t>(rank)] += placed.share(node, replica);
            if (c.nodes.node_of(rank) != node) s.inter_node += placed.share(node, replica);
        }
    return s;
}

template <class Call>
std::string words_of(Call call) {
    try {
        call();
    } catch (const argument_error& e) {
        return e.what();
    }
    return "nothing thrown";
}

}  // namespace

TEST_CASE("no split of a small case has a lower cap or fewer inter-node rows") {
    std::size_t above_the_cap = 0, capped = 0;
    for (std::uint32_t seed = 0; seed < 400; ++seed) {
        const serving_case c = any_case(seed, 4, 3, 2);
        std::int64_t total = 0;
        for (const std::int64_t load : c.loads) total += load;
        if (total > 9) continue;
        for (const double load_cap : {1.0, 1.5, 3.0}) {
            const std::int64_t cap = mean_of(c, total, load_cap);
            const by_hand best(c, cap);
            const served s =
                count_rows(c, serve_nearest(c.physical, c.logical_of, c.view(), c.nodes, load_cap));
            INFO("seed " << seed << ", cap " << load_cap);
            CHECK(s.inter_node == best.best_inter_node);
            CHECK(*std::max_element(s.of_rank.begin(), s.of_rank.end()) <=
                  std::max(cap, best.best_load));
            above_the_cap += best.best_load > cap;
            capped += best.best_load <= cap;
        }
    }
    CHECK(above_the_cap > 50);  // both kinds are in the sample
    CHECK(capped > 50);
}

TEST_CASE("the largest load is the cap, or what the experts of some ranks force upon them") {
    std::size_t forced = 0;
    for (std::uint32_t seed = 0; seed < 300; ++seed) {
        const serving_case c = any_case(seed, 9, 7, 1000);
        std::int64_t total = 0, least = 0;
        for (const std::int64_t load : c.loads) total += load;
        for (std::size_t set = 1; set < std::size_t{1} << c.experts; ++set) {
            std::int64_t rows = 0, ranks = 0;  // of the set's experts, and all ranks that hold one
            for (std::size_t i = 0; i < c.loads.size(); ++i)
                if (set >> i % c.experts & 1) rows += c.loads[i];
            for (std::size_t r = 0; r < c.nodes.rank_count(); ++r) {
                bool holds = false;
                for (const expert_id p : c.physical.experts_of(static_cast<rank_id>(r)))
                    holds |= set >> c.logical_of[static_cast<std::size_t>(p)] & 1;
                ranks += holds;
            }
            least = std::max(least, (rows + ranks - 1) / ranks);
        }
        const std::int64_t cap = mean_of(c, total, 1.1);
        const served s = count_rows(c, serve_nearest(c.physical, c.logical_of, c.view(), c.nodes));
        const std::int64_t highest = *std::max_element(s.of_rank.begin(), s.of_rank.end());
        CHECK(highest <= std::max(cap, least));
        forced += least > cap;
    }
    CHECK(forced > 100);
}

TEST_CASE("shares add up to the loads, and serve their expert") {
    for (std::uint32_t seed = 0; seed < 300; ++seed) {
        const serving_case c = any_case(seed, 9, 12, 1000);
        const auto placed = serve_nearest(c.physical, c.logical_of, c.view(), c.nodes);
        for (std::size_t n = 0; n < c.nodes.node_count(); ++n)
            for (std::size_t e = 0; e < c.experts; ++e) {
                const auto node = static_cast<node_id>(n);
                const auto expert = static_cast<expert_id>(e);
                const std::int64_t load = c.loads[n * c.experts + e];
                if (load > 0) CHECK(placed.share_sum(node, expert) == load);
            }
        CHECK(placed ==
              serve_nearest(c.physical, c.logical_of, c.view(), c.nodes));  // the same every time
    }
}

TEST_CASE("own replicas serve all of their node's tokens where no cap stands in the way") {
    for (std::uint32_t seed = 0; seed < 200; ++seed) {
        const serving_case c = any_case(seed, 9, 12, 1000);
        const auto placed = serve_nearest(c.physical, c.logical_of, c.view(), c.nodes, 1e6);
        for (std::size_t n = 0; n < c.nodes.node_count(); ++n)
            for (std::size_t e = 0; e < c.experts; ++e) {
                const auto node = static_cast<node_id>(n);
                const auto expert = static_cast<expert_id>(e);
                std::int64_t own_copies = 0, own_share = 0;
                for (const expert_id p : placed.replicas_of(expert))
                    if (c.nodes.node_of(c.physical.rank_of(p)) == node) {
                        ++own_copies;
                        own_share += placed.share(node, p);
                    }
                if (own_copies > 0) CHECK(own_share == placed.share_sum(node, expert));
            }
    }
}

TEST_CASE("among splits with as few inter-node rows the loads are even") {
    // One node, both ranks hold both experts: nothing is inter-node, so 1.1 is no reason to lean.
    const std::vector<std::int64_t> loads{70, 30};
    const auto placed = serve_nearest(expert_placement::from_rank_of_expert({0, 0, 1, 1}, 2),
                                      {0, 1, 0, 1}, {loads.data(), 1, 2}, topology::single_node(2));
    CHECK(placed.share(0, 0) + placed.share(0, 1) == 50);
    CHECK(placed.share(0, 2) + placed.share(0, 3) == 50);
}

TEST_CASE("a pair without load is shared by the node's own replicas, else by all") {
    const std::vector<std::int64_t> loads{0, 0, 5, 5};
    const auto placed = serve_nearest(expert_placement::from_rank_of_expert({0, 1, 2, 3}, 4),
                                      {0, 0, 0, 1}, {loads.data(), 2, 2}, topology::uniform(2, 2));
    CHECK(placed.share(0, 0) == 1);
    CHECK(placed.share(0, 1) == 1);
    CHECK(placed.share(0, 2) == 0);
    CHECK(placed.share(0, 3) == 1);
}

TEST_CASE("serving refuses loads and caps that make no sense") {
    const auto physical = expert_placement::round_robin(2, 2);
    const auto nodes = topology::uniform(2, 1);
    const auto serve = [&](std::vector<std::int64_t> loads, std::vector<expert_id> logical_of,
                           double cap) {
        return words_of([&] {
            serve_nearest(physical, logical_of, {loads.data(), 2, 2}, nodes, cap);
        });
    };
    CHECK(serve({1, 1, 1, 1}, {0, 1}, 1) == "nothing thrown");
    CHECK(
        serve({1, 1, -1, 1}, {0, 1}, 1) ==
        "locmoe: serve_nearest: load of expert 0 from node 1: expected 0 or more, their sum below "
        "2^53, got -1");
    CHECK(
        serve({1, std::int64_t{1} << 53, 1, 1}, {0, 1}, 1) ==
        "locmoe: serve_nearest: load of expert 1 from node 0: expected 0 or more, their sum below "
        "2^53, got 9007199254740992");
    CHECK(serve({1, 1, 1, 1}, {0, 0}, 1) ==
          "locmoe: replicated_placement: expert 1: expected at least one replica, got none");
    CHECK(serve({1, 1, 1, 1}, {0, 1}, 0.5) ==
          "locmoe: serve_nearest: load_cap: expected 1 to 1e9, got 0.500000");
    const std::vector<std::int64_t> loads(3, 1);
    CHECK(words_of([&] {
              serve_nearest(physical, {0, 1}, {loads.data(), 1, 2}, nodes);
          }) == "locmoe: serve_nearest: loads: expected [2, 2], got [1, 2]");
}
