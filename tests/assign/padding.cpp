#include "locmoe/assign/padding.hpp"

#include <cstdint>
#include <vector>

#include "catch.hpp"

using locmoe::padding_of;
using counts = std::vector<std::int64_t>;

TEST_CASE("padding to a multiple adds the least, and nothing to an expert without rows",
          "[assign]") {
    const auto p = padding_of(counts{0, 1, 127, 128, 129, 256}, locmoe::pad_to_multiple{128});
    CHECK(p.rows == counts{0, 127, 1, 0, 127, 0});
    CHECK(p.count == 255);
    for (std::int64_t m = 1; m <= 9; ++m)
        for (std::int64_t rows = 0; rows <= 30; ++rows) {
            const auto one = padding_of(counts{rows}, locmoe::pad_to_multiple{m});
            CHECK((rows + one.rows[0]) % m == 0);
            CHECK(one.rows[0] < m);
            CHECK(one.rows[0] >= 0);
        }
}

TEST_CASE("padding to the capacity makes all experts alike", "[assign]") {
    const auto p = padding_of(counts{0, 3, 5}, locmoe::pad_to_capacity{5});
    CHECK(p.rows == counts{5, 2, 0});
    CHECK(p.count == 7);
    CHECK(padding_of(counts{}, locmoe::pad_to_capacity{5}).count == 0);
}

TEST_CASE("padding refuses rows over the capacity instead of dropping them in silence",
          "[assign]") {
    CHECK_THROWS_WITH(padding_of(counts{1, 6}, locmoe::pad_to_capacity{5}),
                      "locmoe: padding_of: rows of expert 1: expected 0 to the capacity, 5, got 6");
    CHECK_THROWS_AS(padding_of(counts{-1}, locmoe::pad_to_capacity{5}), locmoe::argument_error);
    CHECK_THROWS_AS(padding_of(counts{-1}, locmoe::pad_to_multiple{5}), locmoe::argument_error);
    CHECK_THROWS_AS(padding_of(counts{1}, locmoe::pad_to_multiple{0}), locmoe::argument_error);
    const std::int64_t half = std::int64_t{1} << 62;
    CHECK_THROWS_AS(padding_of(counts{0, 0}, locmoe::pad_to_capacity{half}), locmoe::argument_error);
    CHECK_THROWS_AS(padding_of(counts{1, 1, 1}, locmoe::pad_to_multiple{half}),
                    locmoe::argument_error);
}
