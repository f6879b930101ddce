#include "locmoe/core/error.hpp"

#include <stdexcept>
#include <string>
#include <type_traits>

#include "catch.hpp"

namespace {

std::string words_of_argument_error(locmoe::rank_id rank) {
    try {
        locmoe::detail::throw_argument("dispatch", "tokens", "128 rows", "120", rank);
    } catch (const locmoe::argument_error& e) {
        return e.what();
    }
}

}  // namespace

TEST_CASE("an argument error says function, argument, rank, expected and got") {
    CHECK(words_of_argument_error(3) ==
          "locmoe: dispatch: tokens on rank 3: expected 128 rows, got 120");
    CHECK(words_of_argument_error(0) ==
          "locmoe: dispatch: tokens on rank 0: expected 128 rows, got 120");
    CHECK(words_of_argument_error(locmoe::no_rank) ==
          "locmoe: dispatch: tokens: expected 128 rows, got 120");
}

TEST_CASE("a backend error carries the operation and the transport's code") {
    const locmoe::backend_error e("wait", 15, "message truncated");
    CHECK(e.operation() == "wait");
    CHECK(e.code() == 15);
    CHECK(e.what() == std::string("locmoe: wait: message truncated"));
}

TEST_CASE("all that locmoe throws at a caller can be caught as one type") {
    static_assert(std::is_base_of_v<locmoe::error, locmoe::argument_error>);
    static_assert(std::is_base_of_v<locmoe::error, locmoe::plan_error>);
    static_assert(std::is_base_of_v<locmoe::error, locmoe::backend_error>);
    static_assert(std::is_base_of_v<std::runtime_error, locmoe::error>);
    CHECK_THROWS_AS(locmoe::detail::throw_argument("f", "x", "1", "2"), locmoe::error);
}

TEST_CASE("a broken invariant names itself and its place, and is no locmoe::error") {
    CHECK_NOTHROW(LOCMOE_ASSERT(1 + 1 == 2));
    std::string words;
    try {
        LOCMOE_ASSERT(1 + 1 == 3);
    } catch (const locmoe::error&) {
        words = "a locmoe::error";
    } catch (const std::logic_error& e) {
        words = e.what();
    }
    CHECK(words.find("locmoe: internal error: 1 + 1 == 3 (") == 0);
    CHECK(words.find("error.cpp:") != std::string::npos);
}

TEST_CASE("concat joins strings and numbers") {
    CHECK(locmoe::detail::concat("rank ", 3, std::string(" of "), std::string_view("P = "), 8u) ==
          "rank 3 of P = 8");
    CHECK(locmoe::detail::concat().empty());
}
