#pragma once

#include <concepts>
#include <cstddef>

namespace locmoe::inline v0 {

/// Runs `work(part)` for each part from 0 to `parts` - 1, once each, on whatever threads and in any
/// order, and returns when all are done; an exception of one of them comes out of it. `width()`
/// says how many run at a time. It asks for no thread of its own: OpenMP, TBB or a pool of the
/// user's do. What locmoe makes with it has the same bits for any width.
template <class Threads>
concept parallel = requires(Threads& threads, std::size_t parts, void (*work)(std::size_t)) {
    { threads.width() } -> std::convertible_to<std::size_t>;
    { threads.run(parts, work) } -> std::same_as<void>;
};

/// The caller alone.
struct one_thread {
    static constexpr std::size_t width() { return 1; }  ///< one part at a time

    /// The parts in order, from 0, on the calling thread. An exception leaves the rest undone.
    template <class Work>
    void run(std::size_t parts, Work&& work) const {
        for (std::size_t part = 0; part < parts; ++part) work(part);
    }
};

namespace detail {

inline constexpr one_thread caller_alone = {};

/// Items [0, count) in as many ranges as run at a time, cut at multiples of `grain`:
/// `work(begin, end)` for each that is not empty.
template <parallel Threads, class Work>
void for_ranges(Threads& threads, std::size_t count, std::size_t grain, const Work& work) {
    const std::size_t grains = (count + grain - 1) / grain;
    const std::size_t width = threads.width(), parts = width < grains ? width : grains;
    if (parts <= 1) {
        if (count != 0) work(std::size_t{0}, count);
        return;
    }
    threads.run(parts, [&](std::size_t part) {
        const std::size_t end = grains * (part + 1) / parts * grain;
        work(grains * part / parts * grain, end < count ? end : count);
    });
}

}  // namespace detail
}  // namespace locmoe
