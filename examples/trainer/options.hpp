#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <fstream>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include "training.hpp"

namespace trainer {

struct options {
    std::string backend = "in-process";
    std::vector<router_kind> routers;
    std::size_t nodes = 2;
    std::size_t ranks_per_node = 2;
    std::string data;
    std::string json;             ///< empty: none
    std::string trace;            ///< empty: none
    std::string page;             ///< empty: none
    std::string curves;           ///< empty: none
    std::string record;           ///< empty: none
    std::string capacity_report;  ///< empty: none
    std::string capacity;         ///< as the reader wrote it
    training_options training;
};

/// What to do next: train with these options, or end with this exit code.
struct parsed_options {
    std::optional<options> run;
    int exit_code = 0;
};

/// Reads the command line. A wrong option or value gives one line on standard error and code 2;
/// `--help` gives code 0. `quiet` ranks print nothing.
inline parsed_options parse_options(int argc, const char* const* argv, const std::string& data,
                                    bool quiet = false) {
    options o;
    o.data = data;
    training_options& t = o.training;
    std::string router = "all", shards = "domain", strategy = "direct", capacity = "factor:1.25";
    bool brief = false;

    CLI::App app(
        "Trains a small Mixture-of-Experts language model over bytes, expert-parallel, once with "
        "each router, and compares what they send and what the model learns.",
        "locmoe_train");
    const auto positive = CLI::Range(std::size_t{1}, std::size_t{1} << 30);
    app.add_option("--backend", o.backend, "in-process (a thread a rank) or mpi (under mpirun)")
        ->check(CLI::IsMember({"in-process", "mpi"}))
        ->capture_default_str();
    std::vector<std::string> routers(router_names.begin(), router_names.end());
    routers.insert(routers.end(), {"all", "every"});
    app.add_option("--router", router, "one by name; all: hash, switch and locmoe; every: each")
        ->check(CLI::IsMember(routers))
        ->capture_default_str();
    auto* steps = app.add_option("--steps", t.steps, "training steps for each router")
                      ->check(positive)
                      ->capture_default_str();
    app.add_flag("--short", brief, "a tenth of the steps, to see it work");
    app.add_option("--nodes", o.nodes, "nodes that the ranks are thought to sit on")
        ->check(positive)
        ->capture_default_str();
    app.add_option("--ranks-per-node", o.ranks_per_node, "ranks on each of them")
        ->check(positive)
        ->capture_default_str();
    app.add_option("--seed", t.seed, "of the model's start and the batches")->capture_default_str();
    app.add_option("--data", o.data, "folder with a folder or .txt file for each domain")
        ->check(CLI::ExistingDirectory)
        ->capture_default_str();
    app.add_option("--shards", shards,
                   "domain: each node reads its own domains; shuffled: all read all")
        ->check(CLI::IsMember({"domain", "shuffled"}))
        ->capture_default_str();
    app.add_option("--strategy", strategy,
                   "how rows travel: direct, node_aggregated, or best by what calibrate measures")
        ->check(CLI::IsMember({"direct", "node_aggregated", "best"}))
        ->capture_default_str();
    app.add_option("--capacity", capacity,
                   "rows that an expert takes at most: factor:F of the even share, locmoe, "
                   "adaptive, drop-rate:R, or none")
        ->capture_default_str();
    app.add_option("--capacity-report", o.capacity_report,
                   "SVG file for the last router's capacity against its angles; prints them too");
    app.add_option("--json", o.json, "file to write the results to");
    app.add_option("--curves", o.curves, "SVG file for the losses of all routers");
    app.add_option("--trace", o.trace,
                   "JSON file for Perfetto: what each rank did in the last router's last step");
    app.add_option("--page", o.page,
                   "HTML file: what the last router's last step sent, with times predicted and "
                   "measured");
    app.add_option("--record", o.record,
                   "folder for the experts that tokens chose in the last steps: ROUTER.RANK, 32-bit "
                   "numbers [steps, MoE layers, tokens, choices]")
        ->check(CLI::ExistingDirectory);
    app.add_option("--record-steps", t.recorded_steps, "how many steps to record")
        ->check(positive)
        ->needs("--record");
    app.add_option("--experts", t.shape.experts, "experts in a layer")
        ->check(positive)
        ->capture_default_str();
    app.add_option("--choices", t.choices, "experts of a token, where a router chooses several")
        ->check(positive)
        ->capture_default_str();
    app.add_option("--width", t.shape.width, "numbers in a token's row")
        ->check(positive)
        ->capture_default_str();
    app.add_option("--inner", t.shape.inner, "width inside an expert")
        ->check(positive)
        ->capture_default_str();
    app.add_option("--layers", t.shape.layers, "layers of attention and experts")
        ->check(positive)
        ->capture_default_str();
    app.add_option("--heads", t.shape.heads, "attention heads; must divide the width")
        ->check(positive)
        ->capture_default_str();
    app.add_option("--context", t.shape.context, "bytes in a sequence")
        ->check(positive)
        ->capture_default_str();
    app.add_option("--sequences", t.sequences, "sequences a rank and step")
        ->check(positive)
        ->capture_default_str();
    app.add_option("--learning-rate", t.peak_rate, "at its peak")
        ->check(CLI::Range(1e-8, 1.0))
        ->capture_default_str();
    app.add_option("--alpha", t.alpha, "weight of the load-balancing loss")
        ->check(CLI::NonNegativeNumber)
        ->capture_default_str();
    app.add_option("--mu", t.mu, "weight of the locality loss")
        ->check(CLI::NonNegativeNumber)
        ->capture_default_str();
    app.add_flag("--adaptive-mu", t.adaptive_mu,
                 "lower it on nodes without room for their tokens, to 0 on those without experts");
    app.add_option("--epsilon", t.epsilon,
                   "share of a node's tokens that the locality loss lets go")
        ->check(CLI::Range(1e-9, 0.999))
        ->capture_default_str();

    const auto wrong = [&](const std::string& line) {
        if (!quiet) std::fprintf(stderr, "locmoe_train: %s\n", line.c_str());
        return parsed_options{std::nullopt, 2};
    };
    try {
        app.parse(argc, argv);
    } catch (const CLI::CallForHelp&) {
        if (!quiet) std::fputs(app.help().c_str(), stdout);
        return {};
    } catch (const CLI::ParseError& e) {
        std::string line = e.what();
        for (char& c : line)
            if (c == '\n') c = ' ';
        return wrong(line);
    }

    try {
        t.capacity = parse_capacity(capacity, t.shape.width);
    } catch (const std::exception& e) {
        return wrong(e.what());
    }
    o.capacity = capacity;
    if (t.shape.width % t.shape.heads != 0)
        return wrong("--heads: must divide --width, " + std::to_string(t.shape.width) + ", got " +
                     std::to_string(t.shape.heads));
    if (t.shape.width < t.shape.experts)
        return wrong("--width: at least --experts, " + std::to_string(t.shape.experts) + ", got " +
                     std::to_string(t.shape.width));
    for (const auto& [option, path] :
         {std::pair("--json: ", o.json), std::pair("--capacity-report: ", o.capacity_report),
          std::pair("--curves: ", o.curves), std::pair("--trace: ", o.trace),
          std::pair("--page: ", o.page)})
        if (!path.empty() && !std::ofstream(path, std::ios::app))
            return wrong(option + ("cannot write " + path));
#if !LOCMOE_TRAINER_WITH_BOOST_MATH
    if (!o.capacity_report.empty())
        return wrong("--capacity-report: this program was built without Boost.Math");
#endif
    for (std::size_t i = 0; i < router_names.size(); ++i) {
        const auto kind = static_cast<router_kind>(i);
        if (router == "every" || router == router_name(kind) ||
            (router == "all" && kind <= router_kind::locmoe))
            o.routers.push_back(kind);
    }
    if (brief && steps->count() == 0) t.steps /= 10;
    t.strategy = strategy == "best"              ? row_strategy::best
                 : strategy == "node_aggregated" ? row_strategy::node_aggregated
                                                 : row_strategy::direct;
    if (!o.record.empty() && t.recorded_steps == 0) t.recorded_steps = 1;
    t.shuffled = shards == "shuffled";
    return {o, 0};
}

}  // namespace trainer
