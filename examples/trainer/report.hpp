#pragma once

#include <cmath>
#include <cstdio>
#include <fstream>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "locmoe/core/error.hpp"
#include "locmoe/core/ids.hpp"

#include "measured_step.hpp"

namespace trainer {

/// Milliseconds of one training step by part, the mean over steps and ranks.
struct step_times {
    double route = 0, plan = 0, exchange = 0, expert = 0, other = 0, total = 0;
};

/// What one router's run came to. Traffic is what all ranks together send in one training step:
/// rows to the experts and back, forwards and backwards, with weights and their gradients, over all
/// MoE layers. Shares, loads and capacities are means over all training steps.
struct router_report {
    std::string name;
    double heldout_bits_per_byte = 0;
    double inter_node_bytes_per_step = 0;
    double intra_node_bytes_per_step = 0;
    double inter_node_messages_per_step = 0;
    double intra_node_messages_per_step = 0;
    double kept_on_node_fraction = 0;  ///< of the choices that were not dropped
    double dropped_fraction = 0;       ///< of all choices
    double load_max_over_mean = 0;     ///< over the experts, before any drop
    std::optional<double> capacity;  ///< rows an expert takes at most in one layer; none: no limit
    double expert_tokens_per_step = 0;  ///< rows that the experts compute, forwards
    double padded_rows_per_step = 0;    ///< rows of all slots, filled or not: what a padded
                                        ///< exchange would send and compute instead
    step_times step_ms;
    measured_step last;          ///< of the last MoE layer; for the capacity report alone
    std::vector<double> losses;  ///< bits per byte on the training batch of each step
};

struct run_report {
    double order2_bits_per_byte = 0;
    std::vector<router_report> routers;
};

/// The form that other programs read.
inline nlohmann::ordered_json to_json(const run_report& report) {
    nlohmann::ordered_json all;
    all["baseline"]["order2_bits_per_byte"] = report.order2_bits_per_byte;
    all["routers"] = nlohmann::ordered_json::array();
    for (const router_report& r : report.routers) {
        const step_times& ms = r.step_ms;
        all["routers"].push_back({{"name", r.name},
                                  {"heldout_bits_per_byte", r.heldout_bits_per_byte},
                                  {"inter_node_bytes_per_step", r.inter_node_bytes_per_step},
                                  {"intra_node_bytes_per_step", r.intra_node_bytes_per_step},
                                  {"inter_node_messages_per_step", r.inter_node_messages_per_step},
                                  {"intra_node_messages_per_step", r.intra_node_messages_per_step},
                                  {"kept_on_node_fraction", r.kept_on_node_fraction},
                                  {"dropped_fraction", r.dropped_fraction},
                                  {"load_max_over_mean", r.load_max_over_mean},
                                  {"capacity", r.capacity ? nlohmann::ordered_json(*r.capacity)
                                                          : nlohmann::ordered_json()},
                                  {"expert_tokens_per_step", r.expert_tokens_per_step},
                                  {"padded_rows_per_step", r.padded_rows_per_step},
                                  {"step_ms",
                                   {{"route", ms.route},
                                    {"plan", ms.plan},
                                    {"exchange", ms.exchange},
                                    {"expert", ms.expert},
                                    {"other", ms.other},
                                    {"total", ms.total}}},
                                  {"losses", r.losses}});
    }
    return all;
}

/// Throws argument_error where the file cannot be written.
inline void write_json(const run_report& report, const std::string& path) {
    std::ofstream file(path);
    file << to_json(report).dump(2) << '\n';
    file.close();
    if (!file) throw locmoe::argument_error("cannot write " + path);
}

/// As they lie in memory. Throws argument_error where the file cannot be written.
inline void write_choices(std::span<const locmoe::expert_id> chosen, const std::string& path) {
    std::ofstream file(path, std::ios::binary);
    const auto bytes = std::as_bytes(chosen);
    file.write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
    file.close();
    if (!file) throw locmoe::argument_error("cannot write " + path);
}

inline void print_table(const run_report& report) {
    std::printf("\n%-13s %9s  %12s %12s %7s %8s %7s %8s %8s %8s\n", "router", "held-out",
                "inter-node", "intra-node", "kept", "dropped", "load", "capacity", "expert",
                "ms a");
    std::printf("%-13s %9s  %12s %12s %7s %8s %7s %8s %8s %8s\n", "", "bits/byte", "KB (msgs)",
                "KB (msgs)", "on node", "", "max/mean", "rows", "rows", "step");
    for (const router_report& r : report.routers) {
        const auto sent = [](double bytes, double messages) {
            char line[32];
            std::snprintf(line, sizeof line, "%.0f (%.0f)", bytes / 1e3, messages);
            return std::string(line);
        };
        std::printf("%-13s %9.4f  %12s %12s %6.1f%% %7.2f%% %8.2f %8s %8.0f %8.1f\n",
                    r.name.c_str(), r.heldout_bits_per_byte,
                    sent(r.inter_node_bytes_per_step, r.inter_node_messages_per_step).c_str(),
                    sent(r.intra_node_bytes_per_step, r.intra_node_messages_per_step).c_str(),
                    100 * r.kept_on_node_fraction, 100 * r.dropped_fraction, r.load_max_over_mean,
                    r.capacity ? std::to_string(std::llround(*r.capacity)).c_str() : "none",
                    r.expert_tokens_per_step, r.step_ms.total);
    }
    std::printf("%-13s %9.4f  (smoothed trigram counts of the same training text)\n", "order 2",
                report.order2_bits_per_byte);

    std::printf("\n%-13s %8s %8s %8s %8s %8s %8s\n", "ms a step", "route", "plan", "exchange",
                "expert", "other", "total");
    for (const router_report& r : report.routers)
        std::printf("%-13s %8.2f %8.2f %8.2f %8.2f %8.2f %8.2f\n", r.name.c_str(), r.step_ms.route,
                    r.step_ms.plan, r.step_ms.exchange, r.step_ms.expert, r.step_ms.other,
                    r.step_ms.total);
}

}  // namespace trainer
