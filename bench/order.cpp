// An order for the messages between nodes: unscheduled, rotated and open-shop exchanges on the
// simulated network, as a fraction of the bandwidth bound, with a fan-in loss and without; and how
// long the open-shop order takes to work out. One rank a node, 1 MiB a message, packing left out.
//
// The loss stands for a network where fan-in really hurts: 4 nodes send to one without loss, each
// further one costs 5 %. `choose_order` takes a window only with such costs.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "locmoe/exec/choose_order.hpp"
#include "locmoe/plan/direct.hpp"
#include "locmoe/plan/lower_bound.hpp"
#include "locmoe/plan/plan_all.hpp"
#include "locmoe/plan/simulate.hpp"

#include "rows.hpp"

namespace {

using namespace locmoe;

constexpr std::size_t row_bytes = 4096;

/// `tokens` a rank, each to one of 2 N experts with chances 1 / (e + 1)^skew, experts in any order.
std::vector<exchange_plan> plans_on(const topology& nodes, std::size_t tokens, double skew) {
    const std::size_t ranks = nodes.rank_count(), experts = 2 * ranks;
    std::mt19937_64 random(5);
    std::vector<double> chance;
    for (std::size_t e = 0; e < experts; ++e)
        chance.push_back(std::pow(static_cast<double>(e + 1), -skew));
    std::shuffle(chance.begin(), chance.end(), random);
    std::discrete_distribution<expert_id> draw(chance.begin(), chance.end());
    std::vector<assignment> assigned;
    for (std::size_t r = 0; r < ranks; ++r) {
        routing decided{tokens, 1, experts};
        for (std::size_t t = 0; t < tokens; ++t) decided.chosen.push_back(draw(random));
        decided.weights.assign(tokens, 1);
        assigned.push_back(assign(decided));
    }
    return plan_all(direct{}, nodes, expert_placement::blocked(experts, ranks), assigned);
}

std::vector<std::int64_t> rows_between(const std::vector<exchange_plan>& plans) {
    std::vector<std::int64_t> rows(plans.size() * plans.size(), 0);
    for (const exchange_plan& p : plans)
        for (const segment& s : p.dispatch.phases[0].sends)
            rows[static_cast<std::size_t>(p.rank) * plans.size() +
                 static_cast<std::size_t>(s.peer)] = s.rows;
    return rows;
}

void compare(bench::report& report, std::size_t count, double skew, double loss) {
    const topology nodes = topology::uniform(count, 1);
    const auto plans = plans_on(nodes, 256 * count, skew);
    const auto rows = rows_between(plans);
    cluster_costs costs;
    costs.inter_node.fan_in_loss = loss;
    costs.inter_node.fan_in_free = 4;
    costs.pack_bandwidth = std::numeric_limits<double>::infinity();
    const double bound = lower_bound(plans, row_bytes, nodes, costs).seconds();
    const auto seconds = [&](const std::vector<exchange_plan>& of) {
        return simulate(of, &exchange_plan::dispatch, row_bytes, nodes, costs).seconds;
    };
    const auto in_order = [&](auto order_of) {
        std::vector<exchange_plan> all;
        for (const exchange_plan& p : plans)
            all.push_back(ordered(p, nodes, order_of(static_cast<std::size_t>(p.rank))));
        return seconds(all);
    };
    const auto rotated = [&](std::size_t window) {
        return in_order([&](std::size_t n) {
            return rotated_order(nodes, static_cast<node_id>(n), window);
        });
    };
    const auto open_shop = [&](std::size_t window) {
        const auto orders = open_shop_orders({rows.data(), count, count}, window);
        return in_order([&](std::size_t n) { return orders[n]; });
    };
    const std::string name = std::to_string(count) + " nodes, " +
                             (skew > 0 ? "Zipf 0.5" : "uniform") +
                             (loss > 0 ? ", fan-in loss: " : ", no loss: ");
    const double plain = seconds(plans);
    const auto of_bound = [&](const std::string& what, double value,
                              std::optional<double> target) {
        report.add({name + what, value * 1e3, "ms", "the bandwidth bound", bound * 1e3,
                    bound / value, target});
    };
    const auto in_models_range = loss > 0 ? std::optional<double>(1 / 1.17) : std::nullopt;
    of_bound("unscheduled", plain, std::nullopt);
    of_bound("rotated, window 4", rotated(4), in_models_range);
    of_bound("open-shop, window 4", open_shop(4), in_models_range);
    if (loss > 0) return;
    const double value = rotated(0);
    report.add({name + "rotated, no window", value * 1e3, "ms", "unscheduled", plain * 1e3,
                plain / value, 1 / 1.02});
}

void time_it(bench::report& report, std::size_t nodes, double model_ms) {
    std::mt19937_64 random(1);
    std::vector<std::int64_t> rows(nodes * nodes);
    for (auto& r : rows) r = static_cast<std::int64_t>(500 + random() % 1000);
    double least = std::numeric_limits<double>::max();
    std::size_t sum = 0;
    for (int round = 0; round < 3; ++round) {
        const auto start = std::chrono::steady_clock::now();
        sum += open_shop_orders({rows.data(), nodes, nodes}).size();
        const std::chrono::duration<double, std::milli> took =
            std::chrono::steady_clock::now() - start;
        least = std::min(least, took.count());
    }
    report.add({"open-shop order of " + std::to_string(sum / 3) + " nodes: time", least, "ms",
                "an earlier model of the same", model_ms, model_ms / least, std::nullopt});
}

}  // namespace

int main(int argc, char** argv) {
    bench::report report("order", argc, argv);
    for (const double loss : {0.0, 0.05})
        for (const std::size_t nodes : {8u, 32u, 64u})
            for (const double skew : {0.0, 0.5}) compare(report, nodes, skew, loss);
    time_it(report, 32, 0.07);
    time_it(report, 128, 1.7);
    time_it(report, 512, 59);
    return report.finish();
}
