#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include "locmoe/plan/choose.hpp"

namespace plan_program {

struct options {
    std::string cluster;
    std::vector<std::string> routing;  ///< empty: drawn
    double zipf = 0;
    std::size_t tokens = 4096;  ///< a rank
    std::size_t choices = 2;
    std::size_t experts = 0;  ///< 0: as the routing has it
    std::uint64_t seed = 1;
    std::size_t row_bytes = 8192;
    std::string strategy = "best";
    std::string placement = "blocked";
    std::optional<double> capacity_factor;
    std::string html;
    std::string json;
    std::string trace;
};

/// What to do next: plan with these options, or end with this exit code.
struct parsed_options {
    std::optional<options> run;
    int exit_code = 0;
};

inline std::vector<std::string> strategy_names() {
    std::vector<std::string> names = {"best"};
    locmoe::all_strategies().for_each(
        [&](const auto& strategy, std::size_t) { names.emplace_back(strategy.name()); });
    return names;
}

/// Reads the command line. A wrong option or value gives one line on standard error and code 2;
/// `--help` gives code 0.
inline parsed_options parse_options(int argc, const char* const* argv) {
    options o;
    bool uniform = false;
    CLI::App app(
        "Says what a Mixture-of-Experts exchange would cost on a cluster that need not be there: "
        "which strategy, why, how long, over which links.",
        "locmoe-plan");
    const auto size = CLI::Range(std::size_t{1}, std::size_t{1} << 24);
    app.add_option(
           "cluster", o.cluster,
           "JSON file: nodes, ranks, latencies and bandwidths (see examples/data/cluster.json)")
        ->required();
    auto* files = app.add_option(
        "--routing", o.routing,
        "expert ids of tokens, .npy (int32 or int64) or .json: one file [T, k], split evenly over "
        "the ranks, or [P, T, k], or a file [T, k] for each rank; -1: no expert");
    auto* even = app.add_flag("--uniform", uniform, "draw a routing: all experts alike");
    auto* zipf = app.add_option("--zipf", o.zipf, "draw a routing: the i-th expert at odds i^-S")
                     ->check(CLI::Range(0.0, 16.0));
    auto* tokens = app.add_option("--tokens", o.tokens, "T of a rank, where the routing is drawn")
                       ->check(size)
                       ->capture_default_str();
    auto* choices = app.add_option("--choices", o.choices, "k, where the routing is drawn")
                        ->check(CLI::Range(std::size_t{1}, std::size_t{256}))
                        ->capture_default_str();
    auto* seed = app.add_option("--seed", o.seed, "of the draw")->capture_default_str();
    app.add_option("--experts", o.experts, "drawn: 64; of files: as many as the ids ask for")
        ->check(size);
    app.add_option("--row-bytes", o.row_bytes, "of a token's row: its width times its type's size")
        ->check(CLI::Range(std::size_t{1}, std::size_t{1} << 30))
        ->capture_default_str();
    app.add_option("--strategy", o.strategy, "best: the cheapest by price; or one by name")
        ->check(CLI::IsMember(strategy_names()))
        ->capture_default_str();
    app.add_option("--placement", o.placement, "of experts on ranks: blocked or round_robin")
        ->check(CLI::IsMember({"blocked", "round_robin"}))
        ->capture_default_str();
    app.add_option(
           "--capacity", o.capacity_factor,
           "rows that an expert takes at most, times the even share; what is over is dropped")
        ->check(CLI::Range(1e-6, 1e6));
    app.add_option("--html", o.html, "file to write the page to");
    app.add_option("--json", o.json, "file to write the choice to");
    app.add_option("--trace", o.trace,
                   "file for the predicted phases as a Chrome trace, which Perfetto reads");

    const auto wrong = [](std::string line) {
        for (char& c : line)
            if (c == '\n') c = ' ';
        std::fprintf(stderr, "locmoe-plan: %s\n", line.c_str());
        return parsed_options{std::nullopt, 2};
    };
    try {
        app.parse(argc, argv);
    } catch (const CLI::CallForHelp&) {
        std::fputs(app.help().c_str(), stdout);
        return {};
    } catch (const CLI::ParseError& e) {
        return wrong(e.what());
    }
    const int ways = (files->count() > 0) + (even->count() > 0) + (zipf->count() > 0);
    if (ways != 1)
        return wrong("expected one of --routing, --uniform and --zipf, got " +
                     std::to_string(ways));
    if (files->count() > 0) {
        for (const CLI::Option* drawn : {tokens, choices, seed})
            if (drawn->count() > 0)
                return wrong(drawn->get_name() + ": only where the routing is drawn");
    } else {
        if (o.experts == 0) o.experts = 64;
        if (o.choices > o.experts)
            return wrong("--choices: at most --experts, " + std::to_string(o.experts) + ", got " +
                         std::to_string(o.choices));
    }
    for (const auto& [option, path] : {std::pair("--html: ", o.html), std::pair("--json: ", o.json),
                                       std::pair("--trace: ", o.trace)})
        if (!path.empty() && !std::ofstream(path, std::ios::app))
            return wrong(option + ("cannot write " + path));
    return {o, 0};
}

}  // namespace plan_program
