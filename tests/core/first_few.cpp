#include "locmoe/core/detail/first_few.hpp"

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <random>
#include <span>
#include <vector>

#include "catch.hpp"

namespace {

/// How often two items were compared, items in the order given.
std::size_t compared(std::vector<int> items, std::size_t count) {
    std::size_t times = 0;
    locmoe::detail::first_few(std::span<int>(items), count, [&](int a, int b) {
        ++times;
        return a < b;
    });
    return times;
}

}  // namespace

TEST_CASE("first_few brings the first ones to the front and loses none") {
    std::mt19937 random(3);
    for (std::size_t size = 0; size < 60; ++size) {
        for (std::size_t count = 0; count <= size + 1; ++count) {
            std::vector<int> items(size);
            std::iota(items.begin(), items.end(), 0);
            if (count % 4 != 0) std::shuffle(items.begin(), items.end(), random);
            locmoe::detail::first_few(std::span<int>(items), count,
                                      [](int a, int b) { return a < b; });
            const auto middle =
                items.begin() + static_cast<std::ptrdiff_t>(std::min(count, size));
            std::sort(items.begin(), middle);
            std::sort(middle, items.end());
            for (std::size_t i = 0; i < size; ++i) REQUIRE(items[i] == static_cast<int>(i));
        }
    }
}

TEST_CASE("first_few is linear in sorted items as in others") {
    std::vector<int> items(100000);
    std::iota(items.begin(), items.end(), 0);
    CHECK(compared(items, 50000) < 6 * items.size());
    std::reverse(items.begin(), items.end());
    CHECK(compared(items, 50000) < 6 * items.size());
    std::rotate(items.begin(), items.begin() + 50000, items.end());
    CHECK(compared(items, 1000) < 6 * items.size());
}
