#include "locmoe/core/detail/heap.hpp"

#include <cstddef>
#include <queue>
#include <random>

#include "catch.hpp"

namespace {

/// Ordered by its value alone, so that equal ones can be told apart.
struct item {
    std::size_t value;
    int number;
    bool operator<(const item& other) const { return value < other.value; }
};

}  // namespace

TEST_CASE("heap serves the greatest first") {
    std::mt19937 random(5);
    locmoe::detail::heap<item> ours;
    std::priority_queue<item> theirs;
    for (int i = 0; i < 20000; ++i) {
        if (theirs.empty() || random() % (i < 10000 ? 3 : 2) != 0) {
            const item fresh{random() % 50, i};
            ours.push(fresh);
            theirs.push(fresh);
        } else {
            ours.pop();
            theirs.pop();
        }
        REQUIRE(ours.size() == theirs.size());
        REQUIRE(ours.empty() == theirs.empty());
        if (!theirs.empty()) REQUIRE(ours.top().value == theirs.top().value);
    }
}
