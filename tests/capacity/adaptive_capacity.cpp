#include "locmoe/capacity/adaptive_capacity.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "catch.hpp"

using locmoe::adaptive_capacity;
using locmoe::capacity_demand;
using locmoe::delta_sketch;

namespace {

delta_sketch at(double delta) {
    delta_sketch sketch;
    sketch.record(delta);
    return sketch;
}

constexpr capacity_demand demand{4096, 1, 16};
constexpr std::size_t d = 1024;

void observe(adaptive_capacity& schedule, double delta) {
    const delta_sketch seen = at(delta);
    schedule.observe({.demand = demand, .delta = &seen});
}

/// The delta at which C_min is the given factor's slots.
double delta_of_factor(double factor) {
    const double exponent = std::log(factor * 256 * 16);
    return std::sqrt(2 * exponent / (d + exponent));
}

}  // namespace

TEST_CASE("the adaptive capacity falls step by step to the bound, and stays above it") {
    adaptive_capacity schedule({.hidden_size = d, .least_factor = 0.1, .fall = 0.1, .patience = 3});
    CHECK(schedule.capacity(demand) == 320);
    double before = schedule.factor();
    for (int i = 0; i < 60; ++i) {
        observe(schedule, delta_of_factor(0.7));
        CHECK(schedule.factor() <= before);
        if (schedule.factor() < before) CHECK(schedule.factor() == Approx(0.9 * before));
        if ((i + 1) % 3 != 0) CHECK(schedule.factor() == before);
        before = schedule.factor();
    }
    REQUIRE(schedule.bound_factor());
    CHECK(*schedule.bound_factor() == Approx(0.7).epsilon(0.2));  // a sketch's 1 % in the exponent
    CHECK(schedule.factor() >= *schedule.bound_factor());
    CHECK(0.9 * schedule.factor() < *schedule.bound_factor());
}

TEST_CASE("a bound that comes and goes moves nothing, and one that rises does not lift it") {
    adaptive_capacity schedule({.hidden_size = d, .least_factor = 0.1, .patience = 4});
    for (int i = 0; i < 100; ++i) observe(schedule, delta_of_factor(i % 4 == 3 ? 4 : 0.2));
    CHECK(schedule.factor() == 1.25);
    for (int i = 0; i < 4; ++i) observe(schedule, delta_of_factor(0.2));
    CHECK(schedule.factor() == Approx(1.125));
    for (int i = 0; i < 100; ++i) observe(schedule, delta_of_factor(9));
    CHECK(schedule.factor() == Approx(1.125));
    CHECK(*schedule.bound_factor() > schedule.factor());
}

TEST_CASE("the least factor guards, and once it is reached delta is wanted no more") {
    adaptive_capacity schedule({.hidden_size = d, .least_factor = 0.5, .patience = 1});
    for (int i = 0; i < 50; ++i) observe(schedule, 0.001);
    CHECK(schedule.factor() >= 0.5);
    CHECK(schedule.factor() < 0.5 / 0.9);
    CHECK_FALSE(schedule.wants_delta());
    CHECK(adaptive_capacity({.hidden_size = d}).wants_delta());
}

TEST_CASE("the quantile that is asked for decides") {
    delta_sketch seen;
    for (int i = 0; i < 99; ++i) seen.record(0.01);
    seen.record(0.5);
    const auto bound = [&](double quantile) {
        adaptive_capacity schedule({.hidden_size = d, .quantile = quantile});
        schedule.observe({.demand = demand, .delta = &seen});
        return *schedule.bound_factor();
    };
    CHECK(bound(0.9) < 0.01);
    CHECK(bound(1) > 1e10);
}

TEST_CASE("steps without delta or tokens are passed over") {
    adaptive_capacity schedule({.hidden_size = d, .patience = 1});
    const delta_sketch empty;
    const delta_sketch low = at(0.01);
    schedule.observe({.demand = demand});
    schedule.observe({.demand = demand, .delta = &empty});
    schedule.observe({.demand = {0, 1, 16}, .delta = &low});
    CHECK(schedule.factor() == 1.25);
    CHECK_FALSE(schedule.bound_factor());
}

TEST_CASE("the adaptive schedule refuses options that make no sense") {
    CHECK_THROWS_AS(adaptive_capacity({.hidden_size = 1}), locmoe::argument_error);
    CHECK_THROWS_AS(adaptive_capacity({.hidden_size = 8, .quantile = 1.1}), locmoe::argument_error);
    CHECK_THROWS_AS(adaptive_capacity({.hidden_size = 8, .tokens_wanted = -1}),
                    locmoe::argument_error);
    CHECK_THROWS_AS(adaptive_capacity({.hidden_size = 8, .fall = 1}), locmoe::argument_error);
    CHECK_THROWS_WITH(adaptive_capacity({.hidden_size = 8, .patience = 0}),
                      "locmoe: adaptive_capacity: patience: expected at least 1, got 0");
}
