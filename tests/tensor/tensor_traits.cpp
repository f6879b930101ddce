#include "locmoe/tensor/tensor_traits.hpp"

#include <array>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "locmoe/tensor/standard.hpp"

#include "catch.hpp"

namespace {

/// A user's own tensor: columns of which each row uses the first `used`.
struct padded_tokens {
    std::size_t count = 0, used = 0, padded = 0;
    std::vector<double> numbers;
};

struct unknown {};
struct without_row_stride {};
struct with_foreign_element {};
struct read_only {};

struct foreign {};

/// A user's own 16-bit number, kept as a whole number of eighths.
struct eighths {
    std::int16_t count = 0;
};

}  // namespace

template <>
struct locmoe::element_traits<eighths> {
    using sum_type = float;
    static constexpr element_type type = element_type::fp16;
    static float load(eighths e) { return static_cast<float>(e.count) / 8; }
    static eighths store(float sum) { return {static_cast<std::int16_t>(sum * 8)}; }
};

template <>
struct locmoe::tensor_traits<padded_tokens> {
    using value_type = double;
    static std::size_t rows(const padded_tokens& t) { return t.count; }
    static std::size_t cols(const padded_tokens& t) { return t.used; }
    static std::size_t row_stride(const padded_tokens& t) { return t.padded; }
    static const double* data(const padded_tokens& t) { return t.numbers.data(); }
    static double* data(padded_tokens& t) { return t.numbers.data(); }
};

template <>
struct locmoe::tensor_traits<without_row_stride> {
    using value_type = float;
    static std::size_t rows(const without_row_stride&) { return 0; }
    static std::size_t cols(const without_row_stride&) { return 0; }
    static const float* data(const without_row_stride&) { return nullptr; }
};

template <>
struct locmoe::tensor_traits<with_foreign_element> {
    using value_type = foreign;
    static std::size_t rows(const with_foreign_element&) { return 0; }
    static std::size_t cols(const with_foreign_element&) { return 0; }
    static std::size_t row_stride(const with_foreign_element&) { return 0; }
    static const foreign* data(const with_foreign_element&) { return nullptr; }
};

template <>
struct locmoe::tensor_traits<read_only> {
    using value_type = float;
    static std::size_t rows(const read_only&) { return 1; }
    static std::size_t cols(const read_only&) { return 1; }
    static std::size_t row_stride(const read_only&) { return 1; }
    static const float* data(const read_only&) {
        static const float number = 5;
        return &number;
    }
};

TEST_CASE("a user's own tensor with padded rows is read and written through its trait") {
    padded_tokens tokens{2, 3, 4, {1, 2, 3, -1, 4, 5, 6, -1}};
    const auto reads = locmoe::view_of(tokens);
    static_assert(std::is_same_v<decltype(reads), const locmoe::matrix_view<const double>>);
    CHECK(reads.rows == 2);
    CHECK(reads.cols == 3);
    CHECK(reads.row_stride == 4);
    CHECK(reads(1, 2) == 6);

    const auto writes = locmoe::writable_view_of(tokens);
    static_assert(std::is_same_v<decltype(writes), const locmoe::matrix_view<double>>);
    for (std::size_t i = 0; i < 2; ++i)
        for (std::size_t j = 0; j < 3; ++j)
            writes(i, j) = 0;
    CHECK(tokens.numbers == std::vector<double>{0, 0, 0, -1, 0, 0, 0, -1});
}

TEST_CASE("the trait decides what is a token tensor, and what can be written") {
    using locmoe::token_tensor;
    using locmoe::writable_token_tensor;
    static_assert(token_tensor<padded_tokens> && writable_token_tensor<padded_tokens>);
    static_assert(token_tensor<padded_tokens&> && writable_token_tensor<padded_tokens&>);
    static_assert(token_tensor<const padded_tokens> && !writable_token_tensor<const padded_tokens>);
    static_assert(token_tensor<read_only> && !writable_token_tensor<read_only>);
    CHECK(locmoe::view_of(read_only{})(0, 0) == 5);
}

TEST_CASE("near misses are no token tensors") {
    using locmoe::token_tensor;
    static_assert(!token_tensor<unknown>);
    static_assert(!token_tensor<without_row_stride>);
    static_assert(!token_tensor<with_foreign_element>);
    static_assert(!token_tensor<std::vector<float>>);  // how many columns? as_matrix says
    static_assert(!token_tensor<float*>);
    SUCCEED("checked by the compiler");
}

TEST_CASE("an element type of the user's own makes token rows") {
    std::vector<std::array<eighths, 2>> tokens = {{eighths{8}, eighths{4}}};
    const auto view = locmoe::view_of(tokens);
    CHECK(locmoe::element_traits<eighths>::load(view(0, 1)) == 0.5f);
    CHECK(locmoe::as_token_rows(view).row_bytes == 4);
}
