#include "locmoe/capacity/exact_largest_delta.hpp"

#include <cmath>
#include <cstddef>
#include <limits>

#include "catch.hpp"

using locmoe::largest_delta_exact;
using locmoe::least_capacity_exact;
using locmoe::log_p_delta_exact;
using locmoe::sphere_caps;

namespace {

/// How far rounding delta by half an epsilon moves log p: |d log p / d delta| epsilon / 2, from a
/// difference, no smaller than what log p is promised to.
double slack_at(std::size_t d, double delta, double log_p) {
    const double next = std::nextafter(delta, 0.0);
    const double step = log_p_delta_exact({d, next}) - log_p;
    return std::fmax(2 * std::fabs(step), 1e-12 * std::fmax(1, std::fabs(log_p)));
}

}  // namespace

TEST_CASE("the exact bound at the largest delta is the capacity") {
    std::size_t checked = 0;
    for (const std::size_t d : {2u, 3u, 4u, 17u, 128u, 1024u, 4096u, 65535u, 65536u})
        for (const std::size_t n : {1u, 16u, 65536u})
            for (const sphere_caps caps : {sphere_caps::both, sphere_caps::one})
                for (double slots = 2; slots < 1e300; slots *= 613) {
                    const double delta = largest_delta_exact({slots, d, n, caps});
                    INFO("d " << d << ", n " << n << ", slots " << slots << ", delta " << delta);
                    const double last = std::nextafter(1, 0.0);
                    if (least_capacity_exact({d, last, caps}, n).log_slots < std::log(slots)) {
                        CHECK(delta >= last);  // the solution lies between the last double and 1
                        continue;
                    }
                    const double slack = slack_at(d, delta, log_p_delta_exact({d, delta}));
                    CHECK(std::fabs(least_capacity_exact({d, delta, caps}, n).log_slots -
                                    std::log(slots)) < slack);
                    ++checked;
                }
    CHECK(checked > 500);
}

TEST_CASE("exact: a delta that goes through the bound comes back, from 1e-6 to 0.999") {
    for (const std::size_t d : {2u, 3u, 64u, 4096u, 65536u})
        for (const double delta : {1e-6, 1e-4, 0.01, 0.03, 0.2, 0.7, 0.999}) {
            const auto bound = least_capacity_exact({d, delta}, 1);
            if (bound.log_slots > 700) continue;
            INFO("d " << d << ", delta " << delta);
            CHECK(largest_delta_exact({bound.value(), d, 1}) == Approx(delta).epsilon(2e-9));
        }
}

TEST_CASE("in 3 dimensions the exact inverse is 1 - 1 / (n slots)") {
    for (const double slots : {1.0, 1.5, 3.0, 100.0})
        CHECK(largest_delta_exact({slots, 3, 4}) == Approx(1 - 1 / (4 * slots)).epsilon(1e-14));
    CHECK(largest_delta_exact({0.25, 3, 4}) == 0);
}

TEST_CASE("a slot more supports a greater delta, and what is no capacity is refused") {
    double before = -1;
    for (double slots = 1; slots < 3000; slots += 7) {
        const double delta = largest_delta_exact({slots, 2048, 8});
        if (!(delta > before)) FAIL("at " << slots << " slots");
        before = delta;
    }
    CHECK_THROWS_AS(largest_delta_exact({0.1, 64, 8}), locmoe::argument_error);
    CHECK_THROWS_AS(largest_delta_exact({std::nan(""), 64, 8}), locmoe::argument_error);
    CHECK_THROWS_AS(largest_delta_exact({10, 1, 8}), locmoe::argument_error);
    CHECK_THROWS_AS(largest_delta_exact({10, 64, 0}), locmoe::argument_error);
}
