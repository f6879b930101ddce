#include "locmoe/capacity/exact_capacity.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>

#include "capacity/reference_log_p.hpp"
#include "catch.hpp"

using locmoe::least_capacity_exact;
using locmoe::log_p_delta_erfc;
using locmoe::log_p_delta_exact;
using locmoe::log_p_delta_exponential;
using locmoe::sphere_caps;
using reference::digits60;
using reference::reference_log_p;

namespace {

constexpr double infinite = std::numeric_limits<double>::infinity();

constexpr std::size_t dimensions[] = {2,   3,    4,    5,    7,     10,    33,   100,
                                      257, 1000, 1025, 4096, 10000, 65535, 65536};
constexpr double deltas[] = {1e-6, 1e-4, 0.001, 0.003, 0.01,     0.03,     0.05,
                             0.1,  0.15, 0.2,   0.3,   0.5,      0.7,      0.72,
                             0.9,  0.95, 0.99,  0.999, 0.999999, 1 - 1e-12};

}  // namespace

TEST_CASE("the exact form agrees with 60 digits to 1e-12 over all d and delta") {
    double worst = 0;
    std::size_t underflowing = 0;
    for (const std::size_t d : dimensions)
        for (const double delta : deltas) {
            const digits60 expected = reference_log_p(d, delta);
            const double got = log_p_delta_exact({.hidden_size = d, .delta = delta});
            const double scale = std::max(1.0, std::fabs(got));
            const double error = std::fabs(static_cast<double>(expected - got)) / scale;
            INFO("d " << d << ", delta " << delta << ", log p " << got);
            CHECK(error < 1e-12);
            worst = std::max(worst, error);
            underflowing += got < -745 ? 1u : 0u;
        }
    CHECK(worst < 1e-14);  // what it reaches; 1e-12 is the promise
    CHECK(underflowing > 30);
}

TEST_CASE("both ways to the exact form meet where one takes over from the other") {
    // b log(1 - delta^2) passes -600 between the two angles of each pair
    for (const std::size_t d : {200u, 4096u, 65536u}) {
        const double b = 0.5 * (static_cast<double>(d) - 1);
        const double edge = std::sqrt(-std::expm1(-600 / b));
        for (const double delta : {edge * (1 - 1e-9), edge * (1 + 1e-9)}) {
            const digits60 expected = reference_log_p(d, delta);
            const double got = log_p_delta_exact({.hidden_size = d, .delta = delta});
            CHECK(std::fabs(static_cast<double>(expected / got - 1)) < 1e-13);
        }
    }
}

TEST_CASE("in 2 and 3 dimensions the exact form is the arc and the zone") {
    const double pi = std::acos(-1.0);
    for (const double delta : {0.0, 0.1, 0.5, 0.7, 0.8, 0.99}) {
        CHECK(std::exp(log_p_delta_exact({.hidden_size = 2, .delta = delta})) ==
              Approx(1 - 2 * std::asin(delta) / pi).epsilon(1e-13));
        CHECK(std::exp(log_p_delta_exact({.hidden_size = 3, .delta = delta})) ==
              Approx(1 - delta).epsilon(1e-13));
    }
}

TEST_CASE("exact: at delta = 1/sqrt(d) 31.7 % of the tokens belong to an expert") {
    for (const std::size_t d : {4096u, 65536u}) {
        const double delta = 1 / std::sqrt(static_cast<double>(d));
        const double p = std::exp(log_p_delta_exact({.hidden_size = d, .delta = delta}));
        CHECK(p == Approx(0.317).margin(5e-4));
        CHECK(1 - p == Approx(std::erf(std::sqrt(0.5))).epsilon(2 / static_cast<double>(d)));
    }
}

TEST_CASE("the exact form is the share of random directions inside the caps") {
    struct angle {
        std::size_t d;
        double delta;
    };
    for (const angle& a : {angle{2, 0.8}, angle{3, 0.4}, angle{16, 0.3}, angle{64, 0.05},
                           angle{64, 0.25}, angle{200, 0.12}}) {
        const std::size_t d = a.d;
        const double delta = a.delta;
        // Gaussian coordinates point uniformly; Box-Muller, the same with every standard library.
        std::mt19937_64 bits(d);
        const auto uniform = [&] { return (static_cast<double>(bits() >> 11) + 0.5) * 0x1p-53; };
        const auto gauss = [&] {
            return std::sqrt(-2 * std::log(uniform())) * std::cos(6.283185307179586 * uniform());
        };
        const std::size_t tokens = 40000;
        std::size_t in_one = 0;
        std::size_t in_both = 0;
        for (std::size_t t = 0; t < tokens; ++t) {
            const double first = gauss();
            double norm2 = first * first;
            for (std::size_t j = 1; j < d; ++j) {
                const double v = gauss();
                norm2 += v * v;
            }
            in_one += first >= delta * std::sqrt(norm2) ? 1u : 0u;
            in_both += std::fabs(first) >= delta * std::sqrt(norm2) ? 1u : 0u;
        }
        const auto check = [&](sphere_caps caps, std::size_t inside) {
            const double p =
                std::exp(log_p_delta_exact({.hidden_size = d, .delta = delta, .caps = caps}));
            const double count = static_cast<double>(tokens);
            INFO("d " << d << ", delta " << delta << ", p " << p << ", inside " << inside);
            CHECK(std::fabs(static_cast<double>(inside) / count - p) <
                  5 * std::sqrt(p * (1 - p) / count));
        };
        check(sphere_caps::both, in_both);
        check(sphere_caps::one, in_one);
    }
}

TEST_CASE("the exact p falls as delta grows, its capacity as the angle grows") {
    for (const std::size_t d : {2u, 3u, 64u, 4096u, 65536u}) {
        double before = 1;
        std::size_t risen = 0;
        for (int i = 0; i <= 2000; ++i) {
            const double log_p = log_p_delta_exact({.hidden_size = d, .delta = i / 2000.0});
            risen += log_p < before ? 0u : 1u;
            before = log_p;
        }
        INFO("d " << d);
        CHECK(risen == 0);
        CHECK(before == -infinite);
    }
    CHECK(least_capacity_exact({.hidden_size = 64, .delta = 0.4}, 4).log_slots >
          least_capacity_exact({.hidden_size = 64, .delta = 0.3}, 4).log_slots);
}

TEST_CASE("the erfc form is within delta^2 + 1/d of the exact one while d delta^6 <= 1") {
    for (std::size_t d = 2; d <= 65536; d += d / 4 + 1) {
        double worst = 0;
        for (int i = 0; i <= 600; ++i) {
            const double delta = std::pow(10.0, -i / 100.0);
            const double x = delta * delta;
            const double n = static_cast<double>(d);
            if (n * x * x * x > 1) continue;
            const locmoe::token_angle angle{.hidden_size = d, .delta = delta};
            const double error =
                std::fabs(std::expm1(log_p_delta_erfc(angle) - log_p_delta_exact(angle)));
            worst = std::max(worst, error / (x + 1 / n));
        }
        INFO("d " << d);
        CHECK(worst < 1);
        CHECK(worst > 0.3);  // the regime is not stated with room to spare
    }
}

TEST_CASE("the erfc form's capacity lies above the exact one up to (18/d)^(1/4), below it beyond") {
    for (const std::size_t d : {1024u, 4096u, 65536u}) {
        const double crossing = std::pow(18 / static_cast<double>(d), 0.25);
        for (int i = 1; i < 200; ++i) {
            const double delta = i / 200.0;
            const locmoe::token_angle angle{.hidden_size = d, .delta = delta};
            INFO("d " << d << ", delta " << delta);
            if (delta < 0.95 * crossing) CHECK(log_p_delta_erfc(angle) < log_p_delta_exact(angle));
            if (delta > 1.05 * crossing) CHECK(log_p_delta_erfc(angle) > log_p_delta_exact(angle));
        }
    }
}

TEST_CASE("the exponential form bounds the exact one from 3 dimensions on, but not in 2") {
    for (std::size_t d = 3; d <= 65536; d += d / 5 + 1) {
        std::size_t broken = 0;
        for (int i = 1; i <= 1000; ++i)
            for (const double delta : {i / 1000.0, std::pow(10.0, -i / 167.0)}) {
                const locmoe::token_angle angle{.hidden_size = d, .delta = delta};
                broken += log_p_delta_exact(angle) < log_p_delta_exponential(angle) ? 0u : 1u;
            }
        INFO("d " << d);
        CHECK(broken == 0);
    }
    const auto holds_in_the_plane = [](double delta) {
        const locmoe::token_angle angle{.hidden_size = 2, .delta = delta};
        return log_p_delta_exact(angle) < log_p_delta_exponential(angle);
    };
    CHECK(holds_in_the_plane(0.741));
    CHECK_FALSE(holds_in_the_plane(0.743));
    CHECK_FALSE(holds_in_the_plane(0.959));
    CHECK(holds_in_the_plane(0.961));
}

TEST_CASE("exact: logarithms stay finite where p underflows and the capacity overflows") {
    const locmoe::token_angle angle{.hidden_size = 65536, .delta = 0.999};
    const auto c = least_capacity_exact(angle, 16);
    CHECK(std::isfinite(c.log_slots));
    CHECK(c.log_slots > 2e5);
    CHECK(c.value() == std::numeric_limits<double>::max());
    CHECK(c.slots() == std::numeric_limits<std::size_t>::max());
}

TEST_CASE("exact: the ends of delta, and what is refused") {
    CHECK(log_p_delta_exact({.hidden_size = 64, .delta = 0}) == 0);
    CHECK(std::exp(log_p_delta_exact({.hidden_size = 64, .delta = 0, .caps = sphere_caps::one})) ==
          Approx(0.5));
    CHECK(log_p_delta_exact({.hidden_size = 64, .delta = 1}) == -infinite);
    CHECK(least_capacity_exact({.hidden_size = 64, .delta = 1}, 4).log_slots == infinite);
    CHECK(least_capacity_exact({.hidden_size = 64, .delta = 0}, 4).slots() == 1);
    for (const double delta : {-1e-9, 1 + 1e-9, infinite, std::numeric_limits<double>::quiet_NaN()})
        CHECK_THROWS_AS(log_p_delta_exact({.hidden_size = 64, .delta = delta}),
                        locmoe::argument_error);
    CHECK_THROWS_AS(log_p_delta_exact({.hidden_size = 1, .delta = 0.5}), locmoe::argument_error);
    CHECK_THROWS_AS(least_capacity_exact({.hidden_size = 64, .delta = 0.5}, 0),
                    locmoe::argument_error);
}
