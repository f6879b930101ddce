#include "locmoe/capacity/capacity_rule.hpp"

#include <cstddef>
#include <cstdint>
#include <limits>

#include "catch.hpp"

using locmoe::capacity_rule;

namespace {

constexpr locmoe::capacity_demand demand{.token_count = 100, .choice_count = 2, .expert_count = 7};

}  // namespace

TEST_CASE("one and the same setting gives each peer its own number of slots") {
    CHECK(capacity_rule::tutel(1.25).slots(demand) == 36);
    CHECK(capacity_rule::deepspeed(1.25).slots(demand) == 36);
    CHECK(capacity_rule::megatron(1.25).slots(demand) == 36);
    CHECK(capacity_rule::megablocks(1.25).slots(demand) == 35);
    CHECK(capacity_rule::torchscale().slots(demand) == 30);
    CHECK(capacity_rule::flaxformer(1.25).slots(demand) == 18);
    CHECK(capacity_rule::torchscale_eval().slots(demand) == 25);
    CHECK(capacity_rule::fixed(64).slots(demand) == 64);
}

TEST_CASE("the rules tell apart where they do not agree") {
    // 2 int(1.1 ceil(10 / 4)) = 2 int(3.3), ceil(1.1 20 / 4) = ceil(5.5), int(5.5), round(2.75)
    constexpr locmoe::capacity_demand small{10, 2, 4};
    CHECK(capacity_rule::tutel(1.1).slots(small) == 6);
    CHECK(capacity_rule::megatron(1.1).slots(small) == 6);
    CHECK(capacity_rule::megablocks(1.1).slots(small) == 5);
    CHECK(capacity_rule::flaxformer(1.1, 0).slots(small) == 3);
    CHECK(capacity_rule::tutel(1.9).slots(small) == 10);
    CHECK(capacity_rule::megatron(1.9).slots(small) == 10);
    CHECK(capacity_rule::tutel(1.3).slots(small) == 6);
    CHECK(capacity_rule::megatron(1.3).slots(small) == 7);
    CHECK(capacity_rule::torchscale_eval().slots(small) == 3);
}

TEST_CASE("DeepSpeed's and flaxformer's least capacities hold") {
    constexpr locmoe::capacity_demand few{3, 1, 8};
    CHECK(capacity_rule::deepspeed(1).slots(few) == 4);
    CHECK(capacity_rule::deepspeed(1, 8).slots(few) == 8);
    CHECK(capacity_rule::deepspeed(1, 0).slots(few) == 1);
    CHECK(capacity_rule::flaxformer(1).slots(few) == 4);
    CHECK(capacity_rule::megatron(1).slots(few) == 1);
    CHECK(capacity_rule::megablocks(1).slots(few) == 0);
}

TEST_CASE("Tutel's factor of 0 is the largest load, below 0 the lesser of it and the rule") {
    CHECK(capacity_rule::tutel(0).slots(demand, 146) == 146);
    CHECK(capacity_rule::tutel(-1.25).slots(demand, 146) == 36);
    CHECK(capacity_rule::tutel(-1.25).slots(demand, 20) == 20);
    CHECK(capacity_rule::tutel(0, 8).slots(demand, 146) == 152);
    CHECK(capacity_rule::tutel(1.25, 8).slots(demand) == 40);
    CHECK(capacity_rule::tutel(1.25, 4).slots(demand) == 36);
    CHECK_THROWS_WITH(capacity_rule::tutel(0).slots(demand),
                      Catch::Contains("largest_load: expected a count"));
}

TEST_CASE("a peer's rounding of a product that is not quite whole is kept") {
    // 1.1 * 50 is 55.00000000000001 in doubles, 55 in floats; 1.15 * 100 is 114.99999999999999.
    constexpr locmoe::capacity_demand fifty{50, 1, 1}, hundred{100, 1, 1};
    CHECK(capacity_rule::megatron(1.1).slots(fifty) == 56);
    CHECK(capacity_rule::deepspeed(1.1).slots(fifty) == 55);
    CHECK(locmoe::capacity_from_factor(1.1, fifty) == 55);
    CHECK(capacity_rule::megablocks(1.15).slots(hundred) == 114);
    CHECK(capacity_rule::tutel(1.15).slots(hundred) == 114);
    CHECK(locmoe::capacity_from_factor(1.15, hundred) == 115);
    // flaxformer rounds halves to even, as Python does.
    CHECK(capacity_rule::flaxformer(1, 0).slots({5, 1, 2}) == 2);
    CHECK(capacity_rule::flaxformer(1, 0).slots({7, 1, 2}) == 4);
}

TEST_CASE("a rule that makes no sense is refused") {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    CHECK_THROWS_WITH(capacity_rule::megatron(-1),
                      "locmoe: capacity_rule::megatron: factor: expected a number of at least 0, "
                      "got -1.000000");
    CHECK_THROWS_AS(capacity_rule::tutel(nan), locmoe::argument_error);
    CHECK_THROWS_AS(capacity_rule::flaxformer(std::numeric_limits<double>::infinity()),
                    locmoe::argument_error);
    CHECK_THROWS_AS(capacity_rule::tutel(1, 0), locmoe::argument_error);
    const std::int64_t half = std::int64_t{1} << 62;
    CHECK_THROWS_AS(capacity_rule::tutel(0, half + 1).slots(demand, half + 2),
                    locmoe::argument_error);
    CHECK_THROWS_AS(capacity_rule::tutel(0).slots(demand, -1), locmoe::argument_error);
    CHECK_THROWS_AS(capacity_rule::fixed(-1), locmoe::argument_error);
    CHECK_THROWS_AS(capacity_rule::megatron(1).slots({100, 1, 0}), locmoe::argument_error);
    CHECK_THROWS_AS(capacity_rule::megatron(1e300).slots(demand), locmoe::argument_error);
}
