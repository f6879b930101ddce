#include "locmoe/core/detail/merge_sort.hpp"

#include <algorithm>
#include <cstddef>
#include <random>
#include <utility>
#include <vector>

#include "catch.hpp"

TEST_CASE("merge_sort leaves what std::stable_sort leaves") {
    std::mt19937 random(7);
    for (std::size_t count = 0; count < 400; ++count) {
        std::vector<std::pair<unsigned, std::size_t>> items;
        const unsigned values = count % 3 == 0 ? 4 : 1000;  // many equal ones, or few
        for (std::size_t i = 0; i < count; ++i) items.push_back({random() % values, i});
        const auto before = [](const auto& a, const auto& b) { return a.first < b.first; };
        auto expected = items;
        std::stable_sort(expected.begin(), expected.end(), before);
        locmoe::detail::merge_sort(items, before);
        REQUIRE(items == expected);
    }
}
