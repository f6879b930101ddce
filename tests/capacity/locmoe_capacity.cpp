#include "locmoe/capacity/locmoe_capacity.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "catch.hpp"

using locmoe::capacity_demand;
using locmoe::delta_sketch;
using locmoe::locmoe_capacity;

namespace {

delta_sketch at(double delta) {
    delta_sketch sketch;
    sketch.record(delta);
    return sketch;
}

constexpr capacity_demand demand{4096, 1, 16};  // the even share is 256

}  // namespace

TEST_CASE("the first batch's delta gives the capacity, and later ones change nothing") {
    locmoe_capacity schedule({.hidden_size = 1024, .least_factor = 1e-6, .most_factor = 8});
    CHECK(schedule.capacity(demand) == 320);
    CHECK(schedule.wants_delta());
    CHECK_FALSE(schedule.bound());

    schedule.observe({.demand = demand});  // nothing measured
    const delta_sketch empty;
    schedule.observe({.demand = demand, .delta = &empty});
    CHECK(schedule.wants_delta());

    const delta_sketch first = at(0.12);
    schedule.observe({.demand = demand, .delta = &first});
    const auto bound = locmoe::least_capacity_erfc({1024, first.mean()}, 16);
    REQUIRE(schedule.bound());
    CHECK(schedule.bound()->log_slots == Approx(bound.log_slots));
    CHECK(schedule.capacity(demand) == static_cast<std::int64_t>(bound.slots()));
    CHECK(bound.slots() > 10);
    CHECK_FALSE(schedule.wants_delta());

    const delta_sketch second = at(0.2);
    schedule.observe({.demand = demand, .delta = &second});
    CHECK(schedule.capacity(demand) == static_cast<std::int64_t>(bound.slots()));
    CHECK(schedule.capacity({512, 1, 16}) == 256);  // most_factor of a smaller batch
    CHECK(schedule.capacity({2048, 1, 16}) == static_cast<std::int64_t>(bound.slots()));
}

TEST_CASE("the guards hold where the bound is a few slots or past all integers") {
    for (const double delta : {0.001, 0.9}) {
        locmoe_capacity schedule({.hidden_size = 4096, .least_factor = 0.5, .most_factor = 2});
        const delta_sketch seen = at(delta);
        schedule.observe({.demand = demand, .delta = &seen});
        CHECK(schedule.capacity(demand) == (delta < 0.5 ? 128 : 512));
    }
    locmoe_capacity schedule({.hidden_size = 64});
    const delta_sketch one = at(1);
    schedule.observe({.demand = demand, .delta = &one});
    CHECK(schedule.capacity(demand) == 320);
    CHECK(schedule.capacity({0, 1, 16}) == 0);
}

TEST_CASE("wanting more tokens takes as many times the slots") {
    const delta_sketch seen = at(0.12);
    locmoe_capacity one({.hidden_size = 1024, .most_factor = 1e6});
    locmoe_capacity ten({.hidden_size = 1024, .tokens_wanted = 10, .most_factor = 1e6});
    one.observe({.demand = demand, .delta = &seen});
    ten.observe({.demand = demand, .delta = &seen});
    CHECK(ten.bound()->value() == Approx(10 * one.bound()->value()));
}

TEST_CASE("LocMoE's schedule refuses options that make no sense") {
    CHECK_THROWS_AS(locmoe_capacity({.hidden_size = 1}), locmoe::argument_error);
    CHECK_THROWS_AS(locmoe_capacity({.hidden_size = 8, .tokens_wanted = 0}),
                    locmoe::argument_error);
    CHECK_THROWS_AS(locmoe_capacity({.hidden_size = 8, .start_factor = std::nan("")}),
                    locmoe::argument_error);
    CHECK_THROWS_AS(locmoe_capacity({.hidden_size = 8, .least_factor = 2}), locmoe::argument_error);
}
