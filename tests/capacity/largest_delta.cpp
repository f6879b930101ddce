#include "locmoe/capacity/largest_delta.hpp"

#include <cmath>
#include <cstddef>
#include <limits>

#include "catch.hpp"

using locmoe::given_capacity;
using locmoe::largest_delta_erfc;
using locmoe::largest_delta_exponential;
using locmoe::least_capacity_erfc;
using locmoe::least_capacity_exponential;
using locmoe::sphere_caps;
using locmoe::token_angle;

namespace {

constexpr std::size_t dimensions[] = {2, 3, 16, 100, 1024, 4096, 65536};
constexpr std::size_t experts[] = {1, 16, 65536};

}  // namespace

TEST_CASE("the bound at the largest delta is the capacity, for erfc and exponential form") {
    std::size_t inside = 0;
    for (const std::size_t d : dimensions)
        for (const std::size_t n : experts)
            for (const sphere_caps caps : {sphere_caps::both, sphere_caps::one})
                for (double slots = 2; slots < 1e300; slots *= 7.3) {
                    const given_capacity given{slots, d, n, caps};
                    INFO("d " << d << ", n " << n << ", slots " << slots);
                    const auto check = [&](double delta, double at_one, auto bound) {
                        const double wanted = std::log(slots);
                        if (wanted > at_one) {
                            CHECK(delta == 1);
                            return;
                        }
                        // near 1, half an epsilon of delta moves the bound by about d epsilon
                        const double slack = 1e-12 * std::fmax(1, std::fabs(wanted)) +
                                             1e-15 * static_cast<double>(d);
                        CHECK(std::fabs(bound(token_angle{d, delta, caps}, n).log_slots - wanted) <
                              slack);
                        ++inside;
                    };
                    check(largest_delta_exponential(given),
                          least_capacity_exponential({d, 1, caps}, n).log_slots,
                          least_capacity_exponential);
                    check(largest_delta_erfc(given), least_capacity_erfc({d, 1, caps}, n).log_slots,
                          least_capacity_erfc);
                }
    CHECK(inside > 5000);
}

TEST_CASE("a delta that goes through the bound comes back, from 1e-6 to 0.999") {
    for (const std::size_t d : dimensions)
        for (const double delta : {1e-6, 1e-4, 0.01, 0.03, 0.2, 0.7, 0.999}) {
            const auto erfc = least_capacity_erfc({d, delta}, 4);
            const auto exponential = least_capacity_exponential({d, delta}, 4);
            if (exponential.log_slots > 700 || erfc.log_slots > 700) continue;
            INFO("d " << d << ", delta " << delta);
            // log n is rounded: that hides delta where the bound is flat, about d delta^2 over 1
            const double flat = 1e-15 / std::fmin(1, static_cast<double>(d) * delta * delta);
            CHECK(largest_delta_exponential({exponential.value(), d, 4}) ==
                  Approx(delta).epsilon(1e-12 + flat));
            CHECK(largest_delta_erfc({erfc.value(), d, 4}) == Approx(delta).epsilon(1e-9));
        }
}

TEST_CASE("the least capacity of all supports delta 0, a fraction less none") {
    CHECK(largest_delta_erfc({1, 64, 1}) == 0);
    CHECK(largest_delta_exponential({2, 64, 1, sphere_caps::one}) == 0);
    CHECK_THROWS_AS(largest_delta_erfc({0.06, 64, 16}), locmoe::argument_error);
    CHECK(largest_delta_erfc({0.0625, 64, 16}) == 0);
    CHECK_THROWS_AS(largest_delta_exponential({1, 64, 1, sphere_caps::one}),
                    locmoe::argument_error);
}

TEST_CASE("the exponential form's largest delta lies above the erfc form's") {
    for (const std::size_t d : dimensions)
        for (double slots = 2; slots < 1e12; slots *= 3)
            CHECK(largest_delta_exponential({slots, d, 8}) >= largest_delta_erfc({slots, d, 8}));
}

TEST_CASE("the inverse refuses what is no capacity, no space and no experts") {
    for (const double slots : {0.0, -1.0, std::numeric_limits<double>::infinity(),
                               std::numeric_limits<double>::quiet_NaN()})
        CHECK_THROWS_AS(largest_delta_erfc({slots, 64, 4}), locmoe::argument_error);
    CHECK_THROWS_WITH(largest_delta_erfc({8, 1, 4}),
                      "locmoe: largest_delta_erfc: hidden_size: expected at least 2 dimensions, "
                      "got 1");
    CHECK_THROWS_AS(largest_delta_exponential({8, 64, 0}), locmoe::argument_error);
}
