#include "locmoe/core/token_rows.hpp"

#include <cstdint>
#include <cstring>
#include <type_traits>
#include <vector>

#include "catch.hpp"

namespace {

template <class E>
void check_bytes_of(locmoe::element_type type) {
    std::vector<E> numbers(3 * 7);
    for (std::size_t i = 0; i < numbers.size(); ++i)
        numbers[i] = locmoe::element_traits<E>::store(
            static_cast<locmoe::sum_type_t<E>>(static_cast<int>(i)));
    const auto rows = locmoe::as_token_rows(locmoe::matrix_view<E>(numbers.data(), 3, 5, 7));
    CHECK(rows.type == type);
    CHECK(rows.rows == 3);
    CHECK(rows.cols() == 5);
    CHECK(rows.row_bytes == 5 * sizeof(E));
    CHECK(rows.row_stride == 7 * sizeof(E));
    CHECK_FALSE(rows.contiguous());
    for (std::size_t i = 0; i < 3; ++i)
        CHECK(std::memcmp(rows.row(i), &numbers[i * 7], rows.row_bytes) == 0);
}

}  // namespace

TEST_CASE("token rows are the bytes of the numbers, for every element type") {
    using locmoe::element_type;
    check_bytes_of<float>(element_type::f32);
    check_bytes_of<double>(element_type::f64);
    check_bytes_of<locmoe::bf16>(element_type::bf16);
    check_bytes_of<locmoe::fp16>(element_type::fp16);
    check_bytes_of<std::int32_t>(element_type::i32);
    check_bytes_of<std::int64_t>(element_type::i64);
}

TEST_CASE("rows without a gap between them are contiguous") {
    float numbers[6] = {};
    CHECK(locmoe::as_token_rows(locmoe::matrix_view<float>(numbers, 2, 3)).contiguous());
}

TEST_CASE("rows of constants are read only") {
    const float numbers[2] = {1, 2};
    const auto rows = locmoe::as_token_rows(locmoe::matrix_view<const float>(numbers, 1, 2));
    static_assert(std::is_same_v<decltype(rows), const locmoe::const_token_rows>);
    static_assert(std::is_convertible_v<locmoe::token_rows, locmoe::const_token_rows>);
    static_assert(!std::is_convertible_v<locmoe::const_token_rows, locmoe::token_rows>);
    CHECK(rows.row_bytes == 2 * sizeof(float));

    float writable[2] = {};
    const auto writes = locmoe::as_token_rows(locmoe::matrix_view<float>(writable, 1, 2));
    const locmoe::const_token_rows reads = writes;
    CHECK(reads.row(0) == writes.row(0));
    CHECK(reads.type == writes.type);
}
