#include "locmoe/capacity/drop_rate_capacity.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

#include "catch.hpp"

using locmoe::capacity_demand;
using locmoe::drop_rate_capacity;

namespace {

constexpr std::size_t n = 8;
constexpr capacity_demand demand{2048, 1, n};

/// The loads of one step under fixed, uneven shares.
std::vector<std::int64_t> draw(std::mt19937_64& bits, const std::vector<std::uint64_t>& shares) {
    std::uint64_t all = 0;
    for (const std::uint64_t s : shares) all += s;
    std::vector<std::int64_t> load(shares.size(), 0);
    for (std::size_t t = 0; t < demand.token_count; ++t) {
        std::uint64_t at = bits() % all;
        std::size_t e = 0;
        while (at >= shares[e]) at -= shares[e++];
        ++load[e];
    }
    return load;
}

}  // namespace

TEST_CASE("the controller settles where the wanted share is dropped, from either side") {
    for (const double start : {0.3, 6.0})
        for (const double rate : {0.01, 0.1}) {
            drop_rate_capacity schedule({.rate = rate, .start_factor = start});
            std::mt19937_64 bits(6);
            double dropped = 0;
            for (int step = 0; step < 400; ++step) {
                const auto load = draw(bits, {30, 20, 10, 10, 10, 8, 8, 4});
                if (step >= 200)
                    dropped += locmoe::drop_fraction(load, *schedule.capacity(demand)) / 200;
                schedule.observe({.demand = demand, .load = load});
            }
            INFO("start " << start << ", rate " << rate);
            CHECK(dropped == Approx(rate).epsilon(0.3));
        }
}

TEST_CASE("the controller follows loads that change, up and down") {
    drop_rate_capacity schedule({.rate = 0.01});
    std::mt19937_64 bits(7);
    const auto factor_after = [&](const std::vector<std::uint64_t>& shares) {
        for (int step = 0; step < 100; ++step)
            schedule.observe({.demand = demand, .load = draw(bits, shares)});
        return schedule.factor();
    };
    const double even = factor_after({1, 1, 1, 1, 1, 1, 1, 1});
    const double uneven = factor_after({10, 1, 1, 1, 1, 1, 1, 1});
    CHECK(even < 1.2);
    CHECK(uneven > 4);
    CHECK(factor_after({1, 1, 1, 1, 1, 1, 1, 1}) == Approx(even).epsilon(0.05));
}

TEST_CASE("one step moves the factor by the gain, an empty one not at all") {
    drop_rate_capacity schedule({.rate = 0, .start_factor = 2, .gain = 0.25});
    const std::vector<std::int64_t> load{256, 256, 256, 256, 256, 256, 256, 256};
    schedule.observe({.demand = demand, .load = load});
    CHECK(schedule.factor() == Approx(1.75));
    CHECK(schedule.capacity(demand) == 448);
    const std::vector<std::int64_t> nothing(n, 0);
    schedule.observe({.demand = {0, 1, n}, .load = nothing});
    CHECK(schedule.factor() == Approx(1.75));
    CHECK_FALSE(schedule.wants_delta());
}

TEST_CASE("the controller refuses options and loads that make no sense") {
    CHECK_THROWS_AS(drop_rate_capacity({.rate = 1.5}), locmoe::argument_error);
    CHECK_THROWS_AS(drop_rate_capacity({.start_factor = 0}), locmoe::argument_error);
    CHECK_THROWS_AS(drop_rate_capacity({.gain = 0}), locmoe::argument_error);
    drop_rate_capacity schedule({});
    const std::vector<std::int64_t> three{1, 2, 3};
    CHECK_THROWS_WITH(schedule.observe({.demand = demand, .load = three}),
                      "locmoe: drop_rate_capacity: load: expected n = 8 counts, got 3");
    CHECK_THROWS_AS(schedule.observe({.demand = demand}), locmoe::argument_error);
}
