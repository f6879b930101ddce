#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "batch.hpp"
#include "cross_entropy.hpp"
#include "shards.hpp"
#include "text_data.hpp"

namespace trainer {

/// A piece of held-out text whose bytes `first` to `end` - 1 are to be predicted.
struct held_out_window {
    text from;
    std::size_t first = 0;
    std::size_t end = 0;
    std::int32_t domain = 0;
};

/// Cuts one rank's share of all held-out text into windows of half a sequence: each byte of the
/// text is predicted once, on one rank, with at least half a sequence before it, but near the
/// text's start.
inline std::vector<held_out_window> held_out_windows(const std::vector<domain>& domains,
                                                     const shards& shared, locmoe::rank_id rank,
                                                     std::size_t length) {
    const std::size_t stride = length > 1 ? length / 2 : 1;
    std::vector<held_out_window> mine;
    for (std::size_t d = 0; d < domains.size(); ++d) {
        const auto& readers = shared.readers[d];
        std::size_t next = 0;
        for (const text& t : domains[d].held_out())
            for (std::size_t first = 0; first < t.size(); first += stride, ++next)
                if (readers[next % readers.size()] == rank)
                    mine.push_back({t, first, std::min(first + stride, t.size()),
                                    static_cast<std::int32_t>(d)});
    }
    return mine;
}

/// Appends a window as one sequence. Before a text's first byte stands a line end; behind a short
/// text's last one stand zeros, which nothing looks at.
inline void append(const held_out_window& window, std::size_t length, batch& to) {
    const std::size_t start = window.end > length ? window.end - length : 0;
    for (std::size_t at = start; at < start + length; ++at) {
        to.ids.push_back(at == 0 ? '\n' : at <= window.from.size() ? window.from[at - 1] : 0);
        to.targets.push_back(at >= window.first && at < window.end ? window.from[at] : no_target);
        to.domains.push_back(window.domain);
    }
}

}  // namespace trainer
