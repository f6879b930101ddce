#include "locmoe/topology/rank_groups.hpp"

#include <cstddef>
#include <vector>

#include "catch.hpp"

using namespace locmoe;

namespace {

std::vector<rank_id> ranks(const rank_groups& groups, std::size_t group) {
    const auto all = groups.ranks_of(group);
    return {all.begin(), all.end()};
}

}  // namespace

TEST_CASE("groups are neighbours on a node and numbered by their lowest ranks", "[topology]") {
    // Node 0: ranks 1, 2, 4, 5; node 1: ranks 0, 3.
    const auto nodes = topology::from_node_of_rank({1, 0, 0, 1, 0, 0});
    const rank_groups groups(nodes, 2);
    REQUIRE(groups.group_count() == 3);
    CHECK(groups.group_size() == 2);
    CHECK(ranks(groups, 0) == std::vector<rank_id>{0, 3});
    CHECK(ranks(groups, 1) == std::vector<rank_id>{1, 2});
    CHECK(ranks(groups, 2) == std::vector<rank_id>{4, 5});
    for (std::size_t g = 0; g < 3; ++g)
        for (std::size_t i = 0; i < 2; ++i) {
            CHECK(groups.group_of(groups.ranks_of(g)[i]) == g);
            CHECK(groups.index_in_group(groups.ranks_of(g)[i]) == i);
        }
}

TEST_CASE("groups of one are the ranks and groups of all of a node the nodes", "[topology]") {
    const auto nodes = topology::uniform(3, 4);
    const rank_groups ones(nodes, 1);
    CHECK(ones.group_count() == 12);
    const rank_groups whole(nodes, 4);
    for (rank_id r = 0; r < 12; ++r) {
        CHECK(ones.group_of(r) == static_cast<std::size_t>(r));
        CHECK(whole.group_of(r) == static_cast<std::size_t>(nodes.node_of(r)));
    }
}

TEST_CASE("a group size that does not divide a node is refused", "[topology]") {
    const auto nodes = topology::from_node_of_rank({0, 0, 0, 0, 1, 1});
    CHECK_THROWS_WITH(rank_groups(nodes, 4),
                      Catch::Contains("rank_groups: group_size: expected a divisor of the 2 ranks "
                                      "of node 1, got 4"));
    CHECK_THROWS_WITH(rank_groups(nodes, 0), Catch::Contains("expected at least 1, got 0"));
}
