#include "locmoe/routing/adaptive_mu.hpp"

#include <cstdint>
#include <vector>

#include "catch.hpp"

namespace {

using locmoe::adaptive_mu;
using counts = std::vector<std::int64_t>;

// Nodes of 1, 2, 1 and 1 ranks, interleaved. Node 0 holds experts 2 and 5, node 1 experts 0, 1 and
// 4, node 2 none, node 3 expert 3.
constexpr std::size_t n = 6;
const auto nodes = locmoe::topology::from_node_of_rank({1, 0, 1, 2, 3});
const auto placement = locmoe::expert_placement::from_rank_of_expert({0, 2, 1, 4, 0, 1}, 5);

locmoe::route_context on_rank(locmoe::rank_id rank) {
    return {rank, nodes, placement};
}

}  // namespace

TEST_CASE("mu stays whole where the node has room and the load is even") {
    CHECK(adaptive_mu({.mu = 0.5}, {.pairs = 30, .capacity = 10}, counts(n, 4), on_rank(0)) == 0.5);
    CHECK(adaptive_mu({.mu = 0.5}, {.pairs = 1000}, counts(n, 4), on_rank(4)) == 0.5);
    CHECK(adaptive_mu({.mu = 0.5}, {}, counts(n, 0), on_rank(1)) == 0.5);
}

TEST_CASE("mu falls with the share of its pairs that a node's own experts have room for") {
    const locmoe::local_demand demand{.pairs = 60, .capacity = 10};
    CHECK(adaptive_mu({.mu = 1}, demand, counts(n, 4), on_rank(0)) == Approx(0.5));
    CHECK(adaptive_mu({.mu = 1}, demand, counts(n, 4), on_rank(2)) == Approx(0.5));
    CHECK(adaptive_mu({.mu = 1}, demand, counts(n, 4), on_rank(1)) == Approx(20.0 / 60));
    CHECK(adaptive_mu({.mu = 1}, demand, counts(n, 4), on_rank(4)) == Approx(10.0 / 60));
    CHECK(adaptive_mu({.mu = 1}, {.pairs = 60, .capacity = 0}, counts(n, 4), on_rank(0)) == 0);
}

TEST_CASE("at the paper's 256N, where half the nodes hold no expert, those ask for no locality") {
    CHECK(adaptive_mu({}, {.pairs = 1}, counts(n, 4), on_rank(3)) == 0);
    const auto wide = locmoe::topology::uniform(32, 8);
    const auto sixteen = locmoe::expert_placement::blocked(16, 256);
    int without = 0;
    for (locmoe::rank_id r = 0; r < 256; r += 8)
        without += adaptive_mu({}, {.pairs = 1024, .capacity = 2048}, counts(16, 9),
                               {r, wide, sixteen}) == 0;
    CHECK(without == 16);
}

TEST_CASE("mu falls on a line from one imbalance to another, and never rises with it") {
    const locmoe::adaptive_mu_options options{.mu = 1, .balance_from = 1.5, .balance_to = 3};
    const auto at = [&](std::int64_t most) {  // a mean load of 100
        return adaptive_mu(options, {}, counts{most, 600 - most, 0, 0, 0, 0}, on_rank(0));
    };
    CHECK(adaptive_mu(options, {}, counts{150, 90, 90, 90, 90, 90}, on_rank(0)) == 1);
    CHECK(adaptive_mu(options, {}, counts{225, 75, 75, 75, 75, 75}, on_rank(0)) == Approx(0.5));
    CHECK(at(300) == 0);
    CHECK(at(600) == 0);
    double last = 1;
    for (std::int64_t most = 100; most <= 600; most += 10) {
        const std::int64_t rest = (600 - most) / 5;
        const double mu = adaptive_mu(
            options, {}, counts{most, rest, rest, rest, rest, 600 - most - 4 * rest}, on_rank(0));
        CHECK(mu <= last);
        last = mu;
    }
    CHECK(last == 0);
}

TEST_CASE("an adaptive mu refuses options and counts that cannot be") {
    CHECK_THROWS_AS(adaptive_mu({.mu = -1}, {}, counts(n, 1), on_rank(0)), locmoe::argument_error);
    CHECK_THROWS_AS(adaptive_mu({.balance_from = 0.5}, {}, counts(n, 1), on_rank(0)),
                    locmoe::argument_error);
    CHECK_THROWS_AS(adaptive_mu({.balance_from = 3}, {}, counts(n, 1), on_rank(0)),
                    locmoe::argument_error);
    CHECK_THROWS_AS(adaptive_mu({}, {.pairs = -1}, counts(n, 1), on_rank(0)),
                    locmoe::argument_error);
    CHECK_THROWS_AS(adaptive_mu({}, {.pairs = 1, .capacity = -1}, counts(n, 1), on_rank(0)),
                    locmoe::argument_error);
    CHECK_THROWS_AS(adaptive_mu({}, {}, counts(n - 1, 1), on_rank(0)), locmoe::argument_error);
    CHECK_THROWS_AS(adaptive_mu({}, {}, counts{1, 1, -1, 1, 1, 1}, on_rank(0)),
                    locmoe::argument_error);
}
