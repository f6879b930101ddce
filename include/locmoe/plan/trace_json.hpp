#pragma once

#include <cstddef>
#include <cstdio>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "locmoe/core/error.hpp"
#include "locmoe/plan/exchange_plan.hpp"
#include "locmoe/plan/simulate.hpp"
#include "locmoe/topology/topology.hpp"

namespace locmoe::inline v0 {

/// When the phases of one flow ran, or would run.
struct timed_flow {
    std::string name;                                 ///< such as "dispatch"
    flow exchange_plan::*which = nullptr;             ///< not null, as `&exchange_plan::dispatch`
    std::span<const std::vector<phase_times>> times;  ///< [P][phases], as of `simulate`
    double begins = 0;                                ///< seconds; the times count from here
};

namespace detail {

inline std::string json_text(std::string_view text) {
    std::string quoted = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') quoted += '\\';
        quoted += c >= 0 && c < ' ' ? ' ' : c;
    }
    return quoted + '"';
}

inline std::string microseconds(double seconds) {
    char text[40];
    std::snprintf(text, sizeof text, "%.3f", seconds * 1e6);
    return text;
}

}  // namespace detail

/// The times as JSON in Chrome's trace event format, for Perfetto and chrome://tracing: a process
/// for each rank, in it a track for each phase, on that from `ready` to `done` with a slice "pack"
/// in it until `posted`, in microseconds. Phases in which a rank has nothing to do are left out.
/// Throws argument_error where there is no time for a rank or a phase.
inline std::string trace_json(std::span<const exchange_plan> plans, const topology& nodes,
                              std::span<const timed_flow> flows) {
    using detail::concat;
    using detail::json_text;
    if (plans.size() != nodes.rank_count())
        detail::throw_argument("trace_json", "plans",
                               concat("one for each of ", nodes.rank_count(), " ranks"),
                               concat(plans.size()));
    std::string events;
    const auto add = [&](const std::string& event) {
        events += concat(events.empty() ? "\n" : ",\n", event);
    };
    for (std::size_t r = 0; r < plans.size(); ++r) {
        const auto rank = static_cast<rank_id>(r);
        add(concat(R"({"ph": "M", "pid": )", r,
                   R"(, "name": "process_name", "args": {"name": "rank )", r, " on node ",
                   nodes.node_of(rank), R"("}})"));
        std::size_t track = 0;
        for (const timed_flow& run : flows) {
            const std::vector<phase>& phases = (plans[r].*run.which).phases;
            if (run.times.size() != plans.size() || run.times[r].size() != phases.size())
                detail::throw_argument("trace_json", concat("times of ", run.name),
                                       concat(phases.size(), " phases of ", plans.size(), " ranks"),
                                       run.times.size() != plans.size()
                                           ? concat(run.times.size(), " ranks")
                                           : concat(run.times[r].size(), " phases"),
                                       rank);
            for (std::size_t p = 0; p < phases.size(); ++p, ++track) {
                const phase_times& t = run.times[r][p];
                if (!(t.done > t.ready)) continue;
                row_index out = 0, in = 0;
                for (const segment& s : phases[p].sends) out += s.rows;
                for (const segment& s : phases[p].receives) in += s.rows;
                const std::string where = concat(R"(, "pid": )", r, R"(, "tid": )", track);
                const auto slice = [&](std::string_view name, double end, std::string_view args) {
                    add(concat(R"({"ph": "X", "name": )", json_text(name), R"(, "cat": )",
                               json_text(run.name), where, R"(, "ts": )",
                               detail::microseconds(run.begins + t.ready), R"(, "dur": )",
                               detail::microseconds(end - t.ready), args, "}"));
                };
                add(concat(R"({"ph": "M", "name": "thread_name")", where, R"(, "args": {"name": )",
                           json_text(concat(run.name, ": ", phases[p].name)), "}}"));
                slice(phases[p].name, t.done,
                      concat(R"(, "args": {"rows_out": )", out, R"(, "messages_out": )",
                             phases[p].sends.size(), R"(, "rows_in": )", in, R"(, "messages_in": )",
                             phases[p].receives.size(), "}"));
                if (t.posted > t.ready) slice("pack", t.posted, "");
            }
        }
    }
    return concat(R"({"displayTimeUnit": "ns", "traceEvents": [)", events, "\n]}\n");
}

}  // namespace locmoe
