#pragma once

#include <cstdint>
#include <type_traits>

namespace locmoe::inline v0::detail {

// The conversions of 16-bit floating point, for one number or for vectors of them: `Words` is
// std::uint32_t and `Floats` float, or both are vector types of these. So there is no branch, and
// x < c is a mask made of the sign of x - c. By reference, since how vectors are passed by value
// depends on the instruction set; and the built-in std::bit_cast, which is no function, therefore.

template <class Words, class Floats>
[[gnu::always_inline]] constexpr void widen_bf16(const Words& bits, Floats& value) {
    const Words wide = bits << 16;
    value = __builtin_bit_cast(Floats, wide);
}

/// The bits of a bf16 in the upper half of a word, the lower half of no particular content: to
/// nearest even; a NaN stays one, quiet.
template <class Words, class Floats>
[[gnu::always_inline]] constexpr void narrow_bf16_high(const Floats& value, Words& bits) {
    const Words u = __builtin_bit_cast(Words, value);
    Words nan;
    if constexpr (std::is_same_v<Floats, float>)
        nan = 0u - static_cast<Words>(value != value);
    else
        nan = __builtin_bit_cast(Words, value != value);
    const Words half = 0x7fffu + ((u >> 16) & 1u);
    bits = (u + (half & ~nan)) | (nan & 0x00400000u);
}

template <class Words, class Floats>
[[gnu::always_inline]] constexpr void narrow_bf16(const Floats& value, Words& bits) {
    narrow_bf16_high(value, bits);
    bits = bits >> 16;
}

template <class Words, class Floats>
[[gnu::always_inline]] constexpr void widen_fp16(const Words& bits, Floats& value) {
    const Words sign = (bits & 0x8000u) << 16;
    const Words magnitude = (bits & 0x7fffu) << 13;
    const Words subnormal = 0u - ((magnitude - 0x00800000u) >> 31);
    const Words special = ((magnitude - 0x0f800000u) >> 31) - 1u;  // infinity and NaN
    const Words normal = magnitude + (112u << 23) + (special & (112u << 23));
    // A subnormal gets the exponent of 2^-14 and with it a leading 1, which is taken off again.
    const Words leading = ((magnitude + (113u << 23)) & subnormal) | ((113u << 23) & ~subnormal);
    const Floats exact = __builtin_bit_cast(Floats, leading) - 0x1p-14f;
    const Words wide =
        sign | (__builtin_bit_cast(Words, exact) & subnormal) | (normal & ~subnormal);
    value = __builtin_bit_cast(Floats, wide);
}

/// To nearest even; infinity from 65,520 on; a NaN stays one, quiet.
template <class Words, class Floats>
[[gnu::always_inline]] constexpr void narrow_fp16(const Floats& value, Words& bits) {
    const Words u = __builtin_bit_cast(Words, value);
    const Words a = u & 0x7fffffffu;
    const Words subnormal = 0u - ((a - 0x38800000u) >> 31);
    const Words over = ((a - 0x47800000u) >> 31) - 1u;
    const Words nan = ((a - 0x7f800001u) >> 31) - 1u;
    // 1/2 has 2^-24, the least binary16, in its last place: adding it rounds to that.
    const Words little = a & subnormal;
    const Floats rounded = __builtin_bit_cast(Floats, little) + 0.5f;
    const Words small = __builtin_bit_cast(Words, rounded) - (126u << 23);
    // Normal in binary16; a carry out of the mantissa is the right one.
    const Words r = a - (112u << 23);
    const Words normal = (r + 0xfffu + ((r >> 13) & 1u)) >> 13;
    const Words special = 0x7c00u | (nan & (0x200u | ((a >> 13) & 0x1ffu)));
    bits = ((u >> 16) & 0x8000u) | (small & subnormal) | (special & over) |
           (normal & ~subnormal & ~over);
}

}  // namespace locmoe::detail
