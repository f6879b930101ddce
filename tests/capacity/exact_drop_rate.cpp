#include "locmoe/capacity/exact_drop_rate.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

#include <boost/multiprecision/cpp_bin_float.hpp>

#include "catch.hpp"

using locmoe::any_drop_probability;
using locmoe::capacity_for_expected_drop_rate;
using locmoe::expected_drop_fraction;
using locmoe::expected_load;

namespace {

using digits50 = boost::multiprecision::cpp_bin_float_50;

/// E max(0, X - c) of a binomial, all terms added up in 50 digits.
digits50 reference_excess(std::int64_t n, double p, std::int64_t c) {
    digits50 mass = pow(1 - digits50(p), n);
    digits50 sum = 0;
    for (std::int64_t k = 0; k <= n; ++k) {
        if (k > c) sum += (k - c) * mass;
        mass *= digits50(n - k) / (k + 1) * (digits50(p) / (1 - digits50(p)));
    }
    return sum;
}

struct enumerated {
    double drop_fraction = 0;
    double any_drop = 0;
};

/// Every way to send `pairs` choices to the experts, with its multinomial chance.
void enumerate(const std::vector<double>& share, std::size_t expert, std::int64_t left,
               double chance, std::vector<std::int64_t>& load, std::int64_t capacity,
               std::int64_t pairs, enumerated& sum) {
    if (expert + 1 == share.size()) {
        load[expert] = left;
        chance *= std::pow(share[expert], static_cast<double>(left));
        const double dropped = locmoe::drop_fraction(load, capacity);
        sum.drop_fraction += chance * dropped;
        sum.any_drop += dropped > 0 ? chance : 0;
        return;
    }
    double ways = 1;
    for (std::int64_t x = 0; x <= left; ++x) {
        load[expert] = x;
        enumerate(share, expert + 1, left - x,
                  chance * ways * std::pow(share[expert], static_cast<double>(x)), load, capacity,
                  pairs, sum);
        ways *= static_cast<double>(left - x) / static_cast<double>(x + 1);
    }
}

}  // namespace

TEST_CASE("the binomial's expected excess agrees with 50 digits to 1e-12") {
    double worst = 0;
    for (const std::int64_t n : {1, 2, 40, 1000})
        for (const double p : {1e-4, 0.03, 0.125, 0.5, 0.97})
            for (std::int64_t c = 0; c < n; c += n / 25 + 1) {
                const digits50 expected = reference_excess(n, p, c);
                if (expected < 1e-280) continue;
                const double got = locmoe::detail::binomial_excess(n, p, c);
                const double error = std::fabs(static_cast<double>(got / expected - 1));
                INFO("n " << n << ", p " << p << ", c " << c);
                CHECK(error < 1e-12);
                worst = std::max(worst, error);
            }
    CHECK(worst > 0);
}

TEST_CASE("far above the mean of a large load the expected excess does not cancel") {
    const std::int64_t n = 100000;
    const digits50 expected = reference_excess(n, 0.5, 55000);
    CHECK(expected < 1e-200);
    CHECK(std::fabs(static_cast<double>(locmoe::detail::binomial_excess(n, 0.5, 55000) / expected -
                                        1)) < 1e-12);
}

TEST_CASE("expected drops are those of all multinomial loads, and the bounds hold any drop") {
    const std::vector<std::int64_t> load{5, 1, 3, 0, 2};
    std::vector<double> share;
    for (const std::int64_t l : load) share.push_back(static_cast<double>(l) / 11);
    const std::int64_t pairs = 9;
    double narrowest = 1;
    for (std::int64_t capacity = 0; capacity <= pairs; ++capacity) {
        enumerated all;
        std::vector<std::int64_t> drawn(share.size());
        enumerate(share, 0, pairs, 1, drawn, capacity, pairs, all);
        const expected_load expected{load, pairs};
        INFO("capacity " << capacity);
        CHECK(expected_drop_fraction(expected, capacity) ==
              Approx(all.drop_fraction).epsilon(1e-12).margin(1e-15));
        const auto any = any_drop_probability(expected, capacity);
        CHECK(any.least <= all.any_drop * (1 + 1e-12));
        CHECK(any.most >= std::min(1.0, all.any_drop) * (1 - 1e-12));
        if (all.any_drop > 0 && all.any_drop < 0.1)
            narrowest = std::min(narrowest, any.least / any.most);
    }
    CHECK(narrowest > 0.95);
}

TEST_CASE("a thousand drawn batches drop as expected") {
    std::mt19937_64 bits(3);
    const std::vector<std::int64_t> load{30, 10, 25, 5, 12, 18, 8, 20};
    const std::int64_t pairs = 512;
    const std::int64_t capacity = 90;
    double sum = 0;
    double squares = 0;
    double any = 0;
    const int batches = 2000;
    for (int b = 0; b < batches; ++b) {
        std::vector<std::int64_t> drawn(load.size(), 0);
        for (std::int64_t t = 0; t < pairs; ++t) {
            auto at = static_cast<std::int64_t>(bits() % 128);
            std::size_t e = 0;
            while (at >= load[e]) at -= load[e++];
            ++drawn[e];
        }
        const double dropped = locmoe::drop_fraction(drawn, capacity);
        sum += dropped;
        squares += dropped * dropped;
        any += dropped > 0 ? 1 : 0;
    }
    const double mean = sum / batches;
    const double error = std::sqrt((squares / batches - mean * mean) / batches);
    CHECK(std::fabs(expected_drop_fraction({load, pairs}, capacity) - mean) < 4 * error);
    const auto bounds = any_drop_probability({load, pairs}, capacity);
    const double share = any / batches;
    CHECK(share > bounds.least - 4 * std::sqrt(0.25 / batches));
    CHECK(share < bounds.most + 4 * std::sqrt(0.25 / batches));
}

TEST_CASE("the capacity for an expected rate is the least that keeps to it") {
    const std::vector<std::int64_t> load{7, 3, 2, 4};
    for (const std::int64_t pairs : {1, 20, 300})
        for (const double rate : {0.0, 1e-6, 0.001, 0.01, 0.2, 1.0}) {
            const expected_load expected{load, pairs};
            const std::int64_t got = capacity_for_expected_drop_rate(expected, rate);
            INFO("pairs " << pairs << ", rate " << rate << ", capacity " << got);
            CHECK(expected_drop_fraction(expected, got) <= rate);
            if (got > 0) CHECK(expected_drop_fraction(expected, got - 1) > rate);
        }
}

TEST_CASE("an expert that nobody chose drops nothing, and the only one what passes it") {
    const std::vector<std::int64_t> one{6, 0};
    CHECK(expected_drop_fraction({one, 10}, 4) == Approx(0.6));
    CHECK(any_drop_probability({one, 10}, 4).least == 1);
    CHECK(any_drop_probability({one, 10}, 10).most == 0);
    CHECK(expected_drop_fraction({one, 10}, 10) == 0);
    const std::vector<std::int64_t> even(64,
                                         1000);  // far out: neither cancels nor underflows to junk
    const double rare = expected_drop_fraction({even, 64 * 1000}, 1300);
    CHECK(rare > 0);
    CHECK(rare < 1e-18);
}

TEST_CASE("expected drop rates refuse loads that say nothing") {
    const std::vector<std::int64_t> load{4, 2};
    const std::vector<std::int64_t> nothing{0, 0};
    CHECK_THROWS_WITH(expected_drop_fraction({nothing, 5}, 3),
                      "locmoe: expected_drop_fraction: load: expected at least one pair observed, "
                      "got none");
    CHECK_THROWS_AS(expected_drop_fraction({load, 0}, 3), locmoe::argument_error);
    CHECK_THROWS_AS(expected_drop_fraction({load, 5}, -1), locmoe::argument_error);
    CHECK_THROWS_AS(any_drop_probability({load, 5}, -1), locmoe::argument_error);
    CHECK_THROWS_AS(capacity_for_expected_drop_rate({load, 5}, -0.5), locmoe::argument_error);
}
