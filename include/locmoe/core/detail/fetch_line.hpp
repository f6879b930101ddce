#pragma once

#include <cstddef>

namespace locmoe::inline v0::detail {

inline constexpr std::size_t cache_line = 64;

/// Asks for a line that is soon to be read. Always inlined: GCC takes a function that does no more
/// than this for one without effect, and leaves out calls of it.
[[gnu::always_inline]] inline void fetch_line([[maybe_unused]] const void* p) {
#ifdef __GNUC__
    __builtin_prefetch(p);
#endif
}

}  // namespace locmoe::detail
