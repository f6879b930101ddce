#include "locmoe/capacity/capacity_schedule.hpp"

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>

#include "locmoe/capacity/adaptive_capacity.hpp"
#include "locmoe/capacity/drop_rate_capacity.hpp"
#include "locmoe/capacity/locmoe_capacity.hpp"

#include "catch.hpp"

using locmoe::capacity_demand;
using locmoe::capacity_observation;
using locmoe::capacity_schedule;

namespace {

struct least_schedule {
    std::optional<std::int64_t> capacity(const capacity_demand&) const { return 8; }
    bool wants_delta() const { return false; }
    void observe(const capacity_observation&) {}
};

struct no_observe {
    std::optional<std::int64_t> capacity(const capacity_demand&) const { return 8; }
    bool wants_delta() const { return false; }
};

struct plain_number {
    std::int64_t capacity(const capacity_demand&) const { return 8; }
    bool wants_delta() const { return false; }
    void observe(const capacity_observation&) {}
};

struct changes_when_asked {
    std::optional<std::int64_t> capacity(const capacity_demand&) { return 8; }
    bool wants_delta() const { return false; }
    void observe(const capacity_observation&) {}
};

static_assert(capacity_schedule<least_schedule>);
static_assert(!capacity_schedule<no_observe>);
static_assert(!capacity_schedule<plain_number>);
static_assert(!capacity_schedule<changes_when_asked>);
static_assert(capacity_schedule<locmoe::fixed_capacity>);
static_assert(capacity_schedule<locmoe::unlimited_capacity>);
static_assert(capacity_schedule<locmoe::locmoe_capacity>);
static_assert(capacity_schedule<locmoe::adaptive_capacity>);
static_assert(capacity_schedule<locmoe::drop_rate_capacity>);

}  // namespace

TEST_CASE("a fixed factor is the factor formula in every step, no limit is none") {
    locmoe::fixed_capacity fixed(1.25);
    locmoe::unlimited_capacity unlimited;
    for (const std::size_t tokens : {0u, 7u, 4096u}) {
        const capacity_demand demand{tokens, 2, 16};
        CHECK(fixed.capacity(demand) ==
              static_cast<std::int64_t>(locmoe::capacity_from_factor(1.25, demand)));
        CHECK_FALSE(unlimited.capacity(demand));
        fixed.observe({.demand = demand});
        unlimited.observe({.demand = demand});
    }
    CHECK_FALSE(fixed.wants_delta());
    CHECK_FALSE(unlimited.wants_delta());
}

TEST_CASE("a fixed factor refuses what is no factor") {
    for (const double factor : {0.0, -1.0, std::numeric_limits<double>::infinity(),
                                std::numeric_limits<double>::quiet_NaN()})
        CHECK_THROWS_AS(locmoe::fixed_capacity(factor), locmoe::argument_error);
}
