#include "locmoe/core/element.hpp"

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <type_traits>

#include "catch.hpp"

namespace {

using locmoe::bf16;
using locmoe::fp16;

template <class Narrow>
Narrow from_bits(std::uint32_t bits) {
    Narrow value;
    value.bits = static_cast<std::uint16_t>(bits);
    return value;
}

/// What a format holds, from its definition: a sign, `exponent_bits`, `mantissa_bits`.
template <class Narrow>
struct format;
template <>
struct format<bf16> {
    static constexpr int exponent_bits = 8, mantissa_bits = 7;
};
template <>
struct format<fp16> {
    static constexpr int exponent_bits = 5, mantissa_bits = 10;
};

/// The value of a pattern by the definition, in double, where every one of them is exact. The
/// pattern of infinity counts as the next power of two here: that is the number that rounding
/// overflows to.
template <class Narrow>
double magnitude(std::uint32_t bits) {
    constexpr int m = format<Narrow>::mantissa_bits;
    constexpr int bias = (1 << (format<Narrow>::exponent_bits - 1)) - 1;
    const int exponent = static_cast<int>(bits >> m);
    const int mantissa = static_cast<int>(bits & ((1u << m) - 1));
    if (exponent == 0) return std::ldexp(mantissa, 1 - bias - m);
    return std::ldexp((1 << m) + mantissa, exponent - bias - m);
}

template <class Narrow>
constexpr std::uint32_t infinity_bits = ((1u << format<Narrow>::exponent_bits) - 1)
                                        << format<Narrow>::mantissa_bits;

/// Nearest pattern by bisection and two distances, ties to the even one.
template <class Narrow>
std::uint32_t nearest_even(float value) {
    const std::uint32_t sign = std::signbit(value) ? 0x8000u : 0u;
    const double target = std::fabs(static_cast<double>(value));
    std::uint32_t below = 0, above = infinity_bits<Narrow>;
    if (target >= magnitude<Narrow>(above)) return sign | above;
    while (above - below > 1) {
        const std::uint32_t middle = (below + above) / 2;
        (magnitude<Narrow>(middle) <= target ? below : above) = middle;
    }
    const double down = target - magnitude<Narrow>(below);
    const double up = magnitude<Narrow>(above) - target;
    if (down != up) return sign | (down < up ? below : above);
    return sign | (below % 2 == 0 ? below : above);
}

/// Every pattern, every middle between two, and their neighbours in float; then patterns at random.
template <class Narrow, class Check>
void for_hard_floats(Check check) {
    const float infinity = std::numeric_limits<float>::infinity();
    for (std::uint32_t bits = 0; bits < infinity_bits<Narrow>; ++bits) {
        const double here = magnitude<Narrow>(bits), next = magnitude<Narrow>(bits + 1);
        const auto middle = static_cast<float>(here / 2 + next / 2);
        for (const float edge : {static_cast<float>(here), middle})
            for (const float value :
                 {edge, std::nextafter(edge, infinity), std::nextafter(edge, -infinity)}) {
                check(value);
                check(-value);
            }
    }
    std::mt19937 random(7);
    for (int i = 0; i < 200000; ++i) {
        const auto value = std::bit_cast<float>(static_cast<std::uint32_t>(random()));
        if (!std::isnan(value)) check(value);
    }
    check(infinity);
    check(-infinity);
    check(std::numeric_limits<float>::max());
    check(std::numeric_limits<float>::denorm_min());
}

template <class Narrow>
int wrong_roundings() {
    int wrong = 0;
    for_hard_floats<Narrow>(
        [&](float value) { wrong += Narrow(value).bits != nearest_even<Narrow>(value); });
    return wrong;
}

template <class Narrow>
void check_every_pattern() {
    int wrong_value = 0, wrong_way_back = 0, nans = 0;
    for (std::uint32_t bits = 0; bits < 0x10000u; ++bits) {
        const auto narrow = from_bits<Narrow>(bits);
        const auto value = static_cast<float>(narrow);
        const std::uint32_t unsigned_bits = bits & 0x7fffu;
        const Narrow back(value);
        if (unsigned_bits > infinity_bits<Narrow>) {
            ++nans;
            wrong_value += !std::isnan(value);
            wrong_way_back += !std::isnan(static_cast<float>(back));
            wrong_way_back += (back.bits & 0x8000u) != (bits & 0x8000u);
            continue;
        }
        double expected = unsigned_bits == infinity_bits<Narrow>
                              ? std::numeric_limits<double>::infinity()
                              : magnitude<Narrow>(unsigned_bits);
        if (bits & 0x8000u) expected = -expected;
        wrong_value += static_cast<double>(value) != expected;
        wrong_value += std::signbit(value) != ((bits & 0x8000u) != 0);
        wrong_way_back += back.bits != bits;
    }
    CHECK(wrong_value == 0);
    CHECK(wrong_way_back == 0);
    CHECK(nans == 2 * static_cast<int>(0x7fffu - infinity_bits<Narrow>));
}

/// NaN whose payload lies only in the bits that narrowing cuts off, and all kinds of others.
template <class Narrow>
int nans_lost() {
    int lost = 0;
    for (const std::uint32_t sign : {0u, 0x80000000u})
        for (int bit = 0; bit < 23; ++bit) {
            const auto nan = std::bit_cast<float>(sign | 0x7f800000u | (1u << bit));
            lost += !std::isnan(static_cast<float>(Narrow(nan)));
        }
    const auto all_ones = std::bit_cast<float>(0x7fffffffu);  // a carry here would make it zero
    return lost + !std::isnan(static_cast<float>(Narrow(all_ones)));
}

template <class E>
bool survives_load_and_store(E value) {
    return locmoe::element_traits<E>::store(locmoe::element_traits<E>::load(value)) == value;
}

struct plain_struct {};

}  // namespace

TEST_CASE("every bf16 pattern widens to its value and comes back") {
    check_every_pattern<bf16>();
}

TEST_CASE("every fp16 pattern widens to its value and comes back") {
    check_every_pattern<fp16>();
}

TEST_CASE("bf16 rounds to nearest, ties to even") {
    CHECK(wrong_roundings<bf16>() == 0);
}

TEST_CASE("fp16 rounds to nearest, ties to even") {
    CHECK(wrong_roundings<fp16>() == 0);
}

TEST_CASE("a NaN stays a NaN in 16 bits, whatever its payload") {
    CHECK(nans_lost<bf16>() == 0);
    CHECK(nans_lost<fp16>() == 0);
    CHECK_FALSE(bf16(std::nanf("")) == bf16(std::nanf("")));
    CHECK_FALSE(fp16(std::nanf("")) == fp16(std::nanf("")));
}

TEST_CASE("fp16 overflows to infinity from 65520 on") {
    CHECK(fp16(65519.996f).bits == 0x7bff);
    CHECK(fp16(65520.0f).bits == 0x7c00);
    CHECK(fp16(-1e30f).bits == 0xfc00);
}

TEST_CASE("16-bit conversions are constant expressions, and minus zero equals zero") {
    static_assert(float(bf16(1.0f)) == 1.0f && bf16(1.0f).bits == 0x3f80);
    static_assert(float(fp16(1.0f)) == 1.0f && fp16(1.0f).bits == 0x3c00);
    static_assert(bf16(-0.0f) == bf16(0.0f) && fp16(-0.0f) == fp16(0.0f));
    static_assert(bf16() == bf16(0.0f) && sizeof(bf16) == 2 && sizeof(fp16) == 2);
    CHECK(bf16(-0.0f).bits == 0x8000);
    CHECK(fp16(-0.0f).bits == 0x8000);
}

#ifdef __FLT16_MAX__
__extension__ typedef _Float16 compiler_half;

TEST_CASE("the compiler's own _Float16 rounds and widens as fp16 does") {
    int wrong = 0;
    for_hard_floats<fp16>([&](float value) {
        const auto theirs = static_cast<compiler_half>(value);
        std::uint16_t bits = 0;
        std::memcpy(&bits, &theirs, sizeof bits);
        wrong += fp16(value).bits != bits;
        wrong += static_cast<float>(theirs) != static_cast<float>(fp16(value));
    });
    CHECK(wrong == 0);
}
#endif

TEST_CASE("sums of 16-bit numbers are kept in float, of others in themselves") {
    static_assert(std::is_same_v<locmoe::sum_type_t<bf16>, float>);
    static_assert(std::is_same_v<locmoe::sum_type_t<fp16>, float>);
    static_assert(std::is_same_v<locmoe::sum_type_t<float>, float>);
    static_assert(std::is_same_v<locmoe::sum_type_t<double>, double>);
    static_assert(std::is_same_v<locmoe::sum_type_t<std::int64_t>, std::int64_t>);
    CHECK(survives_load_and_store(bf16(1.5f)));
    CHECK(survives_load_and_store(fp16(1.5f)));
    CHECK(survives_load_and_store(0.1f));
    CHECK(survives_load_and_store(0.1));
    CHECK(survives_load_and_store(std::int32_t{-7}));
    CHECK(survives_load_and_store(std::numeric_limits<std::int64_t>::min()));
}

TEST_CASE("a number type without element_traits is no element") {
    static_assert(!locmoe::element<plain_struct>);
    static_assert(!locmoe::element<bool>);
    static_assert(!locmoe::element<const float*>);
    CHECK(locmoe::element<float>);
}

TEST_CASE("each element type knows its bytes and its name") {
    using locmoe::element_bytes;
    using locmoe::element_traits;
    CHECK(element_bytes(element_traits<float>::type) == sizeof(float));
    CHECK(element_bytes(element_traits<double>::type) == sizeof(double));
    CHECK(element_bytes(element_traits<bf16>::type) == sizeof(bf16));
    CHECK(element_bytes(element_traits<fp16>::type) == sizeof(fp16));
    CHECK(element_bytes(element_traits<std::int32_t>::type) == sizeof(std::int32_t));
    CHECK(element_bytes(element_traits<std::int64_t>::type) == sizeof(std::int64_t));
    using locmoe::element_type;
    CHECK(locmoe::element_name(element_type::f32) == std::string("f32"));
    CHECK(locmoe::element_name(element_type::f64) == std::string("f64"));
    CHECK(locmoe::element_name(element_type::bf16) == std::string("bf16"));
    CHECK(locmoe::element_name(element_type::fp16) == std::string("fp16"));
    CHECK(locmoe::element_name(element_type::i32) == std::string("i32"));
    CHECK(locmoe::element_name(element_type::i64) == std::string("i64"));
}
