#include "locmoe/topology/detail/key_numbers.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <random>

#include "catch.hpp"

TEST_CASE("key_numbers numbers keys in the order in which they come") {
    std::mt19937_64 random(11);
    locmoe::detail::key_numbers numbers;
    std::map<std::uint64_t, std::size_t> expected;
    for (int i = 0; i < 20000; ++i) {
        // Near ones, such as rank pairs have, and far ones.
        const std::uint64_t key = i % 2 ? random() % 3000 : (random() % 3000) << 40;
        const std::size_t number = expected.try_emplace(key, expected.size()).first->second;
        REQUIRE(numbers.of(key) == number);
    }
}
