#include "locmoe/core/matrix_view.hpp"

#include <type_traits>
#include <vector>

#include "catch.hpp"

TEST_CASE("a matrix view finds row i, column j at i * row_stride + j") {
    std::vector<float> numbers(3 * 5);
    for (std::size_t i = 0; i < numbers.size(); ++i)
        numbers[i] = static_cast<float>(i);
    const locmoe::matrix_view<float> view(numbers.data(), 3, 4, 5);
    for (std::size_t i = 0; i < 3; ++i) {
        CHECK(view.row(i).size() == 4);
        CHECK(view.row(i).data() == numbers.data() + i * 5);
        for (std::size_t j = 0; j < 4; ++j)
            CHECK(view(i, j) == numbers[i * 5 + j]);
    }
    view(2, 3) = -1;
    CHECK(numbers[13] == -1);
    CHECK(view.row(2)[3] == -1);
}

TEST_CASE("a matrix view without a stride has its rows side by side") {
    int numbers[6] = {};
    const locmoe::matrix_view<int> view(numbers, 2, 3);
    CHECK(view.row_stride == 3);
    CHECK(view.row(1).data() == numbers + 3);
}

TEST_CASE("a writing view becomes a reading view of the same numbers, never the other way") {
    double numbers[4] = {1, 2, 3, 4};
    const locmoe::matrix_view<double> writes(numbers, 1, 2, 4);
    const locmoe::matrix_view<const double> reads = writes;
    CHECK(reads.data == numbers);
    CHECK(reads.rows == 1);
    CHECK(reads.cols == 2);
    CHECK(reads.row_stride == 4);
    using reading = locmoe::matrix_view<const double>;
    using writing = locmoe::matrix_view<double>;
    static_assert(std::is_convertible_v<writing, reading>);
    static_assert(!std::is_convertible_v<reading, writing>);
    static_assert(!std::is_assignable_v<decltype(std::declval<reading>()(0, 0)), double>);
}

TEST_CASE("an empty matrix view has no rows and no columns") {
    const locmoe::matrix_view<float> view;
    CHECK(view.data == nullptr);
    CHECK(view.rows == 0);
    CHECK(view.cols == 0);
}
