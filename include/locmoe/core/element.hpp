#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace locmoe {

/// What a row's numbers are, for code that sees rows as bytes.
enum class element_type : std::uint8_t { f32, f64, bf16, fp16, i32, i64 };

/// Brain floating point, storage only: the upper half of a float. Rounds to nearest even.
struct bf16 {
    std::uint16_t bits = 0;

    constexpr bf16() = default;
    constexpr explicit bf16(float value) : bits(round(value)) {}
    constexpr explicit operator float() const {
        return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
    }
    friend constexpr bool operator==(bf16 a, bf16 b) { return float(a) == float(b); }

  private:
    // A NaN is told by a mask instead of a branch: a loop over rows becomes vector instructions.
    [[gnu::always_inline]] static constexpr std::uint16_t round(float value) {
        const auto u = std::bit_cast<std::uint32_t>(value);
        const std::uint32_t nan = 0u - static_cast<std::uint32_t>((u & 0x7fffffffu) > 0x7f800000u);
        const std::uint32_t rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
        return static_cast<std::uint16_t>((rounded & ~nan) | (((u >> 16) | 0x40u) & nan));
    }
};

/// IEEE 754 binary16, storage only. Rounds to nearest even; overflows to infinity.
struct fp16 {
    std::uint16_t bits = 0;

    constexpr fp16() = default;
    constexpr explicit fp16(float value) : bits(narrow(value)) {}
    constexpr explicit operator float() const { return widen(bits); }
    friend constexpr bool operator==(fp16 a, fp16 b) { return float(a) == float(b); }

  private:
    // Selections as masks instead of branches: a loop over rows becomes vector instructions.
    static constexpr std::uint32_t where(bool b) { return 0u - static_cast<std::uint32_t>(b); }

    [[gnu::always_inline]] static constexpr float widen(std::uint16_t h) {
        const std::uint32_t sign = static_cast<std::uint32_t>(h & 0x8000u) << 16;
        const std::uint32_t magnitude = static_cast<std::uint32_t>(h & 0x7fffu) << 13;
        const std::uint32_t subnormal = where(magnitude < 0x00800000u);
        const std::uint32_t special = where(magnitude >= 0x0f800000u);  // infinity and NaN
        // A subnormal gets the exponent of 2^-14 and with it a leading 1, which is taken off again.
        const std::uint32_t normal = magnitude + (112u << 23) + (special & (112u << 23)) +
                                     (subnormal & (1u << 23));
        const float shifted = std::bit_cast<float>((normal & subnormal) | (0x38800000u & ~subnormal));
        const auto exact = std::bit_cast<std::uint32_t>(shifted - 0x1p-14f);
        return std::bit_cast<float>(sign | (exact & subnormal) | (normal & ~subnormal));
    }

    [[gnu::always_inline]] static constexpr std::uint16_t narrow(float value) {
        const auto u = std::bit_cast<std::uint32_t>(value);
        const std::uint32_t sign = (u >> 16) & 0x8000u;
        const std::uint32_t a = u & 0x7fffffffu;
        const std::uint32_t subnormal = where(a < 0x38800000u), over = where(a >= 0x47800000u);
        const std::uint32_t nan = where(a > 0x7f800000u);
        // Adding 1/2 leaves 2^-24, the least binary16, in the last place: the sum is rounded to it.
        const float rounded = std::bit_cast<float>(a & subnormal) + 0.5f;
        const std::uint32_t small = std::bit_cast<std::uint32_t>(rounded) - (126u << 23);
        // Normal in binary16; a carry out of the mantissa is the right one.
        const std::uint32_t r = a - (112u << 23);
        const std::uint32_t normal = (r + 0xfffu + ((r >> 13) & 1u)) >> 13;
        const std::uint32_t special = 0x7c00u | (nan & (0x200u | ((a >> 13) & 0x1ffu)));
        return static_cast<std::uint16_t>(sign | (small & subnormal) | (special & over) |
                                          (normal & ~subnormal & ~over));
    }
};

/// How locmoe reads and adds up a user's number type. Specialise it for a 16-bit type of your own:
///   type        its element_type, so that rows can travel as bytes
///   sum_type    what sums are kept in (float for the 16-bit types)
///   load, store to and from sum_type
template <class E>
struct element_traits;

namespace detail {
template <class E, element_type Type, class Sum = E>
struct plain_element {
    using sum_type = Sum;
    static constexpr element_type type = Type;
    static constexpr Sum load(E value) { return static_cast<Sum>(value); }
    static constexpr E store(Sum value) { return static_cast<E>(value); }
};
}  // namespace detail

template <>
struct element_traits<float> : detail::plain_element<float, element_type::f32> {};
template <>
struct element_traits<double> : detail::plain_element<double, element_type::f64> {};
template <>
struct element_traits<bf16> : detail::plain_element<bf16, element_type::bf16, float> {};
template <>
struct element_traits<fp16> : detail::plain_element<fp16, element_type::fp16, float> {};
template <>
struct element_traits<std::int32_t> : detail::plain_element<std::int32_t, element_type::i32> {};
template <>
struct element_traits<std::int64_t> : detail::plain_element<std::int64_t, element_type::i64> {};

/// A number type that token rows can be made of: `element_traits` knows it.
template <class E>
concept element = requires(E e, typename element_traits<E>::sum_type s) {
    { element_traits<E>::type } -> std::convertible_to<element_type>;
    { element_traits<E>::load(e) } -> std::same_as<decltype(s)>;
    { element_traits<E>::store(s) } -> std::same_as<E>;
};

/// What sums of E are kept in: float for bf16 and fp16, else E itself.
template <element E>
using sum_type_t = typename element_traits<E>::sum_type;

constexpr std::size_t element_bytes(element_type type) {
    switch (type) {
        case element_type::f32:
        case element_type::i32: return 4;
        case element_type::f64:
        case element_type::i64: return 8;
        case element_type::bf16:
        case element_type::fp16: return 2;
    }
    return 0;
}

constexpr const char* element_name(element_type type) {
    switch (type) {
        case element_type::f32: return "f32";
        case element_type::f64: return "f64";
        case element_type::bf16: return "bf16";
        case element_type::fp16: return "fp16";
        case element_type::i32: return "i32";
        case element_type::i64: return "i64";
    }
    return "unknown";
}

}  // namespace locmoe
