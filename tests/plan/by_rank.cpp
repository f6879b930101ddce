#include "locmoe/plan/detail/by_rank.hpp"

#include <cstddef>
#include <map>
#include <random>
#include <utility>
#include <vector>

#include "catch.hpp"

using locmoe::rank_id;

TEST_CASE("by_rank keeps each value where it lies and visits from the next rank on") {
    std::mt19937 random(13);
    for (int turn = 0; turn < 50; ++turn) {
        locmoe::detail::by_rank<int> values;
        std::map<rank_id, int*> expected;
        for (int i = 0; i < 60; ++i) {
            const auto rank = static_cast<rank_id>(random() % 40);
            const auto [value, fresh] = values.at(rank);
            REQUIRE(fresh == !expected.contains(rank));
            if (fresh) {
                REQUIRE(*value == 0);
                *value = rank;
                expected[rank] = value;
            }
            REQUIRE(value == expected[rank]);
        }
        const locmoe::detail::by_rank<int> moved = std::move(values);
        const auto own = static_cast<rank_id>(random() % 42) - 1;
        std::vector<std::pair<rank_id, const int*>> wanted, met;
        for (auto at = expected.upper_bound(own); at != expected.end(); ++at) wanted.push_back(*at);
        for (auto at = expected.begin(); at != expected.upper_bound(own); ++at)
            wanted.push_back(*at);
        moved.from_next(own,
                        [&](rank_id rank, const int& value) { met.push_back({rank, &value}); });
        REQUIRE(met == wanted);
    }
}
