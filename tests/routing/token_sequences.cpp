#include "locmoe/routing/token_sequences.hpp"

#include <cstdint>
#include <vector>

#include "catch.hpp"

using locmoe::token_sequences;

TEST_CASE("sequences of one length follow one another, the last one shorter") {
    const auto s = token_sequences::of_length(7, 3);
    CHECK(s.token_count() == 7);
    CHECK(s.sequence_count() == 3);
    for (std::size_t t = 0; t < 7; ++t) CHECK(s.sequence_of(t) == t / 3);
    CHECK(s.length_of(0) == 3);
    CHECK(s.length_of(2) == 1);
    CHECK(token_sequences::of_length(0, 3).sequence_count() == 0);
}

TEST_CASE("sequences by id may be scattered and leave ids out") {
    const auto s = token_sequences::from_ids(std::vector<std::int32_t>{3, 0, 3, 0, 0});
    CHECK(s.sequence_count() == 4);
    CHECK(s.length_of(0) == 3);
    CHECK(s.length_of(1) == 0);
    CHECK(s.length_of(3) == 2);
    CHECK(s.sequence_of(2) == 3);
}

TEST_CASE("sequences that cannot be are refused") {
    CHECK_THROWS_AS(token_sequences::of_length(4, 0), locmoe::argument_error);
    CHECK_THROWS_WITH(
        token_sequences::from_ids(std::vector<std::int32_t>{0, 2}),
        "locmoe: token_sequences: sequence of token 1: expected 0 to T - 1 with T = 2, got 2");
    CHECK_THROWS_AS(token_sequences::from_ids(std::vector<std::int32_t>{-1}),
                    locmoe::argument_error);
}
