#include "locmoe/exec/host_kernels.hpp"

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "catch.hpp"
#include "random_cases.hpp"

using namespace locmoe;

namespace {

template <class E>
E element_of(std::size_t number) {
    if constexpr (std::is_arithmetic_v<E>)
        return static_cast<E>(number);
    else
        return E(static_cast<float>(number));
}

/// Rows with a gap between them, so that a stride that is forgotten shows.
template <class E>
struct strided {
    std::size_t rows, cols, stride;
    std::vector<E> numbers;

    strided(std::size_t row_count, std::size_t col_count)
        : rows(row_count), cols(col_count), stride(col_count + 3), numbers(rows * stride) {}

    matrix_view<E> view() { return {numbers.data(), rows, cols, stride}; }
    void fill(random_cases::generator& g) {
        for (E& n : numbers) n = element_of<E>(g.up_to(7));
    }
};

template <class E>
sum_type_t<E> load(E value) {
    return element_traits<E>::load(value);
}

constexpr std::size_t widths[] = {1, 3, 255, 256, 257, 600};

}  // namespace

TEMPLATE_TEST_CASE("gather copies rows from sources and staging and zeros empty rows", "[exec]", float, double, bf16,
                   fp16, std::int32_t, std::int64_t) {
    for (const std::size_t cols : widths) {
        random_cases::generator g(1);
        strided<TestType> sources(4, cols), staging(3, cols), out(5, cols);
        sources.fill(g);
        staging.fill(g);
        out.fill(g);
        const row_space space{as_token_rows(sources.view()), as_token_rows(staging.view())};
        const row_sums rows{{9, 6, 0, empty_row, 3, 0, 9}, {}};
        host_kernels{}.gather(space, rows, {1, 6}, as_token_rows(out.view()));
        for (std::size_t i = 0; i < 5; ++i) {
            const auto r = static_cast<std::size_t>(rows.from[i + 1]);
            for (std::size_t c = 0; c < cols; ++c)
                REQUIRE(out.view()(i, c) == (rows.from[i + 1] == empty_row ? element_of<TestType>(0)
                                             : r < 4                       ? sources.view()(r, c)
                                                     : staging.view()(r - 4, c)));
        }
        // The same gather with weights is a sum.
        out.fill(g);
        host_kernels{}.sum(space, rows, {1, 6}, std::span<const float>{}, as_token_rows(out.view()));
        REQUIRE(out.view()(2, 0) == element_of<TestType>(0));
        REQUIRE(out.view()(1, 0) == sources.view()(0, 0));
    }
}

TEMPLATE_TEST_CASE("sum adds up weighted sources and plain staging, and overwrites", "[exec]",
                   float, double, bf16, fp16, std::int32_t, std::int64_t) {
    for (const std::size_t cols : widths) {
        random_cases::generator g(2);
        strided<TestType> sources(4, cols), staging(3, cols), out(4, cols);
        sources.fill(g);
        staging.fill(g);
        out.fill(g);
        const row_space space{as_token_rows(sources.view()), as_token_rows(staging.view())};
        const row_sums rows{{0, 5, 3, 3, 6, 1}, {0, 2, 2, 5, 6}};  // row 1 has no source
        const std::vector<float> weights{1, 2, 3, 4};
        host_kernels{}.sum(space, rows, {0, 4}, std::span<const float>(weights),
                           as_token_rows(out.view()));
        for (std::size_t i = 0; i < 4; ++i)
            for (std::size_t c = 0; c < cols; ++c) {
                double expected = 0;
                for (const row_index r : rows.sources(i)) {
                    const auto at = static_cast<std::size_t>(r);
                    expected += at < 4 ? static_cast<double>(weights[at]) *
                                             static_cast<double>(load(sources.view()(at, c)))
                                       : static_cast<double>(load(staging.view()(at - 4, c)));
                }
                REQUIRE(static_cast<double>(load(out.view()(i, c))) == expected);
            }
    }
}

TEST_CASE("sums of 16-bit rows are kept in float and rounded once", "[exec]") {
    // 256 + 1 is 257, which bf16 cannot hold: added up in bf16, the ones would all be lost.
    strided<bf16> rows(9, 1), out(1, 1);
    rows.view()(0, 0) = bf16(256.0f);
    for (std::size_t i = 1; i < 9; ++i) rows.view()(i, 0) = bf16(1.0f);
    const row_space space{as_token_rows(rows.view()), {}};
    host_kernels{}.sum(space, {{0, 1, 2, 3, 4, 5, 6, 7, 8}, {0, 9}}, {0, 1},
                       std::span<const float>{}, as_token_rows(out.view()));
    CHECK(float(out.view()(0, 0)) == 264.0f);
}

TEMPLATE_TEST_CASE("scale works in place and dot is the inner product of rows", "[exec]", float,
                   double, bf16, fp16) {
    for (const std::size_t cols : widths) {
        random_cases::generator g(3);
        strided<TestType> a(3, cols), b(3, cols);
        a.fill(g);
        b.fill(g);
        std::vector<double> dots(3);
        host_kernels{}.dot(as_token_rows(a.view()), as_token_rows(b.view()), std::span(dots));
        for (std::size_t i = 0; i < 3; ++i) {
            double expected = 0;
            for (std::size_t c = 0; c < cols; ++c)
                expected += static_cast<double>(load(a.view()(i, c))) *
                            static_cast<double>(load(b.view()(i, c)));
            REQUIRE(dots[i] == expected);
        }
        const strided<TestType> before = a;
        const std::vector<double> weights{0.5, 2, 0};
        host_kernels{}.scale(as_token_rows(a.view()), std::span<const double>(weights),
                             as_token_rows(a.view()));
        for (std::size_t i = 0; i < 3; ++i)
            for (std::size_t c = 0; c < a.stride; ++c) {
                const TestType old = before.numbers[i * a.stride + c];
                const double expected = static_cast<double>(load(old)) *
                                        (c < cols ? weights[i] : 1.0);
                REQUIRE(static_cast<double>(load(a.numbers[i * a.stride + c])) == expected);
            }
    }
}

namespace {

/// The least that is a row_kernels.
struct least_kernels {
    void gather(const row_space&, const row_sums&, row_range, token_rows) const {}
    template <class W>
    void sum(const row_space&, const row_sums&, row_range, std::span<const W>, token_rows) const {}
    template <class W>
    void scale(const_token_rows, std::span<const W>, token_rows) const {}
    template <class W>
    void dot(const_token_rows, const_token_rows, std::span<W>) const {}
};

struct only_float_sums : least_kernels {
    void sum(const row_space&, const row_sums&, row_range, std::span<const float>,
             token_rows) const {}
};

struct no_gather {
    template <class W>
    void sum(const row_space&, const row_sums&, row_range, std::span<const W>, token_rows) const {}
    template <class W>
    void scale(const_token_rows, std::span<const W>, token_rows) const {}
    template <class W>
    void dot(const_token_rows, const_token_rows, std::span<W>) const {}
};

static_assert(row_kernels<least_kernels>);
static_assert(!row_kernels<only_float_sums>);
static_assert(!row_kernels<no_gather>);
static_assert(!row_kernels<int>);

}  // namespace
