#include "locmoe/tensor/standard.hpp"

#include <array>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "catch.hpp"

namespace {

using tokens_t = std::vector<std::array<float, 3>>;

tokens_t two_tokens() {
    return {{1, 2, 3}, {4, 5, 6}};
}

template <class Tensor>
void check_reads_two_tokens(const Tensor& tensor) {
    const auto view = locmoe::view_of(tensor);
    static_assert(std::is_same_v<decltype(view), const locmoe::matrix_view<const float>>);
    REQUIRE(view.rows == 2);
    REQUIRE(view.cols == 3);
    for (std::size_t i = 0; i < 2; ++i)
        for (std::size_t j = 0; j < 3; ++j)
            CHECK(view(i, j) == static_cast<float>(i * 3 + j + 1));
}

template <class Call>
std::string words_of_argument_error(Call call) {
    try {
        call();
    } catch (const locmoe::argument_error& e) {
        return e.what();
    }
    return "nothing thrown";
}

}  // namespace

TEST_CASE("vectors and spans of arrays, and views, show the same token rows") {
    tokens_t tokens = two_tokens();
    check_reads_two_tokens(tokens);
    check_reads_two_tokens(std::span<std::array<float, 3>>(tokens));
    check_reads_two_tokens(std::span<const std::array<float, 3>>(tokens));
    check_reads_two_tokens(locmoe::writable_view_of(tokens));
    check_reads_two_tokens(locmoe::view_of(tokens));
    std::vector<float> flat = {1, 2, 3, 4, 5, 6};
    check_reads_two_tokens(locmoe::as_matrix(flat, 3));
    check_reads_two_tokens(locmoe::as_matrix(std::as_const(flat), 3));
    check_reads_two_tokens(locmoe::as_matrix(std::span<const float>(flat), 3));
}

TEST_CASE("what is written through a view stands in the tensor") {
    tokens_t tokens = two_tokens();
    locmoe::writable_view_of(tokens)(0, 1) = 20;
    locmoe::writable_view_of(std::span<std::array<float, 3>>(tokens))(1, 0) = 40;
    CHECK(tokens == tokens_t{{1, 20, 3}, {40, 5, 6}});
    std::vector<float> flat(6);
    locmoe::writable_view_of(locmoe::as_matrix(flat, 2))(2, 1) = 7;
    CHECK(flat.back() == 7);
}

TEST_CASE("only what owns or lends writable numbers can be written") {
    using locmoe::writable_token_tensor;
    static_assert(writable_token_tensor<tokens_t&>);
    static_assert(!writable_token_tensor<const tokens_t&>);
    static_assert(writable_token_tensor<std::span<std::array<float, 3>>>);
    static_assert(writable_token_tensor<const std::span<std::array<float, 3>>>);
    static_assert(!writable_token_tensor<std::span<const std::array<float, 3>>>);
    static_assert(writable_token_tensor<locmoe::matrix_view<float>>);
    static_assert(!writable_token_tensor<locmoe::matrix_view<const float>>);
    SUCCEED("checked by the compiler");
}

TEST_CASE("a tensor without tokens keeps its columns") {
    const tokens_t none;
    CHECK(locmoe::view_of(none).rows == 0);
    CHECK(locmoe::view_of(none).cols == 3);
    CHECK(locmoe::view_of(std::span<const std::array<float, 3>>()).rows == 0);
    CHECK(locmoe::view_of(locmoe::as_matrix(std::span<float>(), 5)).cols == 5);
    CHECK(locmoe::as_matrix(std::span<float>(), 0).rows == 0);
}

TEST_CASE("as_matrix refuses columns that do not divide the elements") {
    std::vector<float> flat(7);
    CHECK(words_of_argument_error([&] { locmoe::as_matrix(flat, 3); }) ==
          "locmoe: as_matrix: flat: expected a multiple of 3 elements, got 7");
    CHECK(words_of_argument_error([&] { locmoe::as_matrix(std::as_const(flat), 0); }) ==
          "locmoe: as_matrix: flat: expected a multiple of 0 elements, got 7");
    CHECK(locmoe::as_matrix(flat, 7).rows == 1);
    CHECK(locmoe::as_matrix(flat, 1).rows == 7);
}
