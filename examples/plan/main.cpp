// locmoe-plan: what would an exchange cost on that cluster? Reads a cluster and a routing, plans
// for all ranks in one process, and says which strategy, why, and how long.

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "locmoe/adapt/cluster_file.hpp"
#include "locmoe/locmoe.hpp"
#include "locmoe/plan/describe_html.hpp"

#include "options.hpp"
#include "routings.hpp"

namespace {

using namespace plan_program;

std::vector<locmoe::routing> routings_of(const options& o, std::size_t ranks) {
    if (!o.routing.empty()) return read_routings(o.routing, ranks, o.experts);
    constexpr std::size_t most_choices = std::size_t{1} << 28;
    if (o.tokens > most_choices / o.choices / ranks)
        refuse("--tokens", concat("at most ", most_choices, " choices on all ranks"),
               concat(ranks, " ranks of ", o.tokens, " tokens, top-", o.choices));
    return draw_routings(ranks, o.tokens, o.choices, o.experts, o.zipf, o.seed);
}

/// Who gets a slot: of all ranks' pairs for an expert the first, as many as the capacity allows.
std::vector<locmoe::assignment> assign_all(const std::vector<locmoe::routing>& decided,
                                           const options& o) {
    std::size_t pairs = 0;
    for (const locmoe::routing& one : decided) pairs += one.chosen.size();
    const std::size_t experts = decided[0].expert_count;
    std::vector<std::int64_t> before(experts, 0);
    std::vector<locmoe::assignment> all;
    for (const locmoe::routing& one : decided) {
        locmoe::assign_options slots;
        if (o.capacity_factor) {
            slots.capacity = static_cast<std::int64_t>(std::ceil(
                *o.capacity_factor * static_cast<double>(pairs) / static_cast<double>(experts)));
            slots.before = before;
        }
        all.push_back(locmoe::assign(one, slots));
        const std::vector<std::int64_t> chosen = locmoe::count_choices(one);
        for (std::size_t e = 0; e < experts; ++e) before[e] += chosen[e];
    }
    return all;
}

std::vector<locmoe::exchange_plan> make_plans(const options& o, const locmoe::cluster& on,
                                              const locmoe::expert_placement& placement,
                                              const std::vector<locmoe::assignment>& assigned) {
    if (o.strategy == "best")
        return locmoe::best_plan_all(on.nodes, placement, assigned, {o.row_bytes, on.costs});
    std::vector<locmoe::exchange_plan> plans;
    locmoe::all_strategies().for_each([&](const auto& strategy, std::size_t) {
        if (strategy.name() == o.strategy)
            plans = locmoe::plan_all(strategy, on.nodes, placement, assigned);
    });
    return plans;
}

nlohmann::ordered_json choice_json(const locmoe::plan_choice& choice) {
    nlohmann::ordered_json all = {{"lower_bound_nanoseconds", choice.lower_bound},
                                  {"candidates", nlohmann::ordered_json::array()}};
    for (const locmoe::cost_estimate& c : choice.candidates) {
        nlohmann::ordered_json one = {{"strategy", c.title()}};
        if (c.declined.empty())
            one["nanoseconds"] = c.nanoseconds;
        else
            one["declined"] = c.declined;
        all["candidates"].push_back(std::move(one));
    }
    return all;
}

nlohmann::ordered_json traffic_json(std::span<const locmoe::exchange_plan> plans,
                                    std::size_t row_bytes) {
    locmoe::traffic sum;
    for (const locmoe::exchange_plan& p : plans) sum += p.traffic(row_bytes);
    const auto side = [](const locmoe::tier_traffic& t) {
        return nlohmann::ordered_json{
            {"rows", t.rows}, {"messages", t.messages}, {"bytes", t.bytes}};
    };
    return {{"intra_node", side(sum.intra_node)}, {"inter_node", side(sum.inter_node)}};
}

void write(const std::string& path, const std::string& text) {
    std::ofstream file(path, std::ios::binary);
    if (!file.write(text.data(), static_cast<std::streamsize>(text.size())).flush())
        refuse(path, "a file that can be written", "one that cannot");
}

void run(const options& o) {
    const locmoe::cluster on = locmoe::read_cluster(o.cluster);
    const std::size_t ranks = on.nodes.rank_count();
    const std::vector<locmoe::routing> decided = routings_of(o, ranks);
    const std::size_t experts = decided[0].expert_count;
    const auto placement = o.placement == "blocked"
                               ? locmoe::expert_placement::blocked(experts, ranks)
                               : locmoe::expert_placement::round_robin(experts, ranks);
    const auto plans = make_plans(o, on, placement, assign_all(decided, o));

    const auto predicted = [&](locmoe::flow locmoe::exchange_plan::*which) {
        return locmoe::simulate(plans, which, o.row_bytes, on.nodes, on.costs);
    };
    const auto dispatch = predicted(&locmoe::exchange_plan::dispatch);
    const auto combine = predicted(&locmoe::exchange_plan::combine);
    std::fputs(locmoe::describe(plans, o.row_bytes).c_str(), stdout);
    std::printf("  predicted by simulation: dispatch %.6f ms, combine %.6f ms\n",
                1e3 * dispatch.seconds, 1e3 * combine.seconds);

    const std::string name = std::filesystem::path(o.cluster).filename().string();
    if (!o.html.empty())
        write(o.html, locmoe::describe_html(plans, on.nodes,
                                            {.row_bytes = o.row_bytes,
                                             .costs = on.costs,
                                             .title = concat("An exchange on ", name)}));
    if (!o.trace.empty()) {  // combine follows at once, as if experts took no time
        const std::vector<locmoe::timed_flow> flows = {
            {"dispatch", &locmoe::exchange_plan::dispatch, dispatch.phases, 0},
            {"combine", &locmoe::exchange_plan::combine, combine.phases, dispatch.seconds}};
        write(o.trace, locmoe::trace_json(plans, on.nodes, flows));
    }
    if (o.json.empty()) return;
    const nlohmann::ordered_json all = {
        {"ranks", ranks},
        {"nodes", on.nodes.node_count()},
        {"experts", experts},
        {"choices", decided[0].choice_count},
        {"row_bytes", o.row_bytes},
        {"placement", o.placement},
        {"strategy", plans[0].strategy},
        {"predicted_seconds", {{"dispatch", dispatch.seconds}, {"combine", combine.seconds}}},
        {"dispatch", traffic_json(plans, o.row_bytes)},
        {"choice", plans[0].choice ? choice_json(*plans[0].choice) : nullptr}};
    write(o.json, all.dump(2) + "\n");
}

}  // namespace

int main(int argc, char** argv) {
    const auto parsed = parse_options(argc, argv);
    if (!parsed.run) return parsed.exit_code;
    try {
        run(*parsed.run);
        if (std::fflush(stdout) != 0 || std::ferror(stdout))
            refuse("standard output", "room to write", "none");
        return 0;
    } catch (const std::exception& e) {
        std::fprintf(stderr, "locmoe-plan: %s\n", e.what());
        return 1;
    }
}
