#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "locmoe/core/detail/short_float.hpp"
#include "locmoe/core/element.hpp"

namespace locmoe::inline v0::detail {

// Which loops a compiler makes vector instructions of depends on its version, on -O2 or -O3, and on
// what else stands there. The hottest say it themselves, in the vector types that GCC and Clang
// have; for other compilers a vector is one number. All is inlined, to take the instruction set of
// the function that it stands in.

#ifdef __GNUC__
template <class T, std::size_t N>
struct lanes_of {
    using type [[gnu::vector_size(N * sizeof(T))]] = T;
};

/// How many numbers of type T a vector of so many bytes holds.
template <class T, std::size_t Bytes>
inline constexpr std::size_t lane_count = Bytes / sizeof(T);
#else
template <class T, std::size_t>
struct lanes_of {
    using type = T;
};
template <class T, std::size_t>
inline constexpr std::size_t lane_count = 1;
#endif

/// N numbers of type T.
template <class T, std::size_t N>
using lanes = typename lanes_of<T, N>::type;

template <class To, class From>
[[gnu::always_inline]] inline void convert_lanes(const From& from, To& to) {
#ifdef __GNUC__
    to = __builtin_convertvector(from, To);
#else
    to = static_cast<To>(from);
#endif
}

/// N numbers in the type that their sums are kept in.
template <std::size_t N, class E>
[[gnu::always_inline]] inline void load_lanes(const E* in, lanes<sum_type_t<E>, N>& out) {
    if constexpr (std::is_same_v<E, bf16> || std::is_same_v<E, fp16>) {
        lanes<std::uint16_t, N> bits;
        lanes<std::uint32_t, N> words;
        std::memcpy(&bits, in, sizeof bits);
        convert_lanes(bits, words);
        if constexpr (std::is_same_v<E, bf16>)
            widen_bf16(words, out);
        else
            widen_fp16(words, out);
    } else {
        std::memcpy(&out, in, sizeof out);
    }
}

/// A vector of E in memory is this many vectors of its sums' type: of 16-bit numbers, the even ones
/// and the odd ones, which takes two operations instead of the many of keeping them in order.
template <class E>
inline constexpr std::size_t lane_parts =
    lane_count<E, 16> == 1 || sizeof(E) == sizeof(sum_type_t<E>) ? 1 : 2;

template <class E, std::size_t N>
using lane_pack = lanes<sum_type_t<E>, N>[lane_parts<E>];

template <std::size_t N, class E>
[[gnu::always_inline]] inline void load_pack(const E* in, lane_pack<E, N>& out) {
    if constexpr (lane_parts<E> == 1) {
        load_lanes<N>(in, out[0]);
    } else {
        lanes<std::uint32_t, N> pairs;
        std::memcpy(&pairs, in, sizeof pairs);
        if constexpr (std::is_same_v<E, bf16>) {
            widen_bf16(pairs, out[0]);
            widen_bf16(pairs >> 16, out[1]);
        } else {
            widen_fp16(pairs & 0xffffu, out[0]);
            widen_fp16(pairs >> 16, out[1]);
        }
    }
}

/// The same back.
template <std::size_t N, class E>
[[gnu::always_inline]] inline void store_pack(E* out, const lane_pack<E, N>& in) {
    void* const to = out;
    if constexpr (lane_parts<E> == 1) {
        if constexpr (std::is_same_v<E, sum_type_t<E>>)
            std::memcpy(to, &in[0], sizeof in[0]);
        else
            *out = element_traits<E>::store(in[0]);
    } else {
        lanes<std::uint32_t, N> even, odd;
        if constexpr (std::is_same_v<E, bf16>) {
            narrow_bf16(in[0], even);
            narrow_bf16_high(in[1], odd);
            odd &= 0xffff0000u;
        } else {
            narrow_fp16(in[0], even);
            narrow_fp16(in[1], odd);
            odd <<= 16;
        }
        const lanes<std::uint32_t, N> pairs = even | odd;
        std::memcpy(to, &pairs, sizeof pairs);
    }
}

}  // namespace locmoe::detail
