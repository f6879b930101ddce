#include "locmoe/capacity/least_capacity.hpp"

#include <cmath>
#include <cstddef>
#include <limits>
#include <utility>

#include "catch.hpp"

using locmoe::least_capacity;
using locmoe::least_capacity_erfc;
using locmoe::least_capacity_exponential;
using locmoe::least_capacity_from;
using locmoe::log_p_delta_erfc;
using locmoe::log_p_delta_exponential;
using locmoe::sphere_caps;

namespace {

constexpr double nan_value = std::numeric_limits<double>::quiet_NaN();
constexpr double infinite = std::numeric_limits<double>::infinity();

}  // namespace

TEST_CASE("log erfc is right to 2e-15, also where erfc underflows") {
    // mpmath: mp.dps = 40; log(erfc(mpf(float(x))))
    constexpr std::pair<double, double> table[] = {
        {-3, 0.69313613525044681032},      {-0.25, 0.24398594388138443125},
        {1e-9, -1.1283791677321324166e-9}, {0.1, -0.11930497373739560532},
        {0.4999, -0.73482786690340913615}, {0.5, -0.73501112983708440303},
        {0.7, -1.1325865135143412341},     {1, -1.8496055099332482486},
        {3, -10.720363041981112568},       {9.99, -102.67899829776833588},
        {10, -102.87988902484488857},      {10.01, -103.08097878073202595},
        {26, -679.83119976319423026},      {30, -903.97411711064387808},
        {181, -32766.770877235657632},     {1e5, -10000000012.085290408},
    };
    for (const auto& [x, expected] : table) {
        INFO("x " << x);
        CHECK(std::fabs(locmoe::detail::log_erfc(x) - expected) <= 2e-15 * std::fabs(expected));
    }
    CHECK(locmoe::detail::log_erfc(0) == 0);
    CHECK(std::isnan(locmoe::detail::log_erfc(nan_value)));
    CHECK(locmoe::detail::log_erfc(infinite) == -infinite);
}

TEST_CASE("at delta = 1/sqrt(d) about 31.7 % of the tokens belong to an expert") {
    for (const std::size_t d : {4096u, 65536u}) {
        const double delta = 1 / std::sqrt(static_cast<double>(d));
        const double p = std::exp(log_p_delta_erfc({.hidden_size = d, .delta = delta}));
        CHECK(p == Approx(std::erfc(std::sqrt(0.5))).epsilon(1e-3));
        CHECK(p == Approx(0.317).margin(5e-4));
        CHECK(1 - p == Approx(0.683).margin(5e-4));
    }
}

TEST_CASE("the exponential form is the paper's formula") {
    // (1/16) exp(0.03^2 * 20000 / (2 - 0.03^2))
    const auto c = least_capacity_exponential({.hidden_size = 20000, .delta = 0.03}, 16);
    CHECK(c.value() == Approx(std::exp(18 / 1.9991) / 16).epsilon(1e-13));
    CHECK(c.slots() == 509);
}

TEST_CASE("one cap is half of both") {
    const locmoe::token_angle both{.hidden_size = 256, .delta = 0.1};
    const locmoe::token_angle one{.hidden_size = 256, .delta = 0.1, .caps = sphere_caps::one};
    CHECK(log_p_delta_erfc(both) - log_p_delta_erfc(one) == Approx(std::log(2.0)));
    CHECK(log_p_delta_exponential(both) - log_p_delta_exponential(one) == Approx(std::log(2.0)));
    CHECK(least_capacity_erfc(one, 8).value() == Approx(2 * least_capacity_erfc(both, 8).value()));
}

TEST_CASE("the exponential form lies below the erfc form, by sqrt(pi d / 2) delta far out") {
    for (std::size_t d = 2; d <= 65536; d *= 2) {
        std::size_t above = 0;
        for (int i = 1; i < 1000; ++i) {
            const locmoe::token_angle angle{.hidden_size = d, .delta = i / 1000.0};
            above += log_p_delta_exponential(angle) <= log_p_delta_erfc(angle) ? 1u : 0u;
        }
        INFO("d " << d);
        CHECK(above == 0);
    }
    const locmoe::token_angle far{.hidden_size = 65536, .delta = 0.05};
    CHECK(std::exp(log_p_delta_exponential(far) - log_p_delta_erfc(far)) ==
          Approx(std::sqrt(std::acos(-1.0) * 65536 / 2) * 0.05).epsilon(0.01));
}

TEST_CASE("logarithms stay finite where the capacity itself overflows") {
    const locmoe::token_angle angle{.hidden_size = 65536, .delta = 0.999};
    for (const least_capacity c :
         {least_capacity_erfc(angle, 16), least_capacity_exponential(angle, 16)}) {
        CHECK(std::isfinite(c.log_slots));
        CHECK(c.log_slots > 65000);
        CHECK(c.value() == std::numeric_limits<double>::max());
        CHECK(c.slots() == std::numeric_limits<std::size_t>::max());
    }
    // 3e19 slots: a double, but no std::size_t
    const least_capacity large{std::log(3e19)};
    CHECK(large.value() == Approx(3e19));
    CHECK(large.slots() == std::numeric_limits<std::size_t>::max());
}

TEST_CASE("the capacity grows with delta, and falls as the angle grows") {
    for (const std::size_t d : {2u, 64u, 4096u}) {
        double erfc_before = -infinite;
        double exponential_before = -infinite;
        for (int degrees = 90; degrees >= 0; --degrees) {
            const double delta = degrees == 90 ? 0 : std::cos(degrees * std::acos(-1.0) / 180);
            const double by_erfc =
                least_capacity_erfc({.hidden_size = d, .delta = delta}, 8).log_slots;
            const double by_exponential =
                least_capacity_exponential({.hidden_size = d, .delta = delta}, 8).log_slots;
            INFO("d " << d << ", " << degrees << " degrees");
            CHECK(by_erfc > erfc_before);
            CHECK(by_exponential > exponential_before);
            erfc_before = by_erfc;
            exponential_before = by_exponential;
        }
    }
}

TEST_CASE("slots are the bound rounded up, at least one, and whole numbers stay") {
    for (std::size_t slots = 1; slots < 3000; ++slots) {
        const auto c = least_capacity_from(-std::log(16.0 * static_cast<double>(slots)), 16);
        if (c.slots() != slots) FAIL("expected " << slots << ", got " << c.slots());
    }
    CHECK(least_capacity_from(-std::log(8.0001), 2).slots() == 5);
    CHECK(least_capacity_from(0, 64).value() == Approx(1.0 / 64));
    CHECK(least_capacity_from(0, 64).slots() == 1);
    CHECK(least_capacity{-1000}.slots() == 1);  // its value underflows to 0
    CHECK(least_capacity_from(-infinite, 64).log_slots == infinite);
    CHECK(least_capacity_from(-infinite, 64).slots() == std::numeric_limits<std::size_t>::max());
}

TEST_CASE("at delta 0 every token belongs, to one cap half of them") {
    CHECK(log_p_delta_erfc({.hidden_size = 2, .delta = 0}) == 0);
    CHECK(log_p_delta_exponential({.hidden_size = 2, .delta = 0}) == 0);
    CHECK(std::exp(log_p_delta_erfc({.hidden_size = 2, .delta = 0, .caps = sphere_caps::one})) ==
          Approx(0.5));
}

TEST_CASE("the bounds refuse what is no angle, no space and no experts") {
    for (const double delta : {-0.1, 1.0000001, infinite, nan_value}) {
        CHECK_THROWS_AS(log_p_delta_erfc({.hidden_size = 64, .delta = delta}),
                        locmoe::argument_error);
        CHECK_THROWS_AS(log_p_delta_exponential({.hidden_size = 64, .delta = delta}),
                        locmoe::argument_error);
    }
    for (const std::size_t d : {0u, 1u}) {
        CHECK_THROWS_AS(log_p_delta_erfc({.hidden_size = d, .delta = 0.5}), locmoe::argument_error);
        CHECK_THROWS_AS(least_capacity_exponential({.hidden_size = d, .delta = 0.5}, 4),
                        locmoe::argument_error);
    }
    CHECK_THROWS_WITH(least_capacity_erfc({.hidden_size = 64, .delta = 0.5}, 0),
                      "locmoe: least_capacity_from: expert_count: expected at least 1, got 0");
    CHECK_THROWS_AS(least_capacity_from(0.1, 4), locmoe::argument_error);
    CHECK_THROWS_AS(least_capacity_from(nan_value, 4), locmoe::argument_error);
}
