#include "locmoe/routing/routing.hpp"

#include <limits>
#include <vector>

#include "catch.hpp"

namespace {

using locmoe::no_expert;
using locmoe::routing;

const auto placement = locmoe::expert_placement::blocked(3, 2);

// Three tokens, two choices each.
routing some() {
    routing r;
    r.token_count = 3;
    r.choice_count = 2;
    r.expert_count = 3;
    r.chosen = {0, 2, 2, no_expert, 2, 2};
    r.weights = {0.5f, 0.5f, 1, 0, 0.75f, 0.25f};
    return r;
}

}  // namespace

TEST_CASE("count_choices counts each pair, but for empty slots") {
    CHECK(locmoe::count_choices(some()) == std::vector<std::int64_t>{1, 0, 4});
    CHECK(locmoe::count_choices(routing{}).empty());
    CHECK(some().expert(2, 0) == 2);
    CHECK(some().expert(1, 1) == no_expert);
}

TEST_CASE("check_routing takes empty slots, repeated experts and no tokens") {
    CHECK_NOTHROW(locmoe::check_routing(some(), placement, 0));
    routing none;
    none.expert_count = 3;
    CHECK_NOTHROW(locmoe::check_routing(none, placement, 0));
}

TEST_CASE("check_routing names what does not fit, the token, the slot and the rank") {
    auto r = some();
    r.chosen[5] = 3;
    CHECK_THROWS_AS(locmoe::check_routing(r, placement, 1), locmoe::argument_error);
    CHECK_THROWS_WITH(
        locmoe::check_routing(r, placement, 1),
        "locmoe: check_routing: expert of token 2, slot 1 on rank 1: expected 0 to 2, "
        "or no_expert (-1), got 3");
    r.chosen[5] = -2;
    CHECK_THROWS_AS(locmoe::check_routing(r, placement, 1), locmoe::argument_error);
    for (const float bad :
         {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
        r = some();
        r.weights[2] = bad;
        CHECK_THROWS_AS(locmoe::check_routing(r, placement, 1), locmoe::argument_error);
    }
    r = some();
    r.weights.pop_back();
    CHECK_THROWS_WITH(locmoe::check_routing(r, placement, 0),
                      "locmoe: check_routing: weights on rank 0: expected T k = 6 weights, got 5");
    r = some();
    r.chosen.push_back(0);
    CHECK_THROWS_WITH(locmoe::check_routing(r, placement, 0),
                      "locmoe: check_routing: chosen on rank 0: expected T k = 6 choices, got 7");
    r = some();
    r.expert_count = 4;
    CHECK_THROWS_WITH(
        locmoe::check_routing(r, placement, 0),
        "locmoe: check_routing: expert_count on rank 0: expected 3 (the placement's), "
        "got 4");
}
