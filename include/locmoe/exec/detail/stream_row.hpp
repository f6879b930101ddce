#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "locmoe/core/detail/fetch_line.hpp"

namespace locmoe::inline v0::detail {

// A plain store reads the line that it is to overwrite, and drives from the cache what is still
// wanted there. A non-temporal one does neither, but the row has to be fetched from memory again.
// It takes 32 bytes an instruction to pay, so that only processors with AVX2 have it here.

/// Targets of this many bytes and more are written past the caches: none that fits is worth it, and
/// of a larger one little would be left there. Measured: with 32 MiB of last-level cache, even
/// where the target is read at once, streaming loses at 8 MiB and wins at 16.
inline constexpr std::size_t streamed_bytes = std::size_t{16} << 20;

/// Shorter rows are mostly their ends, which are not whole cache lines.
inline constexpr std::size_t streamed_row_bytes = 512;

inline std::size_t to_next_line(const std::byte* p) {
    return (cache_line - reinterpret_cast<std::uintptr_t>(p) % cache_line) % cache_line;
}

#if defined(__GNUC__) && defined(__x86_64__)

inline bool can_stream() {
    return __builtin_cpu_supports("avx2");
}

/// Copies 32 bytes past the caches; the other half of the line is to follow, or came before. For
/// functions that have AVX2.
[[gnu::always_inline]] inline void stream_half_line(std::byte* to, const std::byte* from) {
    using half_line [[gnu::vector_size(32), gnu::may_alias]] = long long;
    half_line half;
    std::memcpy(&half, from, sizeof half);
    auto* out = reinterpret_cast<half_line*>(to);
#ifdef __clang__
    __builtin_nontemporal_store(half, out);
#else
    // GCC has the built-in function for it only where the whole function has AVX.
    asm("vmovntdq {%1, %0|%0, %1}" : "=m"(*out) : "x"(half));
#endif
}

/// Copies `bytes` past the caches, the ends that are not whole lines aside, and meanwhile fetches
/// as many from `ahead`, where that is not null. Only where `can_stream`; `finish_streaming` before
/// anybody else reads the rows.
[[gnu::target("avx2")]] inline void stream_row(std::byte* to, const std::byte* from,
                                               std::size_t bytes, const std::byte* ahead) {
    const std::size_t gap = to_next_line(to);
    std::size_t i = gap < bytes ? gap : bytes;
    std::memcpy(to, from, i);
    if (ahead != nullptr) fetch_line(ahead);
    for (; i + cache_line <= bytes; i += cache_line) {
        if (ahead != nullptr) fetch_line(ahead + i);
        stream_half_line(to + i, from + i);
        stream_half_line(to + i + cache_line / 2, from + i + cache_line / 2);
    }
    std::memcpy(to + i, from + i, bytes - i);
}

/// `Body(args...)`, which calls `stream_half_line`. Only where `can_stream`.
template <auto Body, class... Args>
[[gnu::target("avx2")]] void streaming(Args... args) {
    Body(args...);
}

/// Non-temporal stores are not ordered with what follows; after this they are.
inline void finish_streaming() {
    __builtin_ia32_sfence();
}

#else

inline bool can_stream() {
    return false;
}

inline void stream_half_line(std::byte* to, const std::byte* from) {
    std::memcpy(to, from, 32);
}

inline void stream_row(std::byte* to, const std::byte* from, std::size_t bytes, const std::byte*) {
    std::memcpy(to, from, bytes);
}

template <auto Body, class... Args>
void streaming(Args... args) {
    Body(args...);
}

inline void finish_streaming() {}

#endif

}  // namespace locmoe::detail
