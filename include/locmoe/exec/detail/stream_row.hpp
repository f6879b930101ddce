#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace locmoe::detail {

// A plain store reads the line that it is to overwrite, and drives from the cache what is still
// wanted there. A non-temporal one does neither, but the row has to be fetched from memory again. It
// takes 32 bytes an instruction to pay, so that only processors with AVX2 have it here.

/// Targets of this many bytes and more are written past the caches: none that fits is worth it, and
/// of a larger one little would be left there. Measured: with 32 MiB of last-level cache, even where
/// the target is read at once, streaming loses at 8 MiB and wins at 16.
inline constexpr std::size_t streamed_bytes = std::size_t{16} << 20;

/// Shorter rows are mostly their ends, which are not whole cache lines.
inline constexpr std::size_t streamed_row_bytes = 512;

#if defined(__GNUC__) && defined(__x86_64__)

inline bool can_stream() {
    return __builtin_cpu_supports("avx2");
}

/// Copies `bytes` past the caches, the ends that are not whole lines aside, and meanwhile fetches as
/// many from `ahead`, where that is not null. Only where `can_stream`; `finish_streaming` before
/// anybody else reads the rows.
[[gnu::target("avx2")]] inline void stream_row(std::byte* to, const std::byte* from,
                                               std::size_t bytes, const std::byte* ahead) {
    using half_line [[gnu::vector_size(32)]] = long long;
    constexpr std::size_t line = 64;
    const std::size_t gap = (line - reinterpret_cast<std::uintptr_t>(to) % line) % line;
    std::size_t i = gap < bytes ? gap : bytes;
    std::memcpy(to, from, i);
    if (ahead != nullptr) __builtin_prefetch(ahead);
    for (; i + line <= bytes; i += line) {
        if (ahead != nullptr) __builtin_prefetch(ahead + i);
        half_line first, second;
        std::memcpy(&first, from + i, sizeof first);
        std::memcpy(&second, from + i + sizeof first, sizeof second);
        auto* out = reinterpret_cast<half_line*>(to + i);
#ifdef __clang__
        __builtin_nontemporal_store(first, out);
        __builtin_nontemporal_store(second, out + 1);
#else
        __builtin_ia32_movntdq256(out, first);
        __builtin_ia32_movntdq256(out + 1, second);
#endif
    }
    std::memcpy(to + i, from + i, bytes - i);
}

/// Non-temporal stores are not ordered with what follows; after this they are.
inline void finish_streaming() {
    __builtin_ia32_sfence();
}

#else

inline bool can_stream() {
    return false;
}

inline void stream_row(std::byte* to, const std::byte* from, std::size_t bytes, const std::byte*) {
    std::memcpy(to, from, bytes);
}

inline void finish_streaming() {}

#endif

}  // namespace locmoe::detail
