#include "locmoe/capacity/drop_rate.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "locmoe/assign/assignment.hpp"

#include "catch.hpp"

using locmoe::capacity_for_drop_rate;
using locmoe::drop_fraction;

namespace {

std::vector<std::int64_t> some_load(std::size_t experts, std::int64_t most, std::uint64_t seed) {
    std::mt19937_64 bits(seed);
    std::vector<std::int64_t> load(experts);
    for (std::int64_t& l : load)
        l = static_cast<std::int64_t>(bits() % static_cast<std::uint64_t>(most + 1));
    return load;
}

}  // namespace

TEST_CASE("the drop fraction is what assign drops") {
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
        const auto load = some_load(7, 30, seed);
        locmoe::routing decided;
        decided.choice_count = 1;
        decided.expert_count = load.size();
        for (std::size_t e = 0; e < load.size(); ++e)
            for (std::int64_t i = 0; i < load[e]; ++i)
                decided.chosen.push_back(static_cast<locmoe::expert_id>(e));
        decided.token_count = decided.chosen.size();
        for (std::int64_t capacity = 0; capacity <= 31; ++capacity) {
            const auto kept = locmoe::assign(decided, {.capacity = capacity});
            CHECK(drop_fraction(load, capacity) ==
                  Approx(static_cast<double>(kept.dropped_count()) /
                         static_cast<double>(decided.token_count)));
        }
    }
}

TEST_CASE("the capacity for a drop rate is the least one that keeps to it") {
    for (std::uint64_t seed = 0; seed < 40; ++seed) {
        const auto load = some_load(5, 50, seed);
        for (const double rate : {0.0, 0.01, 0.1, 0.25, 0.5, 0.99, 1.0}) {
            std::int64_t by_hand = 0;
            while (drop_fraction(load, by_hand) > rate) ++by_hand;
            INFO("seed " << seed << ", rate " << rate);
            CHECK(capacity_for_drop_rate(load, rate) == by_hand);
        }
    }
}

TEST_CASE("drop rates at their ends: all kept, all dropped, nothing there") {
    const std::vector<std::int64_t> load{4, 0, 9};
    CHECK(drop_fraction(load, 9) == 0);
    CHECK(drop_fraction(load, 0) == 1);
    CHECK(capacity_for_drop_rate(load, 0) == 9);
    CHECK(capacity_for_drop_rate(load, 1) == 0);
    const std::vector<std::int64_t> nothing{0, 0};
    CHECK(drop_fraction(nothing, 0) == 0);
    CHECK(capacity_for_drop_rate(nothing, 0) == 0);
    const std::vector<std::int64_t> large{std::int64_t{1} << 61, 1, 2};
    CHECK(capacity_for_drop_rate(large, 0) == std::int64_t{1} << 61);
}

TEST_CASE("drop rates refuse loads, capacities and rates that are none") {
    const std::vector<std::int64_t> load{4, 2};
    const std::vector<std::int64_t> negative{4, -2};
    const std::vector<std::int64_t> too_much{std::numeric_limits<std::int64_t>::max(), 1};
    CHECK_THROWS_WITH(drop_fraction(negative, 3),
                      "locmoe: drop_fraction: load of expert 1: expected at least 0, got -2");
    CHECK_THROWS_AS(drop_fraction({}, 3), locmoe::argument_error);
    CHECK_THROWS_AS(drop_fraction(too_much, 3), locmoe::argument_error);
    CHECK_THROWS_AS(drop_fraction(load, -1), locmoe::argument_error);
    for (const double rate : {-0.1, 1.1, std::nan("")})
        CHECK_THROWS_AS(capacity_for_drop_rate(load, rate), locmoe::argument_error);
    CHECK_THROWS_AS(capacity_for_drop_rate(negative, 0.1), locmoe::argument_error);
}
