#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "locmoe/core/error.hpp"

namespace locmoe::inline v0 {

/// What one step of a pipeline costs on one resource: a network card, the links inside a node, an
/// accelerator. Stages of one step run at once; stages on one resource add up.
struct pipeline_stage {
    std::size_t step = 0;      ///< place on a chunk's way: 0 is the first
    std::size_t resource = 0;  ///< any number: the same for stages that share one
    double latency = 0;        ///< seconds that a chunk waits, but may wait together with others
    double overhead = 0;       ///< seconds that every chunk costs, whatever its size
    double seconds = 0;        ///< of all rows together; one chunk of r costs the r-th part
};

namespace detail {

inline std::int64_t to_nanoseconds(std::string_view field, double seconds) {
    if (!(seconds >= 0 && seconds < 3e7))  // a year: 64 chunks of many stages do not overflow
        throw_argument("pipelined_nanoseconds", field, "seconds, 0 to 3e7", concat(seconds));
    return static_cast<std::int64_t>(seconds * 1e9 + 0.5);
}

}  // namespace detail

/// How long `chunks` chunks take to go through all stages under the schedule of `pipeline`. In tick
/// t, chunk c is at step t - c; a tick takes as long as its busiest resource, which is busy for the
/// sum of overhead and seconds / chunks of the stages at work there, and their longest latency.
///
/// Assumes equal chunks and ranks that keep in step. Never below what a pipeline without ticks can
/// reach: max(sum + (chunks - 1) longest stage; of each resource, what lies before + chunks times
/// its stages + what lies after), and equal to it where one stage outweighs all others.
///
/// In whole nanoseconds, so that ranks with equal stages agree. Throws argument_error where there
/// is no chunk and where a time is negative or not finite.
inline std::int64_t pipelined_nanoseconds(std::span<const pipeline_stage> stages,
                                          std::size_t chunks) {
    if (chunks == 0)
        detail::throw_argument("pipelined_nanoseconds", "chunks", "at least one", "none");
    struct cost {
        std::int64_t busy;
        std::int64_t latency;
    };
    const auto parts = static_cast<std::int64_t>(chunks);
    std::vector<cost> costs;
    std::size_t last_step = 0;
    for (const pipeline_stage& s : stages) {
        costs.push_back({detail::to_nanoseconds("overhead", s.overhead) +
                             (detail::to_nanoseconds("seconds", s.seconds) + parts - 1) / parts,
                         detail::to_nanoseconds("latency", s.latency)});
        if (s.step > last_step) last_step = s.step;
    }
    std::int64_t total = 0;
    for (std::size_t tick = 0; tick < chunks + last_step; ++tick) {
        const auto at_work = [&](const pipeline_stage& s) {
            return s.step <= tick && tick - s.step < chunks;
        };
        std::int64_t longest = 0;
        for (const pipeline_stage& one : stages) {
            cost sum{0, 0};
            for (std::size_t i = 0; i < stages.size(); ++i)
                if (stages[i].resource == one.resource && at_work(stages[i])) {
                    sum.busy += costs[i].busy;
                    if (costs[i].latency > sum.latency) sum.latency = costs[i].latency;
                }
            if (sum.busy + sum.latency > longest) longest = sum.busy + sum.latency;
        }
        total += longest;
    }
    return total;
}

/// The number of chunks, 1 to `most`, that takes the least time by `pipelined_nanoseconds`; of
/// equally good ones the lowest. All are tried: a closed form such as sqrt(B / a) can be several
/// times off. Throws what it throws.
inline std::size_t chunk_count(std::span<const pipeline_stage> stages, std::size_t most = 64) {
    std::size_t best = 1;
    std::int64_t least = pipelined_nanoseconds(stages, 1);
    for (std::size_t chunks = 2; chunks <= most; ++chunks) {
        const std::int64_t time = pipelined_nanoseconds(stages, chunks);
        if (time >= least) continue;
        least = time;
        best = chunks;
    }
    return best;
}

}  // namespace locmoe
