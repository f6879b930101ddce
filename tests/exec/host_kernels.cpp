#include "locmoe/exec/host_kernels.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>
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

/// Bytes at any distance from a cache line, with gaps, all told apart by their place.
struct byte_rows {
    std::size_t rows, bytes, stride;
    std::vector<std::byte> memory;
    std::size_t start;

    byte_rows(std::size_t row_count, std::size_t row_bytes, std::size_t gap, std::size_t offset)
        : rows(row_count), bytes(row_bytes), stride(row_bytes + gap), memory(rows * stride + 128) {
        const auto over = reinterpret_cast<std::uintptr_t>(memory.data()) % 64;
        start = (64 - over) % 64 + offset;
    }
    token_rows view() {
        return {memory.data() + start, rows, bytes, stride, element_type::f32};
    }
    void fill(std::uint64_t seed) {
        for (std::byte& b : memory) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            b = static_cast<std::byte>(seed >> 56);
        }
    }
};

/// Ascending runs, as a dispatch lists its sources: each source in `copies` of `runs`.
std::vector<row_index> in_runs(random_cases::generator& g, std::size_t sources, std::size_t runs,
                               std::size_t copies) {
    std::vector<std::vector<row_index>> lists(runs);
    for (std::size_t r = 0; r < sources; ++r)
        for (std::size_t c = 0; c < copies; ++c)
            lists[g.up_to(runs - 1)].push_back(static_cast<row_index>(r));
    std::vector<row_index> from;
    for (const auto& list : lists) {
        from.insert(from.end(), list.begin(), list.end());
        from.insert(from.end(), g.up_to(2), empty_row);  // padding
    }
    return from;
}

/// Every byte of `to` after a gather past the caches is what plain copies make it.
template <class Gather>
bool copies_as_plain_loops_do(const row_space& space, const row_sums& rows, row_range range,
                              byte_rows& to, Gather gather) {
    to.fill(99);
    byte_rows want = to;
    const bool done = gather(space, rows, range, to.view());
    detail::finish_streaming();
    for (std::size_t i = range.begin; done && i < range.end; ++i) {
        std::byte* out = want.memory.data() + to.start + (i - range.begin) * to.stride;
        if (rows.from[i] == empty_row)
            std::memset(out, 0, to.bytes);
        else
            std::memcpy(out, space.row(rows.from[i]), to.bytes);
    }
    CHECK(to.memory == want.memory);
    return done;
}

}  // namespace

TEST_CASE("rows gathered past the caches are the same to the byte, wherever they lie", "[exec]") {
    if (!detail::can_stream()) return;
    random_cases::generator g(4);
    for (const std::size_t bytes : {1u, 63u, 64u, 100u, 512u, 1001u, 4096u, 131073u})
        for (const std::size_t gap : {0u, 4u, 64u})
            for (const std::size_t offset : {0u, 4u, 16u, 60u}) {
                byte_rows sources(37, bytes, gap, 60 - offset), staging(5, bytes, 3, offset);
                sources.fill(bytes);
                staging.fill(bytes + 1);
                const row_space space{sources.view(), staging.view()};
                for (const std::size_t copies : {1u, 3u}) {
                    const row_sums rows{in_runs(g, 42, 5, copies), {}};
                    const row_range range{2, rows.from.size() - 1};
                    byte_rows to(range.end - range.begin, bytes, gap, offset);
                    CHECK(copies_as_plain_loops_do(space, rows, range, to,
                                                   detail::gather_by_source));
                    const auto by_target = [](const auto&... args) {
                        detail::gather_by_target(args...);
                        return true;
                    };
                    copies_as_plain_loops_do(space, rows, range, to, by_target);
                }
            }
}

TEST_CASE("rows of many blocks of sources are gathered past the caches to the byte", "[exec]") {
    if (!detail::can_stream()) return;
    random_cases::generator g(5);
    byte_rows sources(1400, 68, 0, 4), staging(200, 68, 4, 0);
    sources.fill(3);
    staging.fill(4);
    const row_space space{sources.view(), staging.view()};
    for (const std::size_t copies : {1u, 2u, 7u}) {
        row_sums rows{in_runs(g, 1600, 9, copies), {}};
        if (copies == 2)  // a stretch of sources goes nowhere
            std::erase_if(rows.from, [](row_index r) { return r > 300 && r < 900; });
        byte_rows to(rows.from.size(), 68, 4, 8);
        CHECK(copies_as_plain_loops_do(space, rows, {0, rows.from.size()}, to,
                                       detail::gather_by_source));
    }
}

TEST_CASE("a gather that no order of sources helps is left to the order of targets", "[exec]") {
    if (!detail::can_stream()) return;
    byte_rows sources(2000, 64, 0, 0), to(1200, 64, 0, 0);
    sources.fill(5);
    const row_space space{sources.view(), {}};
    const auto declines = [&](const row_sums& rows) {
        return !copies_as_plain_loops_do(space, rows, {0, rows.from.size()}, to,
                                         detail::gather_by_source);
    };
    row_sums down, few{{0, 1999}, {}}, none, one{{1999}, {}}, twice{{7, 7, 7, 9, 3}, {}};
    for (row_index r = 1199; r >= 0; --r) down.from.push_back(r);
    CHECK(declines(down));
    CHECK(declines(few));
    CHECK_FALSE(declines(none));
    CHECK_FALSE(declines(one));
    CHECK_FALSE(declines(twice));
}

TEST_CASE("large targets, which are written past the caches, hold what small ones do", "[exec]") {
    const std::size_t cols = 1030, count = detail::streamed_bytes / (cols * sizeof(float)) + 2;
    random_cases::generator g(6);
    strided<float> sources(count, cols), out(count, cols), small(1, cols);
    sources.fill(g);
    const row_space space{as_token_rows(sources.view()), {}};
    for (const bool in_order : {true, false}) {
        row_sums rows;
        for (std::size_t i = 0; i < count; ++i)
            rows.from.push_back(static_cast<row_index>(in_order ? i : i * 7919 % count));
        host_kernels{}.gather(space, rows, {0, count}, as_token_rows(out.view()));
        bool same = true;
        for (std::size_t i = 0; i < count; ++i)
            same &= std::memcmp(out.view().row(i).data(),
                                space.row(rows.from[i]), cols * sizeof(float)) == 0;
        CHECK(same);
    }
    row_sums pairs;
    for (std::size_t i = 0; i < count; ++i) {
        pairs.first.push_back(static_cast<row_index>(2 * i));
        pairs.from.push_back(static_cast<row_index>(i));
        pairs.from.push_back(static_cast<row_index>(i * 7919 % count));
    }
    pairs.first.push_back(static_cast<row_index>(2 * count));
    const std::vector<double> weights(count, 0.1);
    const auto sum = [&](row_range range, token_rows to) {
        host_kernels{}.sum(space, pairs, range, std::span<const double>(weights), to);
    };
    sum({0, count}, as_token_rows(out.view()));
    bool same = true;
    for (std::size_t i = 0; i < count; i += 97) {
        sum({i, i + 1}, as_token_rows(small.view()));
        same &= std::memcmp(out.view().row(i).data(), small.view().row(0).data(),
                            cols * sizeof(float)) == 0;
    }
    CHECK(same);
}

namespace {

/// Numbers with many digits, of both signs, some tiny, some huge, so that every rounding shows.
template <class E>
void fill_with_digits(strided<E>& rows, std::uint64_t seed) {
    for (E& number : rows.numbers) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        const double x = (static_cast<double>(seed >> 11) * 0x1p-52 - 1) *
                         (seed % 64 == 0 ? 6e-6 : seed % 64 == 1 ? 4e4 : 3);
        if constexpr (std::is_integral_v<E>)
            number = static_cast<E>(1000 * x);
        else
            number = element_traits<E>::store(static_cast<sum_type_t<E>>(x));
    }
}

template <class E>
bool same_bits(const strided<E>& a, const strided<E>& b) {
    return std::memcmp(a.numbers.data(), b.numbers.data(), a.numbers.size() * sizeof(E)) == 0;
}

}  // namespace

TEMPLATE_TEST_CASE("row kernels give the same bits in every instruction set and past the caches",
                   "[exec]", float, double, bf16, fp16, std::int32_t, std::int64_t) {
    using E = TestType;
    for (const std::size_t cols : {1u, 7u, 31u, 64u, 255u, 256u, 257u, 600u, 1037u}) {
        strided<E> in(9, cols), out(6, cols), plain = out;
        fill_with_digits(in, cols);
        std::vector<float> weights;
        for (std::size_t i = 0; i < 9; ++i)
            weights.push_back(std::is_integral_v<E> ? float(i) : 0.1f * float(i + 1));
        const const_token_rows read = as_token_rows(in.view());
        const row_space space{{read.data, 7, read.row_bytes, read.row_stride, read.type},
                              {read.row(7), 2, read.row_bytes, read.row_stride, read.type}};
        const row_sums rows{{4, 0, 8, 1, 2, 3, 7, 5, 6, 6, 0, 1, 2, 3, 4, 5, 6, 7, 8},
                            {0, 1, 3, 3, 6, 10, 19}};
        const std::span<const float> w(weights.data(), 7);
        const row_range all{0, 6};
        const token_rows to = as_token_rows(out.view()), plain_to = as_token_rows(plain.view());

        using detail::row_store;
        const auto plain_sum = [&] {
            detail::sum_rows<E, float, row_store::cached, 16>(&space, &rows, all, w, plain_to);
        };
        plain_sum();
        for (std::size_t i = 0; i < 6; ++i)
            for (std::size_t c = 0; c < cols; ++c) {
                sum_type_t<E> sum{};
                for (const row_index r : rows.sources(i)) {
                    const auto at = static_cast<std::size_t>(r);
                    const auto x = load(in.view()(at, c));
                    // volatile: a product and a sum, never one fused operation.
                    volatile sum_type_t<E> product =
                        at < 7 ? static_cast<sum_type_t<E>>(weights[at]) * x : x;
                    sum += product;
                }
                REQUIRE(load(plain.view()(i, c)) == load(element_traits<E>::store(sum)));
            }
        host_kernels{}.sum(space, rows, all, w, to);
        CHECK(same_bits(out, plain));
        if (detail::can_stream()) {
            fill_with_digits(out, 1);
            fill_with_digits(plain, 1);
            plain_sum();
            detail::streaming<detail::sum_rows<E, float, row_store::streamed, 32>>(&space, &rows,
                                                                                   all, w, to);
            detail::finish_streaming();
            CHECK(same_bits(out, plain));
        }
        const const_token_rows six{read.data, 6, read.row_bytes, read.row_stride, read.type};
        detail::scale_rows<E, float, 16>(six, w, plain_to);
        host_kernels{}.scale(six, w, to);
        CHECK(same_bits(out, plain));
        if constexpr (!std::is_integral_v<E>) {
            const auto check_dots = [&](auto real) {
                std::vector<decltype(real)> dots(6), plain_dots(6);
                detail::dot_rows<E, decltype(real), 16>(six, to, std::span(plain_dots));
                host_kernels{}.dot(six, to, std::span(dots));
                CHECK(dots == plain_dots);
            };
            check_dots(float{});
            check_dots(double{});
        }
    }
}

TEST_CASE("row kernels take no rows and rows without columns", "[exec]") {
    strided<float> in(3, 5), out(3, 5), empty(3, 0);
    const auto before = out.numbers;
    const row_space space{as_token_rows(in.view()), {}};
    const row_sums gathered{{0, 1, 2}, {}}, summed{{0, 1, 2}, {0, 2, 2, 3}};
    const std::vector<float> weights(3, 2.0f);
    const std::span<const float> w(weights);
    const token_rows to = as_token_rows(out.view()), nothing = as_token_rows(empty.view());
    host_kernels{}.gather(space, gathered, {1, 1}, to);
    host_kernels{}.sum(space, summed, {1, 1}, w, to);
    host_kernels{}.scale(const_token_rows{}, std::span<const float>{}, token_rows{});
    CHECK(out.numbers == before);
    host_kernels{}.gather({nothing, {}}, gathered, {0, 3}, nothing);
    host_kernels{}.sum({nothing, {}}, summed, {0, 3}, w, nothing);
    host_kernels{}.scale(nothing, w, nothing);
    std::vector<float> dots(3, 1.0f);
    host_kernels{}.dot(nothing, nothing, std::span(dots));
    CHECK(dots == std::vector<float>(3, 0.0f));
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
