#include "locmoe/capacity/capacity_factor.hpp"

#include <cstddef>
#include <limits>

#include "catch.hpp"

using locmoe::capacity_from_factor;

namespace {

/// ceil(tenths / 10 * T k / n), in whole numbers.
std::size_t ceil_of_tenths(std::size_t tenths, std::size_t pairs, std::size_t n) {
    return (tenths * pairs + 10 * n - 1) / (10 * n);
}

}  // namespace

TEST_CASE("the factor formula is that of DeepSpeed and Megatron") {
    CHECK(capacity_from_factor(1.25, {.token_count = 100, .choice_count = 2, .expert_count = 7}) ==
          36);
    CHECK(capacity_from_factor(1, {.token_count = 64, .expert_count = 8}) == 8);
    CHECK(capacity_from_factor(1, {.token_count = 65, .expert_count = 8}) == 9);
    CHECK(capacity_from_factor(0.001, {.token_count = 1, .expert_count = 1000}) == 1);
}

TEST_CASE("a whole number of slots is never rounded up") {
    // 1.1 * 30 is 33.000000000000004 in doubles, 1.1 itself more than eleven tenths.
    CHECK(capacity_from_factor(1.1, {.token_count = 30, .expert_count = 1}) == 33);
    std::size_t wrong = 0;
    for (std::size_t tenths = 1; tenths <= 40; ++tenths)
        for (std::size_t tokens = 0; tokens < 700; tokens += 3)
            for (std::size_t k : {1u, 2u, 6u})
                for (std::size_t n : {1u, 3u, 7u, 10u, 64u}) {
                    const double factor = static_cast<double>(tenths) / 10;
                    const std::size_t got = capacity_from_factor(
                        factor, {.token_count = tokens, .choice_count = k, .expert_count = n});
                    wrong += got != ceil_of_tenths(tenths, tokens * k, n) ? 1u : 0u;
                }
    CHECK(wrong == 0);
}

TEST_CASE("a fraction of a slot, however small, takes a whole one") {
    const std::size_t tokens = (std::size_t{1} << 40) + 1;
    CHECK(capacity_from_factor(1, {.token_count = tokens, .expert_count = 1024}) ==
          (std::size_t{1} << 30) + 1);
}

TEST_CASE("capacity is zero where factor, tokens or choices are") {
    CHECK(capacity_from_factor(0, {.token_count = 100, .choice_count = 2, .expert_count = 7}) == 0);
    CHECK(capacity_from_factor(1.25, {.token_count = 0, .choice_count = 2, .expert_count = 7}) ==
          0);
    CHECK(capacity_from_factor(1.25, {.token_count = 9, .choice_count = 0, .expert_count = 7}) ==
          0);
}

TEST_CASE("a capacity factor that makes no sense is refused") {
    const locmoe::capacity_demand demand{.token_count = 100, .choice_count = 2, .expert_count = 7};
    CHECK_THROWS_AS(capacity_from_factor(-0.1, demand), locmoe::argument_error);
    CHECK_THROWS_AS(capacity_from_factor(std::numeric_limits<double>::quiet_NaN(), demand),
                    locmoe::argument_error);
    CHECK_THROWS_WITH(capacity_from_factor(std::numeric_limits<double>::infinity(), demand),
                      "locmoe: capacity_from_factor: factor: expected a finite number of at least "
                      "0, got inf");
    CHECK_THROWS_AS(capacity_from_factor(1e300, demand), locmoe::argument_error);
    CHECK_THROWS_AS(capacity_from_factor(std::numeric_limits<double>::max(), demand),
                    locmoe::argument_error);
    CHECK_THROWS_WITH(capacity_from_factor(1, {.token_count = 100, .expert_count = 0}),
                      "locmoe: capacity_from_factor: expert_count: expected at least 1, got 0");
}
