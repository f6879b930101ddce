#include "locmoe/capacity/exact_discriminative_capacity.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <random>

#include <boost/multiprecision/cpp_bin_float.hpp>

#include "catch.hpp"

using locmoe::capacity_to_see;
using locmoe::chance_of_too_few;
using locmoe::discriminative_share;

namespace {

using digits50 = boost::multiprecision::cpp_bin_float_50;

/// P(fewer than m of `slots`), added up.
digits50 reference_chance(double share, std::int64_t m, std::int64_t slots) {
    digits50 mass = pow(1 - digits50(share), slots);
    digits50 sum = 0;
    for (std::int64_t k = 0; k < m && k <= slots; ++k) {
        sum += mass;
        mass *= digits50(slots - k) / (k + 1) * (digits50(share) / (1 - digits50(share)));
    }
    return sum;
}

}  // namespace

TEST_CASE("the chance of too few agrees with 50 digits to 1e-12") {
    for (const double share : {1e-5, 0.01, 0.3, 0.9})
        for (const std::int64_t m : {1, 2, 7, 40})
            for (const std::int64_t slots : {1, 5, 39, 40, 41, 200, 5000}) {
                const digits50 expected = reference_chance(share, m, slots);
                if (expected < 1e-280) continue;
                INFO("share " << share << ", m " << m << ", slots " << slots);
                CHECK(std::fabs(static_cast<double>(
                          chance_of_too_few({.share = share, .token_count = m}, slots) / expected -
                          1)) < 1e-12);
            }
}

TEST_CASE("the capacity to see m tokens is the least that fails seldom enough") {
    for (const double share : {1e-9, 1e-4, 0.02, 0.5, 0.999, 1.0})
        for (const std::int64_t m : {1, 3, 64})
            for (const double failure : {1e-12, 0.01, 0.5}) {
                const locmoe::discriminative_demand wanted{share, m, failure};
                const std::int64_t slots = capacity_to_see(wanted);
                INFO("share " << share << ", m " << m << ", eps " << failure << ": " << slots);
                CHECK(slots >= m);
                CHECK(chance_of_too_few(wanted, slots) <= failure);
                if (slots > m) CHECK(chance_of_too_few(wanted, slots - 1) > failure);
            }
}

TEST_CASE("one token takes log eps / log(1 - share) slots") {
    for (const double share : {1e-6, 0.013, 0.4})
        for (const double failure : {0.001, 0.37})
            CHECK(capacity_to_see({.share = share, .failure = failure}) ==
                  static_cast<std::int64_t>(std::ceil(std::log(failure) / std::log1p(-share))));
}

TEST_CASE("the paper's 1 / share slots hold no discriminative token in 1 of e batches") {
    CHECK(chance_of_too_few({.share = 1e-6}, 1000000) == Approx(std::exp(-1.0)).epsilon(1e-5));
}

TEST_CASE("tokens drawn one by one need as many slots as the capacity says") {
    std::mt19937_64 bits(9);
    const double share = 0.08;
    const std::int64_t m = 5;
    const std::int64_t slots = capacity_to_see({share, m, 0.1});
    int failed = 0;
    const int batches = 20000;
    for (int b = 0; b < batches; ++b) {
        std::int64_t seen = 0;
        for (std::int64_t t = 0; t < slots; ++t)
            seen += static_cast<double>(bits() >> 11) * 0x1p-53 < share ? 1 : 0;
        failed += seen < m ? 1 : 0;
    }
    const double expected = chance_of_too_few({.share = share, .token_count = m}, slots);
    CHECK(std::fabs(failed / double{batches} - expected) <
          4 * std::sqrt(expected * (1 - expected) / batches));
}

TEST_CASE("the share of discriminative tokens is n p_delta, at most 1") {
    const locmoe::token_angle angle{.hidden_size = 3, .delta = 0.75};  // p = 1 - delta
    CHECK(discriminative_share(angle, 2) == Approx(0.5));
    CHECK(discriminative_share(angle, 16) == 1);
    CHECK(discriminative_share({.hidden_size = 65536, .delta = 0.9}, 16) == 0);
}

TEST_CASE("a share too small for counts saturates, and what makes no sense is refused") {
    CHECK(capacity_to_see({.share = 1e-300}) == std::int64_t{1} << 53);
    CHECK(capacity_to_see({.share = 1, .token_count = 3}) == 3);
    for (const double share : {0.0, -0.1, 1.1, std::nan("")})
        CHECK_THROWS_AS(capacity_to_see({.share = share}), locmoe::argument_error);
    for (const double failure : {0.0, 1.0, std::nan("")})
        CHECK_THROWS_AS(capacity_to_see({.share = 0.1, .failure = failure}),
                        locmoe::argument_error);
    CHECK_THROWS_WITH(capacity_to_see({.share = 0.1, .token_count = 0}),
                      "locmoe: chance_of_too_few: token_count: expected at least 1, got 0");
    CHECK_THROWS_AS(chance_of_too_few({.share = 0.1}, -1), locmoe::argument_error);
}
