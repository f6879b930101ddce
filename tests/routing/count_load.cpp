#include "locmoe/routing/count_load.hpp"

#include <cstdint>
#include <vector>

#include "locmoe/routing/routing.hpp"

#include "catch.hpp"

namespace {

using locmoe::count_load;
using locmoe::counted_choices;
using locmoe::counted_pairs;
using locmoe::no_expert;
using counts = std::vector<std::int64_t>;

// Four tokens of two choices among three experts; token 2 made one choice, token 3 none.
const locmoe::routing decided{
    4, 2, 3, {0, 1, 0, 2, 1, no_expert, no_expert, no_expert}, std::vector<float>(8, 1.0f), {}};

}  // namespace

TEST_CASE("the load counts all choices or the first one, and an empty slot for nobody") {
    CHECK(count_load({}, decided) == counts{2, 2, 1});
    CHECK(count_load({}, decided) == locmoe::count_choices(decided));
    CHECK(count_load({.choices = counted_choices::first}, decided) == counts{2, 1, 0});
}

TEST_CASE("after drops the load counts what was kept") {
    const std::vector<locmoe::expert_id> kept{0, no_expert, no_expert, 2,
                                              1, no_expert, no_expert, no_expert};
    CHECK(count_load({.pairs = counted_pairs::after_drops}, decided, kept) == counts{1, 1, 1});
    CHECK(count_load({counted_choices::first, counted_pairs::after_drops}, decided, kept) ==
          counts{1, 1, 0});
    CHECK(count_load({}, decided, kept) == counts{2, 2, 1});
}

TEST_CASE("a load is refused where the kept experts are missing or are none") {
    CHECK_THROWS_WITH(count_load({.pairs = counted_pairs::after_drops}, decided),
                      "locmoe: count_load: kept: expected T k = 8 experts, got 0");
    auto wrong = decided;
    wrong.chosen[2] = 3;
    CHECK_THROWS_WITH(
        count_load({}, wrong),
        "locmoe: count_load: expert of token 1: expected 0 to n - 1 with n = 3, got 3");
    wrong.chosen[2] = -2;
    CHECK_THROWS_AS(count_load({}, wrong), locmoe::argument_error);
}
