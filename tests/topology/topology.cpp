#include "locmoe/topology/topology.hpp"

#include <algorithm>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "catch.hpp"

namespace {

using locmoe::node_id;
using locmoe::rank_id;
using locmoe::topology;

/// What holds for every topology: nodes and ranks are two views of one relation.
void check_laws(const topology& t, const std::vector<node_id>& node_of_rank) {
    REQUIRE(t.rank_count() == node_of_rank.size());
    std::size_t listed = 0;
    for (node_id node = 0; node < static_cast<node_id>(t.node_count()); ++node) {
        const auto ranks = t.ranks_of(node);
        CHECK(!ranks.empty());
        CHECK(std::is_sorted(ranks.begin(), ranks.end()));
        for (std::size_t i = 0; i < ranks.size(); ++i) {
            CHECK(t.node_of(ranks[i]) == node);
            CHECK(t.local_index(ranks[i]) == i);
        }
        listed += ranks.size();
    }
    CHECK(listed == t.rank_count());
    for (rank_id a = 0; a < static_cast<rank_id>(t.rank_count()); ++a) {
        CHECK(t.node_of(a) == node_of_rank[static_cast<std::size_t>(a)]);
        CHECK(t.ranks_of(t.node_of(a))[t.local_index(a)] == a);
        for (rank_id b = 0; b < static_cast<rank_id>(t.rank_count()); ++b) {
            const bool together = t.node_of(a) == t.node_of(b);
            CHECK(t.same_node(a, b) == together);
            CHECK(t.tier(a, b) == (a == b     ? locmoe::link_tier::self
                                   : together ? locmoe::link_tier::intra_node
                                              : locmoe::link_tier::inter_node));
        }
    }
}

/// Ranks thrown onto nodes, every node at least once.
std::vector<node_id> scattered(std::size_t nodes, std::size_t ranks, std::mt19937& random) {
    std::vector<node_id> node_of_rank(ranks);
    for (std::size_t r = 0; r < ranks; ++r)
        node_of_rank[r] = static_cast<node_id>(r < nodes ? r : random() % nodes);
    std::shuffle(node_of_rank.begin(), node_of_rank.end(), random);
    return node_of_rank;
}

std::string words_of_argument_error(std::vector<node_id> node_of_rank) {
    try {
        topology::from_node_of_rank(std::move(node_of_rank));
    } catch (const locmoe::argument_error& e) {
        return e.what();
    }
    return "nothing thrown";
}

}  // namespace

TEST_CASE("a uniform topology puts neighbours on one node") {
    const auto t = topology::uniform(3, 2);
    CHECK(t.node_count() == 3);
    check_laws(t, {0, 0, 1, 1, 2, 2});
    CHECK(t == topology::from_node_of_rank({0, 0, 1, 1, 2, 2}));
    CHECK_FALSE(t == topology::uniform(2, 3));
}

TEST_CASE("on a single node nothing is inter-node") {
    const auto t = topology::single_node(5);
    CHECK(t.node_count() == 1);
    check_laws(t, {0, 0, 0, 0, 0});
    check_laws(topology::uniform(1, 1), {0});
}

TEST_CASE("nodes may differ in size and their ranks need not be neighbours") {
    std::mt19937 random(11);
    for (std::size_t nodes = 1; nodes <= 5; ++nodes)
        for (std::size_t ranks = nodes; ranks <= 11; ++ranks) {
            const auto node_of_rank = scattered(nodes, ranks, random);
            const auto t = topology::from_node_of_rank(node_of_rank);
            CHECK(t.node_count() == nodes);
            check_laws(t, node_of_rank);
        }
}

TEST_CASE("a topology refuses no ranks, wrong node ids and empty nodes") {
    CHECK(words_of_argument_error({}) ==
          "locmoe: topology: node_of_rank: expected at least one rank, got none");
    CHECK(words_of_argument_error({0, -1}) ==
          "locmoe: topology: node of rank 1: expected 0 to 1, got -1");
    CHECK(words_of_argument_error({0, 1, 3}) ==
          "locmoe: topology: node of rank 2: expected 0 to 2, got 3");
    CHECK(words_of_argument_error({0, 2, 2}) ==
          "locmoe: topology: node 1: expected at least one rank, got none");
    CHECK_THROWS_AS(topology::uniform(0, 4), locmoe::argument_error);
    CHECK_THROWS_AS(topology::uniform(4, 0), locmoe::argument_error);
    CHECK_THROWS_AS(topology::uniform(~std::size_t{0}, 0), locmoe::argument_error);
    CHECK_THROWS_AS(topology::uniform(std::size_t{1} << 33, std::size_t{1} << 31),
                    locmoe::argument_error);
    CHECK_THROWS_AS(topology::single_node(std::size_t{1} << 31), locmoe::argument_error);
}

TEST_CASE("link tiers have names") {
    CHECK(locmoe::tier_name(locmoe::link_tier::self) == std::string("self"));
    CHECK(locmoe::tier_name(locmoe::link_tier::intra_node) == std::string("intra-node"));
    CHECK(locmoe::tier_name(locmoe::link_tier::inter_node) == std::string("inter-node"));
}
