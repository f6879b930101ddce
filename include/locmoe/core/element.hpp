#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "locmoe/core/detail/short_float.hpp"

namespace locmoe::inline v0 {

/// What a row's numbers are, for code that sees rows as bytes.
enum class element_type : std::uint8_t {
    f32,   ///< float
    f64,   ///< double
    bf16,  ///< `locmoe::bf16`
    fp16,  ///< `locmoe::fp16`
    i32,   ///< std::int32_t
    i64    ///< std::int64_t
};

/// Brain floating point, storage only: the upper half of a float. Rounds to nearest even.
struct bf16 {
    std::uint16_t bits = 0;  ///< as they are stored: sign, 8 of exponent, 7 of mantissa

    constexpr bf16() = default;
    /// Rounds to nearest even.
    constexpr explicit bf16(float value) : bits(round(value)) {}
    /// Exact: the lower half is zero.
    constexpr explicit operator float() const {
        return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
    }
    /// As floats are: a NaN equals nothing, and 0 equals -0.
    friend constexpr bool operator==(bf16 a, bf16 b) { return float(a) == float(b); }

  private:
    static constexpr std::uint16_t round(float value) {
        std::uint32_t rounded = 0;
        detail::narrow_bf16(value, rounded);
        return static_cast<std::uint16_t>(rounded);
    }
};

/// IEEE 754 binary16, storage only. Rounds to nearest even; overflows to infinity.
struct fp16 {
    std::uint16_t bits = 0;  ///< as they are stored: sign, 5 of exponent, 10 of mantissa

    constexpr fp16() = default;
    /// Rounds to nearest even, from 65,520 on to infinity.
    constexpr explicit fp16(float value) : bits(narrow(value)) {}
    constexpr explicit operator float() const { return widen(bits); }  ///< exact
    /// As floats are: a NaN equals nothing, and 0 equals -0.
    friend constexpr bool operator==(fp16 a, fp16 b) { return float(a) == float(b); }

  private:
    static constexpr float widen(std::uint16_t h) {
        float value = 0;
        detail::widen_fp16(std::uint32_t{h}, value);
        return value;
    }
    static constexpr std::uint16_t narrow(float value) {
        std::uint32_t bits = 0;
        detail::narrow_fp16(value, bits);
        return static_cast<std::uint16_t>(bits);
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

/// Bytes of one number of that type.
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

/// The enumerator as text, such as "bf16", for reports and errors.
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
