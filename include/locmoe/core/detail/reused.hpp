#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace locmoe::inline v0::detail {

/// Working memory of this thread, of no particular content: it grows to the largest need, serves
/// the next one, and is freed when the thread ends. `Use` names who asks, who has one at a time.
template <class T, class Use>
std::span<T> reused(std::size_t count) {
    thread_local std::vector<T> memory;
    if (memory.size() < count) memory.resize(count);
    return {memory.data(), count};
}

}  // namespace locmoe::detail
