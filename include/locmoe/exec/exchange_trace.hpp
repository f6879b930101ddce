#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "locmoe/core/error.hpp"
#include "locmoe/exec/backend.hpp"
#include "locmoe/plan/message.hpp"
#include "locmoe/plan/simulate.hpp"
#include "locmoe/plan/trace_json.hpp"
#include "locmoe/topology/topology.hpp"

namespace locmoe::inline v0 {

/// When one transfer of a rank was prepared, posted and over, in seconds on the trace's clock.
struct traced_transfer {
    std::string name;               ///< of its phase
    phase_times times;              ///< `done`: its `wait` has ended
    std::int64_t bytes_out = 0;     ///< that this rank sent
    std::int64_t messages_out = 0;  ///< blocks, as the backend was given them
    std::int64_t bytes_in = 0;      ///< that this rank received
    std::int64_t messages_in = 0;   ///< blocks, paced ones included
};

/// Something that a rank did, such as a dispatch, and the transfers that it started meanwhile.
struct traced_span {
    std::string name;                        ///< as `traced_backend::run` was told
    double begin = 0;                        ///< seconds on the trace's clock
    double end = 0;                          ///< likewise; 0 while the work goes on
    std::vector<traced_transfer> transfers;  ///< in the order of starting
};

/// What one rank did and when, as a `traced_backend` writes it down.
struct exchange_trace {
    std::vector<traced_span> spans;  ///< in the order of their beginning
};

/// All ranks' traces on rank 0, by rank; nothing on the others. Collective.
template <exchange_backend Backend>
std::vector<exchange_trace> gather_traces(Backend& backend, const exchange_trace& own) {
    std::vector<std::int64_t> words;
    const auto put_text = [&](const std::string& text) {
        words.push_back(static_cast<std::int64_t>(text.size()));
        for (const char c : text) words.push_back(c);
    };
    const auto put_time = [&](double t) { words.push_back(std::bit_cast<std::int64_t>(t)); };
    for (const traced_span& s : own.spans) {
        put_text(s.name);
        put_time(s.begin);
        put_time(s.end);
        words.push_back(static_cast<std::int64_t>(s.transfers.size()));
        for (const traced_transfer& t : s.transfers) {
            put_text(t.name);
            put_time(t.times.ready);
            put_time(t.times.posted);
            put_time(t.times.done);
            words.insert(words.end(), {t.bytes_out, t.messages_out, t.bytes_in, t.messages_in});
        }
    }
    std::vector<message> messages;
    messages.push_back({0, std::move(words)});
    std::vector<exchange_trace> all;
    for (const message& m : backend.exchange_messages(std::move(messages))) {
        std::size_t at = 0;
        const auto take = [&] { return m.words[at++]; };
        const auto take_text = [&] {
            std::string text(static_cast<std::size_t>(take()), ' ');
            for (char& c : text) c = static_cast<char>(take());
            return text;
        };
        const auto take_time = [&] { return std::bit_cast<double>(take()); };
        exchange_trace& trace = all.emplace_back();
        while (at < m.words.size()) {
            traced_span& s = trace.spans.emplace_back();
            s.name = take_text();
            s.begin = take_time();
            s.end = take_time();
            s.transfers.resize(static_cast<std::size_t>(take()));
            for (traced_transfer& t : s.transfers) {
                t.name = take_text();
                t.times.ready = take_time();
                t.times.posted = take_time();
                t.times.done = take_time();
                t.bytes_out = take();
                t.messages_out = take();
                t.bytes_in = take();
                t.messages_in = take();
            }
        }
    }
    return all;
}

/// The traces, one a rank, as JSON in Chrome's trace event format, for Perfetto and
/// chrome://tracing: a process for each rank; on its first track the spans that have ended, and on
/// one track for each of a span's transfers when that was prepared ("pack") and under way, in
/// microseconds. A transfer whose track is still busy with an earlier span's goes to a later one:
/// slices of a track must lie in each other or apart. Throws argument_error where there is not one
/// trace a rank.
inline std::string trace_json(std::span<const exchange_trace> traces, const topology& nodes) {
    using detail::concat;
    using detail::json_text;
    if (traces.size() != nodes.rank_count())
        detail::throw_argument("trace_json", "traces",
                               concat("one for each of ", nodes.rank_count(), " ranks"),
                               concat(traces.size()));
    std::string events;
    const auto add = [&](const std::string& event) {
        events += concat(events.empty() ? "\n" : ",\n", event);
    };
    for (std::size_t r = 0; r < traces.size(); ++r) {
        const auto name_of = [&](std::string_view what, std::size_t track, std::string_view name) {
            add(concat(R"({"ph": "M", "pid": )", r, R"(, "tid": )", track, R"(, "name": ")", what,
                       R"(", "args": {"name": )", json_text(name), "}}"));
        };
        // To whole nanoseconds: rounded by itself, a duration could reach into the next slice.
        const auto rounded = [](double seconds) { return std::round(seconds * 1e9) / 1e9; };
        const auto slice = [&](std::string_view name, std::string_view category, std::size_t track,
                               double begin, double end, std::string_view args) {
            add(concat(R"({"ph": "X", "name": )", json_text(name), R"(, "cat": )",
                       json_text(category), R"(, "pid": )", r, R"(, "tid": )", track,
                       R"(, "ts": )", detail::microseconds(rounded(begin)), R"(, "dur": )",
                       detail::microseconds(rounded(end) - rounded(begin)), args, "}"));
        };
        name_of("process_name", 0,
                concat("rank ", r, " on node ", nodes.node_of(static_cast<rank_id>(r))));
        name_of("thread_name", 0, "steps");
        std::vector<double> busy;  // until when, of the tracks of transfers
        for (const traced_span& s : traces[r].spans) {
            if (s.end >= s.begin) slice(s.name, "step", 0, s.begin, s.end, "");
            for (std::size_t i = 0; i < s.transfers.size(); ++i) {
                const traced_transfer& t = s.transfers[i];
                std::size_t track = i;
                while (track < busy.size() && rounded(t.times.ready) < busy[track]) ++track;
                if (track == busy.size()) {
                    busy.push_back(0);
                    name_of("thread_name", busy.size(), concat("phase ", busy.size()));
                }
                busy[track] = rounded(t.times.done);
                slice(t.name, s.name, track + 1, t.times.ready, t.times.done,
                      concat(R"(, "args": {"bytes_out": )", t.bytes_out, R"(, "messages_out": )",
                             t.messages_out, R"(, "bytes_in": )", t.bytes_in,
                             R"(, "messages_in": )", t.messages_in, "}"));
                if (t.times.posted > t.times.ready)
                    slice("pack", s.name, track + 1, t.times.ready, t.times.posted, "");
            }
        }
    }
    return concat(R"({"displayTimeUnit": "ns", "traceEvents": [)", events, "\n]}\n");
}

/// [P][phases]: the first `phases` transfers of each rank's last span of that name, in seconds
/// from when the first rank was ready: what `page_options` takes as measured. Throws argument_error
/// where a rank has no such span, or fewer transfers in it.
inline std::vector<std::vector<phase_times>> measured_times(std::span<const exchange_trace> traces,
                                                            std::string_view span,
                                                            std::size_t phases) {
    using detail::concat;
    std::vector<std::vector<phase_times>> all;
    double begin = 0;
    for (std::size_t r = 0; r < traces.size(); ++r) {
        const traced_span* last = nullptr;
        for (const traced_span& s : traces[r].spans)
            if (s.name == span) last = &s;
        if (last == nullptr || last->transfers.size() < phases)
            detail::throw_argument(
                "measured_times", "traces", concat(phases, " transfers of ", span),
                last == nullptr ? "none" : concat(last->transfers.size()), static_cast<rank_id>(r));
        auto& times = all.emplace_back();
        for (std::size_t p = 0; p < phases; ++p) {
            times.push_back(last->transfers[p].times);
            if ((r == 0 && p == 0) || times[p].ready < begin) begin = times[p].ready;
        }
    }
    for (auto& times : all)
        for (phase_times& t : times) t = {t.ready - begin, t.posted - begin, t.done - begin};
    return all;
}

}  // namespace locmoe
