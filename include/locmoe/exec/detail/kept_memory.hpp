#pragma once

#include <atomic>
#include <type_traits>
#include <utility>

namespace locmoe::inline v0::detail {

/// Keeps what a transport may still read or write after an exchange was given up, until the process
/// ends: there is no way to know that it will not.
template <class Memory>
void keep_memory(Memory&& memory) {
    struct link {
        std::decay_t<Memory> memory;
        link* next;
    };
    static std::atomic<link*> last = nullptr;  // reachable, so that no leak checker calls it lost
    link* const fresh = new link{std::forward<Memory>(memory), last.load()};
    while (!last.compare_exchange_weak(fresh->next, fresh)) {}
}

}  // namespace locmoe::detail
