#include "locmoe/plan/open_shop.hpp"

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

using matrix = std::vector<std::int64_t>;  // [N, N]

matrix any_rows(random_cases::generator& g, std::size_t nodes) {
    matrix rows(nodes * nodes);
    const double sparse = g.chance(0.3) ? 0.5 : 0.0;
    const std::size_t most = g.chance(0.3) ? 2 : 1000;
    for (auto& r : rows) r = g.chance(sparse) ? 0 : static_cast<std::int64_t>(g.up_to(most));
    return rows;
}

std::vector<message_order> orders_of(const matrix& rows, std::size_t nodes) {
    return open_shop_orders({rows.data(), nodes, nodes});
}

/// When all is over where each node sends, and takes, one message at a time in its order.
std::int64_t makespan(const matrix& rows, const std::vector<message_order>& orders) {
    const std::size_t nodes = orders.size();
    std::vector<std::int64_t> sends_at(nodes, 0), takes_at(nodes, 0);
    std::vector<std::size_t> sent(nodes, 0), taken(nodes, 0);
    for (bool moved = true; moved;) {
        moved = false;
        for (std::size_t s = 0; s < nodes; ++s) {
            if (sent[s] + 1 >= nodes) continue;
            const auto r = static_cast<std::size_t>(orders[s].to[sent[s]]);
            if (static_cast<std::size_t>(orders[r].from[taken[r]]) != s) continue;
            const std::int64_t begin = std::max(sends_at[s], takes_at[r]);
            sends_at[s] = takes_at[r] = begin + rows[s * nodes + r];
            ++sent[s];
            ++taken[r];
            moved = true;
        }
    }
    std::int64_t last = 0;
    for (std::size_t n = 0; n < nodes; ++n) {
        REQUIRE(sent[n] == nodes - 1);  // nobody waits for ever
        last = std::max({last, sends_at[n], takes_at[n]});
    }
    return last;
}

/// What the busiest node has to send or to take.
std::int64_t bound(const matrix& rows, std::size_t nodes) {
    std::int64_t most = 0;
    for (std::size_t n = 0; n < nodes; ++n) {
        std::int64_t out = 0, in = 0;
        for (std::size_t m = 0; m < nodes; ++m)
            if (m != n) {
                out += rows[n * nodes + m];
                in += rows[m * nodes + n];
            }
        most = std::max({most, out, in});
    }
    return most;
}

}  // namespace

TEST_CASE("an open shop order names every other node once and lets nobody wait for ever",
          "[plan][order]") {
    for (std::uint32_t seed = 0; seed < 500; ++seed) {
        random_cases::generator g(seed);
        const std::size_t nodes = 1 + g.up_to(11);
        const matrix rows = any_rows(g, nodes);
        const auto orders = orders_of(rows, nodes);
        CAPTURE(seed, nodes);
        REQUIRE(orders.size() == nodes);
        for (std::size_t n = 0; n < nodes; ++n)
            for (auto list : {orders[n].to, orders[n].from}) {
                list.push_back(static_cast<node_id>(n));
                std::sort(list.begin(), list.end());
                for (std::size_t i = 0; i < nodes; ++i)
                    REQUIRE(list[i] == static_cast<node_id>(i));
            }
        // Greedy: nobody idles who has a free partner left, hence no more than twice the bound.
        const std::int64_t took = makespan(rows, orders);
        REQUIRE(took >= bound(rows, nodes));
        REQUIRE(took <= 2 * bound(rows, nodes));
    }
}

TEST_CASE("an open shop order of many nodes is within a few per cent of the busiest node",
          "[plan][order]") {
    for (const auto& [nodes, percent] : {std::pair<std::size_t, int>{32, 8}, {128, 3}}) {
        random_cases::generator g(7);
        matrix rows(nodes * nodes);
        for (auto& r : rows) r = static_cast<std::int64_t>(500 + g.up_to(1000));
        const std::int64_t took = makespan(rows, orders_of(rows, nodes));
        CHECK(took * 100 <= bound(rows, nodes) * (100 + percent));
    }
}

TEST_CASE("equal rows, and none at all, give the rotated order", "[plan][order]") {
    for (const std::size_t nodes : {2u, 3u, 7u, 24u})
        for (const std::int64_t each : {0, 5}) {
            const auto orders = orders_of(matrix(nodes * nodes, each), nodes);
            const topology cluster = topology::uniform(nodes, 1);
            for (std::size_t n = 0; n < nodes; ++n) {
                const auto rotated = rotated_order(cluster, static_cast<node_id>(n));
                CHECK(orders[n].to == rotated.to);
                CHECK(orders[n].from == rotated.from);
            }
        }
}

TEST_CASE("the node with the most left goes first", "[plan][order]") {
    // Node 2 must take 9 from nodes 0 and 1; node 1 can give to 0 meanwhile.
    const auto orders = orders_of({0, 1, 5, 1, 0, 4, 1, 1, 0}, 3);
    CHECK(orders[0].to.front() == 2);
    CHECK(orders[2].from == std::vector<node_id>{0, 1});
    CHECK(orders[1].to == std::vector<node_id>{0, 2});
}

TEST_CASE("rows that are no matrix between nodes are refused", "[plan][order]") {
    const matrix rows{0, 1, -1, 0};
    CHECK_THROWS_WITH(orders_of(rows, 2),
                      "locmoe: open_shop_orders: rows from 1 to 0: expected 0 or more, got -1");
    CHECK_THROWS_AS(open_shop_orders({rows.data(), 1, 2}), argument_error);
}
