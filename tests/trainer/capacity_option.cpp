#include "capacity_option.hpp"

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <variant>
#include <vector>

#include "catch.hpp"

using trainer::parse_capacity;

namespace {

constexpr locmoe::capacity_demand demand{1000, 1, 10};

}  // namespace

TEST_CASE("each word of --capacity is its schedule") {
    CHECK(parse_capacity("factor:1.25", 64).capacity(demand) == 125);
    CHECK(parse_capacity("factor:2", 64).capacity(demand) == 200);
    CHECK_FALSE(parse_capacity("none", 64).capacity(demand));
    CHECK(std::holds_alternative<locmoe::locmoe_capacity>(parse_capacity("locmoe", 64).which()));
    CHECK(
        std::holds_alternative<locmoe::adaptive_capacity>(parse_capacity("adaptive", 64).which()));
    CHECK(parse_capacity("locmoe", 64).wants_delta());
    CHECK(parse_capacity("adaptive", 64).wants_delta());
    CHECK_FALSE(parse_capacity("drop-rate:0.01", 64).wants_delta());
}

TEST_CASE("a parsed schedule hears what happens, and so do its copies apart") {
    auto schedule = parse_capacity("drop-rate:0", 64);
    const auto copy = schedule;
    const std::vector<std::int64_t> load{550, 50, 50, 50, 50, 50, 50, 50, 50, 50};
    for (int step = 0; step < 200; ++step) schedule.observe({.demand = demand, .load = load});
    CHECK(*schedule.capacity(demand) >= 549);
    CHECK(copy.capacity(demand) == 125);
}

TEST_CASE("anything else is refused in words that name the option") {
    CHECK_THROWS_WITH(parse_capacity("fctor:1", 64),
                      "--capacity: expected factor:F, locmoe, adaptive, "
                      "drop-rate:R or none, got \"fctor:1\"");
    for (const char* factor : {"factor", "factor:", "factor:x", "factor:1.2x", "factor:0",
                               "factor:-1", "factor:nan", "factor:inf", "factor:1e999"})
        CHECK_THROWS_WITH(parse_capacity(factor, 64),
                          Catch::Contains("expected factor:F with F above 0, at most 1e6, got"));
    for (const char* rate : {"drop-rate", "drop-rate:", "drop-rate:1.1", "drop-rate:-0.1"})
        CHECK_THROWS_WITH(parse_capacity(rate, 64),
                          Catch::Contains("expected drop-rate:R with R from 0 to 1, got"));
    for (const char* word : {"", "none:1", "locmoe:2", "adaptive:", "None"})
        CHECK_THROWS_AS(parse_capacity(word, 64), std::invalid_argument);
}
