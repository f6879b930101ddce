#include "locmoe/plan/choose.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "locmoe/plan/describe.hpp"
#include "locmoe/plan/lower_bound.hpp"
#include "locmoe/plan/simulate.hpp"
#include "locmoe/plan/validate.hpp"
#include "random_cases.hpp"

using namespace locmoe;

namespace {

/// The sum of all ranks' loads of one strategy.
template <class Strategy>
row_loads summed_loads(const Strategy& strategy, const random_cases::job& job) {
    row_loads all(job.nodes, strategy.phase_shapes(job.nodes), job.nodes.node_count());
    for (std::size_t r = 0; r < job.assigned.size(); ++r)
        strategy.add_loads({static_cast<rank_id>(r), job.nodes, job.placement, job.assigned[r]},
                           all);
    return all;
}

struct crossed {
    std::int64_t rows_out = 0, rows_in = 0, messages_out = 0, messages_in = 0;
};

/// What the plan of a rank really does in its phases of the same name; all of them where `name` is "".
crossed count(const exchange_plan& plan, const std::string& name, link_tier tier) {
    crossed c;
    for (const phase& p : plan.dispatch.phases) {
        if (!name.empty() && p.name != name) continue;
        for (const segment& s : p.sends)
            if (s.tier == tier) c.rows_out += s.rows, ++c.messages_out;
        for (const segment& s : p.receives)
            if (s.tier == tier) c.rows_in += s.rows, ++c.messages_in;
    }
    return c;
}

/// Rows as in the plan, phase by phase and rank by rank. Messages too where their rows start on the
/// sender; where a relay puts several ranks' rows into one message, no fewer than there are.
template <class Strategy>
void check_loads(const Strategy& strategy, std::size_t relaying_from, bool phases_have_names) {
    std::int64_t rows_seen = 0;
    for (std::uint32_t seed = 0; seed < 600; ++seed) {
        const auto job = random_cases::any_job(seed, 12);
        INFO(strategy.name() << ", " << job.text);
        const row_loads loads = summed_loads(strategy, job);
        const auto plans = plan_all(strategy, job.nodes, job.placement, job.assigned);
        for (std::size_t p = 0; p < loads.phases().size(); ++p)
            for (const exchange_plan& plan : plans) {
                const phase_shape& shape = loads.phases()[p];
                INFO(shape.name << " on rank " << plan.rank);
                const crossed real =
                    count(plan, phases_have_names ? shape.name : "", shape.tier);
                REQUIRE(loads.at(p, plan.rank, row_loads::rows_out) == real.rows_out);
                REQUIRE(loads.at(p, plan.rank, row_loads::rows_in) == real.rows_in);
                const auto out = loads.messages(p, plan.rank, row_loads::messages_out);
                const auto in = loads.messages(p, plan.rank, row_loads::messages_in);
                if (p < relaying_from) {
                    REQUIRE(out == real.messages_out);
                    REQUIRE(in == real.messages_in);
                } else {
                    REQUIRE(out >= real.messages_out);
                    REQUIRE(in >= real.messages_in);
                }
                rows_seen += real.rows_out;
            }
    }
    CHECK(rows_seen > 1000);
}

/// `experts` experts, one on each of as many ranks from 0 on or `experts / ranks` on each; chosen
/// without repetition, expert e with a weight of (e' + 1)^-skew, e' being scattered over the ranks.
std::vector<assignment> popular(std::size_t ranks, std::size_t tokens, std::size_t choices,
                                std::size_t experts, double skew) {
    std::mt19937 random(5);
    std::vector<double> weight(experts);
    for (std::size_t e = 0; e < experts; ++e)
        weight[e * 37 % experts] = std::pow(static_cast<double>(e + 1), -skew);
    std::discrete_distribution<expert_id> draw(weight.begin(), weight.end());
    std::vector<assignment> all;
    for (std::size_t r = 0; r < ranks; ++r) {
        routing decided;
        decided.token_count = tokens;
        decided.choice_count = choices;
        decided.expert_count = experts;
        decided.weights.assign(tokens * choices, 1.0f);
        for (std::size_t t = 0; t < tokens; ++t) {
            std::vector<bool> chosen(experts, false);
            for (std::size_t slot = 0; slot < choices; ++slot) {
                expert_id e = draw(random);
                while (chosen[static_cast<std::size_t>(e)]) e = draw(random);
                chosen[static_cast<std::size_t>(e)] = true;
                decided.chosen.push_back(e);
            }
        }
        all.push_back(assign(decided));
    }
    return all;
}

}  // namespace

TEST_CASE("the loads of a strategy are what its plans send and receive", "[plan]") {
    check_loads(direct{}, 2, false);
    check_loads(node_aggregated{}, 2, true);
    check_loads(store_and_forward{.radix = 2}, 0, true);
    check_loads(store_and_forward{.radix = 3}, 0, true);
}

TEST_CASE("node_balanced is priced with each node's load evened out", "[plan]") {
    for (std::uint32_t seed = 0; seed < 300; ++seed) {
        const auto job = random_cases::any_job(seed, 12);
        INFO(job.text);
        const node_balanced strategy;
        const row_loads loads = strategy.settle(summed_loads(strategy, job));
        const auto plans = plan_all(strategy, job.nodes, job.placement, job.assigned);
        for (const exchange_plan& plan : plans) {
            const auto sent = loads.at(1, plan.rank, row_loads::rows_out);
            const auto real = count(plan, "to relays", link_tier::inter_node).rows_out;
            REQUIRE(sent >= real);
            REQUIRE(sent <= real + 1);
        }
    }
}

TEST_CASE("chunks share out the rows of node_aggregated", "[plan]") {
    const auto job = random_cases::job_on(9, 4);
    const node_aggregated whole;
    const node_aggregated cut{.chunks = 3};
    const row_loads all = summed_loads(whole, job);
    const row_loads part = cut.settle(summed_loads(cut, job));
    const auto plans = plan_all(cut, job.nodes, job.placement, job.assigned);
    REQUIRE(part.phases().size() == plans[0].dispatch.phases.size());
    for (std::size_t p = 0; p < part.phases().size(); ++p) {
        CHECK(part.phases()[p].name == plans[0].dispatch.phases[p].name);
        const std::size_t from = p == 5 ? 1 : p == 6 || p % 2 == 1 ? 2 : 0;
        for (rank_id r = 0; r < 9; ++r) {
            const auto rows = all.at(from, r, row_loads::rows_out);
            CHECK(part.at(p, r, row_loads::rows_out) == (from == 1 ? rows : (rows + 2) / 3));
        }
    }
}

TEST_CASE("prices of what may be chosen are within an eighth of the simulated time", "[plan]") {
    struct cell {
        std::size_t nodes, tokens, choices, row_bytes;
        double skew;
    };
    // Exchanges of some size: in tiny ones the order in which ranks post counts as much.
    for (const cell& c : {cell{4, 256, 1, 2048, 0}, cell{4, 256, 2, 2048, 1}, cell{6, 128, 8, 4096, 0},
                          cell{6, 128, 8, 4096, 1}, cell{3, 512, 4, 512, 0.5}}) {
        const auto nodes = topology::uniform(c.nodes, 4);
        const std::size_t ranks = nodes.rank_count();
        const std::size_t experts = 2 * ranks;
        const auto placement = expert_placement::blocked(experts, ranks);
        const auto assigned = popular(ranks, c.tokens, c.choices, experts, c.skew);
        plan_options options{.row_bytes = c.row_bytes, .costs = {}};
        options.costs.leaves = leaf_switches{.nodes = 2, .uplink_bandwidth = 15e9, .latency = 1e-6};
        for (const bool leaves : {true, false}) {
            if (!leaves) options.costs.leaves.reset();
            all_strategies().for_each([&](const auto& strategy, std::size_t) {
                const auto plans = plan_all(strategy, nodes, placement, assigned);
                const double real = simulate(plans, &exchange_plan::dispatch, c.row_bytes, nodes,
                                             options.costs)
                                        .seconds;
                const auto choice =
                    *best_plan_all(nodes, placement, assigned, options)[0].choice;
                for (const cost_estimate& e : choice.candidates) {
                    if (e.strategy != strategy.name() || !e.declined.empty()) continue;
                    INFO(e.strategy << ", " << c.nodes << " nodes, T " << c.tokens << ", k "
                                    << c.choices << ", skew " << c.skew << ", leaves " << leaves
                                    << ": priced " << static_cast<double>(e.nanoseconds) * 1e-6
                                    << " ms, simulated " << real * 1e3);
                    const double ratio = static_cast<double>(e.nanoseconds) * 1e-9 / real;
                    CHECK(ratio > 0.875);
                    // Cut into too many chunks, an exchange may look worse than it is.
                    if (e.nanoseconds * 5 <= choice.candidates[0].nanoseconds * 6)
                        CHECK(ratio < 1.125);
                }
            });
        }
    }
}

TEST_CASE("the price knows what a card loses when many nodes send to it at once", "[plan]") {
    const auto nodes = topology::uniform(8, 2);
    const auto placement = expert_placement::blocked(16, 16);
    const auto assigned = popular(16, 512, 2, 16, 0);
    cluster_costs costs;
    costs.inter_node.fan_in_loss = 0.2;
    costs.inter_node.fan_in_free = 2;
    const auto plans = plan_all(node_aggregated{}, nodes, placement, assigned);
    const double real = simulate(plans, &exchange_plan::dispatch, 8192, nodes, costs).seconds;
    const double lossless = simulate(plans, &exchange_plan::dispatch, 8192, nodes, {}).seconds;
    REQUIRE(real > 1.5 * lossless);
    row_loads loads(nodes, node_aggregated{}.phase_shapes(nodes), nodes.node_count());
    std::vector<std::int64_t> expert_rows;
    for (const exchange_plan& plan : plans) {
        const auto& own = assigned[static_cast<std::size_t>(plan.rank)];
        node_aggregated{}.add_loads({plan.rank, nodes, placement, own}, loads);
        expert_rows.push_back(static_cast<std::int64_t>(plan.expert_row_count()));
    }
    const cost_estimate priced = price("node_aggregated", loads, expert_rows, 8192, costs);
    CHECK(static_cast<double>(priced.nanoseconds) * 1e-9 / real == Approx(1).margin(0.125));
}

TEST_CASE("an order with a window is chosen where fan-in makes it cheaper and only there", "[plan]") {
    const auto seconds = [](const std::vector<exchange_plan>& plans, std::size_t row_bytes,
                            const topology& nodes, const cluster_costs& costs) {
        return simulate(plans, &exchange_plan::dispatch, row_bytes, nodes, costs).seconds;
    };
    std::size_t ordered_plans = 0, twice_as_fast = 0;
    for (const auto& [count, ranks] :
         {std::pair<std::size_t, std::size_t>{3, 2}, {4, 4}, {8, 2}, {12, 1}})
        for (const double skew : {0.0, 1.0})
            for (const std::size_t row_bytes : {64u, 1024u, 8192u})
                for (const std::size_t choices : {1u, 4u}) {
                    const auto nodes = topology::uniform(count, ranks);
                    const std::size_t experts = 2 * count * ranks;
                    const auto placement = expert_placement::blocked(experts, count * ranks);
                    const auto assigned = popular(count * ranks, 512, choices, experts, skew);
                    CAPTURE(count, ranks, skew, row_bytes, choices);
                    for (const auto& [loss, free] :
                         {std::pair{0.0, 1.0}, {0.05, 1.0}, {0.3, 1.0}, {0.3, 2.5}, {0.5, 11.0}}) {
                        plan_options options{.row_bytes = row_bytes, .costs = {}};
                        options.costs.inter_node.fan_in_loss = loss;
                        options.costs.inter_node.fan_in_free = free;
                        CAPTURE(loss, free);
                        const auto plans = best_plan_all(nodes, placement, assigned, options,
                                                         candidates(direct{}));
                        REQUIRE_NOTHROW(validate(plans));
                        const cost_estimate& why = plans[0].choice->chosen();
                        for (const exchange_plan& plan : plans)
                            REQUIRE(plan.strategy == why.title());
                        const auto plain = plan_all(direct{}, nodes, placement, assigned);
                        if (why.window == 0) {
                            for (std::size_t r = 0; r < plans.size(); ++r)
                                REQUIRE(plans[r].dispatch == plain[r].dispatch);
                            continue;
                        }
                        REQUIRE(loss > 0);
                        REQUIRE(why.window == (free < 2 ? 2 : static_cast<std::size_t>(free)));
                        REQUIRE(why.window < count - 1);
                        const double real = seconds(plans, row_bytes, nodes, options.costs);
                        const double before = seconds(plain, row_bytes, nodes, options.costs);
                        CHECK(real < 1.02 * before);
                        const double priced = static_cast<double>(why.nanoseconds) * 1e-9 / real;
                        CHECK(priced > 0.75);
                        CHECK(priced < 1.5);  // rather too high than too low
                        ++ordered_plans;
                        twice_as_fast += before > 2 * real;
                    }
                }
    CHECK(ordered_plans > 20);
    CHECK(twice_as_fast > 0);
}

TEST_CASE("a chosen order is told with its strategy", "[plan]") {
    const auto nodes = topology::uniform(12, 1);
    plan_options options{.row_bytes = 8192, .costs = {}};
    options.costs.inter_node.fan_in_loss = 0.3;
    const auto plans = best_plan_all(nodes, expert_placement::blocked(12, 12),
                                     popular(12, 512, 2, 12, 0), options, candidates(direct{}));
    const std::string name = "direct, rotated order, window 2";
    CHECK(plans[3].strategy == name);
    CHECK(describe(plans[3], 8192).find("chosen for rows of 8192 bytes: " + name + ", estimated") !=
          std::string::npos);
    CHECK(describe_json(plans[3], 8192).find("\"candidates\": [{\"strategy\": \"" + name + "\"") !=
          std::string::npos);
}

TEST_CASE("the cheapest strategy is chosen, and every rank says why", "[plan]") {
    std::map<std::string, std::size_t> chosen;
    for (std::uint32_t seed = 0; seed < 400; ++seed) {
        const auto job = random_cases::any_job(seed, 12);
        const std::size_t row_bytes = std::size_t{16} << seed % 16;
        INFO(job.text << ", " << row_bytes << " bytes");
        const plan_options options{.row_bytes = row_bytes, .costs = {}};
        const auto plans = best_plan_all(job.nodes, job.placement, job.assigned, options);
        REQUIRE_NOTHROW(validate(plans));
        const plan_choice& why = *plans[0].choice;
        REQUIRE(why.candidates.size() == decltype(all_strategies())::count);
        REQUIRE(why.candidates[0].strategy == plans[0].strategy);
        REQUIRE(why.candidates[0].declined.empty());
        for (std::size_t i = 1; i < why.candidates.size(); ++i) {
            REQUIRE(why.candidates[i].declined.empty() <= why.candidates[i - 1].declined.empty());
            if (!why.candidates[i].declined.empty()) continue;
            const std::int64_t margin = plans[0].strategy == "direct" ? 3 : 1;
            REQUIRE(why.candidates[i].nanoseconds * (100 + margin) >=
                    why.candidates[0].nanoseconds * 100);
            if (i > 1)
                REQUIRE(why.candidates[i].nanoseconds >= why.candidates[i - 1].nanoseconds);
        }
        for (const exchange_plan& plan : plans) REQUIRE(plan.choice == plans[0].choice);

        // A card that one rank cannot fill would bound the nodes more tightly than the card alone.
        cluster_costs costs = options.costs;
        costs.inter_node.rank_bandwidth = std::numeric_limits<double>::infinity();
        const double bound = lower_bound(plans, row_bytes, job.nodes, costs).nodes;
        REQUIRE(static_cast<double>(why.lower_bound) == Approx(bound * 1e9).margin(1));
        ++chosen[plans[0].strategy];
    }
    CHECK(chosen.size() >= 3);  // not always the same
}

TEST_CASE("of equal prices the first candidate is taken and the others stay in order of price",
          "[plan]") {
    const auto nodes = topology::uniform(6, 4);
    const auto choice =
        *best_plan_all(nodes, expert_placement::blocked(24, 24), popular(24, 1024, 8, 24, 0),
                       {.row_bytes = 8192, .costs = {}},
                       candidates(node_aggregated{.chunks = 4}, node_aggregated{.chunks = 8},
                                  node_aggregated{.chunks = 16}))[0]
             .choice;
    CHECK(choice.chosen().strategy == "node_aggregated, 4 chunks");
    CHECK(choice.candidates[1].nanoseconds < choice.chosen().nanoseconds);
    CHECK(choice.candidates[1].nanoseconds <= choice.candidates[2].nanoseconds);
    CHECK(choice.candidates[2].nanoseconds < choice.chosen().nanoseconds);
}

TEST_CASE("what was chosen is the fastest of all, or within 5 percent of it, on the simulated clock",
          "[plan]") {
    for (const double skew : {0.0, 1.0})
        for (const std::size_t row_bytes : {std::size_t{64}, std::size_t{1024}, std::size_t{8192}})
            for (const std::size_t tokens : {std::size_t{16}, std::size_t{256}})
                for (const std::size_t choices : {std::size_t{1}, std::size_t{8}}) {
                    const auto nodes = topology::uniform(6, 4);
                    const auto placement = expert_placement::blocked(24, 24);
                    const auto assigned = popular(24, tokens, choices, 24, skew);
                    const plan_options options{.row_bytes = row_bytes, .costs = {}};
                    const auto time = [&](const std::vector<exchange_plan>& plans) {
                        return simulate(plans, &exchange_plan::dispatch, row_bytes, nodes,
                                        options.costs)
                            .seconds;
                    };
                    const auto plans = best_plan_all(nodes, placement, assigned, options);
                    double least = std::numeric_limits<double>::infinity();
                    all_strategies().for_each([&](const auto& strategy, std::size_t) {
                        const double t = time(plan_all(strategy, nodes, placement, assigned));
                        least = t < least ? t : least;
                    });
                    INFO(plans[0].strategy << ", skew " << skew << ", " << row_bytes
                                           << " bytes, T " << tokens << ", k " << choices);
                    CHECK(time(plans) <= 1.05 * least);
                }
}

TEST_CASE("where no strategy fits, the first serves and the plan says that it is a fallback",
          "[plan]") {
    const auto nodes = topology::single_node(2);
    const auto placement = expert_placement::blocked(2, 2);
    const auto assigned = popular(2, 4, 1, 2, 0);
    const plan_options options{.row_bytes = 8, .costs = {}};
    const auto plans = best_plan_all(nodes, placement, assigned, options,
                                     candidates(node_aggregated{}, node_balanced{}));
    CHECK(plans[0].strategy == "node_aggregated");
    CHECK(plans[0].choice->chosen().declined == "there is one node");
    const std::string text = describe(plans[0], 8);
    CHECK(text.find("chosen for rows of 8 bytes: node_aggregated, as a fallback") !=
          std::string::npos);
    CHECK(text.find("declined: node_balanced, for there is one node") != std::string::npos);
}

TEST_CASE("a chosen plan describes its estimate, the runner-up and the lower bound", "[plan]") {
    const auto nodes = topology::uniform(4, 2);
    const auto placement = expert_placement::blocked(8, 8);
    const plan_options options{.row_bytes = 4096, .costs = {}};
    auto plans = best_plan_all(nodes, placement, popular(8, 64, 2, 8, 0), options);
    plan_choice why;
    why.row_bytes = 4096;
    why.lower_bound = 200000;
    why.candidates = {{"direct", 250000, {}, 0, ""},
                      {"node_aggregated", 300000, {}, 0, ""},
                      {"store_and_forward, radix 4", 0, {}, 0, "there are no more nodes than its radix"}};
    plans[0].choice = why;
    const std::string text = describe(plans[0], 4096);
    const std::string expected =
        "  chosen for rows of 4096 bytes: direct, estimated 0.250000 ms, 1.250000 times the lower "
        "bound of 0.200000 ms\n"
        "    runner-up: node_aggregated, 0.300000 ms\n"
        "    declined: store_and_forward, radix 4, for there are no more nodes than its radix\n";
    INFO(text);
    CHECK(text.find(expected) != std::string::npos);
    why.candidates[1].nanoseconds = 249000;
    plans[0].choice = why;
    CHECK(describe(plans[0], 4096)
              .find("runner-up: node_aggregated, 0.249000 ms, equal as far as prices tell\n") !=
          std::string::npos);
    why.candidates[1].nanoseconds = 300000;
    plans[0].choice = why;
    const std::string json = describe_json(plans[0], 4096);
    INFO(json);
    CHECK(json.find(R"("choice": {"row_bytes": 4096, "lower_bound_nanoseconds": 200000, )"
                    R"("candidates": [{"strategy": "direct", "nanoseconds": 250000}, )"
                    R"({"strategy": "node_aggregated", "nanoseconds": 300000}, )"
                    R"({"strategy": "store_and_forward, radix 4", "declined": )"
                    R"("there are no more nodes than its radix"}]}, "dispatch")") !=
          std::string::npos);
}

TEST_CASE("sums of another length and bad costs are refused", "[plan]") {
    const auto nodes = topology::uniform(2, 2);
    const plan_options options{.row_bytes = 8, .costs = {}};
    const std::vector<std::int64_t> sums(5, 0);
    CHECK_THROWS_AS(choose(all_strategies(), nodes, options, sums), argument_error);
    const std::vector<std::int64_t> short_of_loads(4 + 2 * 2, 0);
    CHECK_THROWS_AS(choose(all_strategies(), nodes, options, short_of_loads), argument_error);
    plan_options wrong = options;
    wrong.costs.inter_node.nic_bandwidth = 0;
    CHECK_THROWS_AS(choose(all_strategies(), nodes, wrong, sums), argument_error);
}
