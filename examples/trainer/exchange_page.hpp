#pragma once

#include <cstddef>
#include <cstdint>
#include <fstream>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "locmoe/assign/assignment.hpp"
#include "locmoe/core/error.hpp"
#include "locmoe/exec/calibrate.hpp"
#include "locmoe/exec/exchange_trace.hpp"
#include "locmoe/plan/choose.hpp"
#include "locmoe/plan/describe_html.hpp"
#include "locmoe/plan/plan_all.hpp"
#include "locmoe/topology/expert_placement.hpp"
#include "locmoe/topology/topology.hpp"

namespace trainer {

/// All ranks' assignments on rank 0, by rank; nothing on the others. Collective.
template <class Backend>
std::vector<locmoe::assignment> gather_assignments(Backend& backend,
                                                   const locmoe::assignment& own) {
    std::vector<std::int64_t> words = {static_cast<std::int64_t>(own.token_count),
                                       static_cast<std::int64_t>(own.choice_count),
                                       static_cast<std::int64_t>(own.expert_count)};
    words.insert(words.end(), own.expert.begin(), own.expert.end());
    for (const auto* numbers : {&own.position, &own.kept, &own.dropped})
        words.insert(words.end(), numbers->begin(), numbers->end());
    std::vector<locmoe::message> messages;
    messages.push_back({0, std::move(words)});

    std::vector<locmoe::assignment> all;
    for (const locmoe::message& m : backend.exchange_messages(std::move(messages))) {
        locmoe::assignment& one = all.emplace_back();
        one.token_count = static_cast<std::size_t>(m.words[0]);
        one.choice_count = static_cast<std::size_t>(m.words[1]);
        one.expert_count = static_cast<std::size_t>(m.words[2]);
        std::span<const std::int64_t> rest(m.words);
        rest = rest.subspan(3);
        const auto take = [&](auto& numbers, std::size_t count) {
            for (const std::int64_t n : rest.first(count))
                numbers.push_back(static_cast<decltype(numbers[0] + 0)>(n));
            rest = rest.subspan(count);
        };
        take(one.expert, one.token_count * one.choice_count);
        take(one.position, one.token_count * one.choice_count);
        take(one.kept, one.expert_count);
        take(one.dropped, one.expert_count);
    }
    return all;
}

inline void write_file(const std::string& text, const std::string& path) {
    std::ofstream file(path);
    file << text;
    file.close();
    if (!file) throw locmoe::argument_error("cannot write " + path);
}

/// What a run's last MoE layer sent in its last step, planned again in one process, as a page with
/// the times predicted, by costs that are measured here, and those of the trace. Collective; rank 0
/// writes. Throws argument_error where the file cannot be written.
template <class Backend>
void write_exchange_page(Backend& backend, const locmoe::topology& nodes,
                         const locmoe::assignment& kept, std::string_view strategy,
                         std::size_t row_bytes, const locmoe::exchange_trace& own_trace,
                         const std::string& title, const std::string& capacity_svg,
                         const std::string& path) {
    const auto costs = locmoe::calibrate(backend, nodes, {.seconds = 0.2}).costs;
    const auto assigned = gather_assignments(backend, kept);
    const auto traces = locmoe::gather_traces(backend, own_trace);
    if (backend.rank() != 0) return;
    const auto placement = locmoe::expert_placement::blocked(kept.expert_count, nodes.rank_count());
    std::vector<locmoe::exchange_plan> plans;
    locmoe::all_strategies().for_each([&](const auto& candidate, std::size_t) {
        if (candidate.name() == strategy)
            plans = locmoe::plan_all(candidate, nodes, placement, assigned);
    });
    const auto dispatch =
        locmoe::measured_times(traces, "dispatch", plans[0].dispatch.phases.size());
    const auto combine = locmoe::measured_times(traces, "combine", plans[0].combine.phases.size());
    write_file(locmoe::describe_html(plans, nodes,
                                     {.row_bytes = row_bytes,
                                      .costs = costs,
                                      .title = title,
                                      .measured_dispatch = dispatch,
                                      .measured_combine = combine,
                                      .capacity_svg = capacity_svg}),
               path);
}

}  // namespace trainer
