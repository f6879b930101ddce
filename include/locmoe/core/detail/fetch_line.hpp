#pragma once

#include <cstddef>

namespace locmoe::inline v0::detail {

inline constexpr std::size_t cache_line = 64;

/// Asks for a line that is soon to be read.
inline void fetch_line([[maybe_unused]] const void* p) {
#ifdef __GNUC__
    __builtin_prefetch(p);
#endif
}

/// Asks for `bytes` that are soon to be read.
inline void fetch_lines(const void* p, std::size_t bytes) {
    for (std::size_t b = 0; b < bytes; b += cache_line)
        fetch_line(static_cast<const std::byte*>(p) + b);
}

/// Parts of rows that are soon to be read, for whoever has time to ask for them meanwhile.
struct rows_to_fetch {
    const std::byte* data = nullptr;
    std::size_t rows = 0;
    std::size_t row_stride = 0;  ///< in bytes
    std::size_t row_bytes = 0;   ///< of each row

    /// Asks for the bytes [begin, begin + bytes) of a row, as far as it has them.
    void fetch(std::size_t row, std::size_t begin, std::size_t bytes) const {
        if (row >= rows || begin >= row_bytes) return;
        const std::size_t left = row_bytes - begin;
        fetch_lines(data + row * row_stride + begin, bytes < left ? bytes : left);
    }
};

}  // namespace locmoe::detail
