#include "locmoe/plan/simulate.hpp"

#include <chrono>
#include <algorithm>
#include <cstddef>
#include <limits>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "locmoe/plan/direct.hpp"
#include "locmoe/plan/lower_bound.hpp"
#include "locmoe/plan/node_aggregated.hpp"
#include "locmoe/plan/plan_all.hpp"
#include "random_cases.hpp"

using namespace locmoe;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr flow exchange_plan::* all_flows[] = {&exchange_plan::dispatch, &exchange_plan::combine,
                                              &exchange_plan::pair_dispatch,
                                              &exchange_plan::pair_combine};
constexpr simulate_options exact{0};

/// Each rank's tokens to one expert each, `chosen[rank]`; expert e on rank e.
std::vector<exchange_plan> plans_of(const std::vector<std::vector<expert_id>>& chosen,
                                    const topology& nodes) {
    std::vector<assignment> assigned;
    for (const auto& experts : chosen) {
        routing r;
        r.token_count = experts.size();
        r.choice_count = 1;
        r.expert_count = chosen.size();
        r.chosen = experts;
        r.weights.assign(experts.size(), 1.0f);
        assigned.push_back(assign(r, {}));
    }
    return plan_all(direct{}, nodes, expert_placement::blocked(chosen.size(), chosen.size()),
                    assigned);
}

/// `tokens` tokens of every rank to every rank, itself included.
std::vector<std::vector<expert_id>> uniform(std::size_t ranks, std::size_t tokens) {
    std::vector<std::vector<expert_id>> chosen(ranks);
    for (auto& c : chosen)
        for (std::size_t i = 0; i < ranks * tokens; ++i)
            c.push_back(static_cast<expert_id>(i % ranks));
    return chosen;
}

std::vector<std::vector<expert_id>> all_to_rank_0(std::size_t ranks, std::size_t tokens) {
    return std::vector<std::vector<expert_id>>(ranks, std::vector<expert_id>(tokens, 0));
}

/// Each rank sends to rank 0 first, then to rank 1, ...
std::vector<exchange_plan> from_rank_0(std::vector<exchange_plan> plans) {
    for (exchange_plan& plan : plans) {
        auto& sends = plan.dispatch.phases[0].sends;
        std::sort(sends.begin(), sends.end(),
                  [](const segment& a, const segment& b) { return a.peer < b.peer; });
    }
    return plans;
}

double seconds(const std::vector<exchange_plan>& plans, std::size_t row_bytes,
               const topology& nodes, const cluster_costs& costs, simulate_options options = exact,
               flow exchange_plan::* which = &exchange_plan::dispatch) {
    return simulate(plans, which, row_bytes, nodes, costs, options).seconds;
}

cluster_costs without_overhead() {
    cluster_costs costs;
    costs.intra_node.overhead = costs.inter_node.overhead = 0;
    costs.pack_bandwidth = infinity;
    return costs;
}

cluster_costs any_costs(random_cases::generator& g) {
    cluster_costs costs;
    if (g.chance(0.3)) costs.intra_node.rank_bandwidth = infinity;
    if (g.chance(0.3)) costs.inter_node.rank_bandwidth = g.chance(0.5) ? 4e9 : infinity;
    if (g.chance(0.5)) costs.leaves = leaf_switches{1 + g.up_to(3), 20e9};
    if (g.chance(0.3)) costs.pack_bandwidth = 10e9;
    return costs;
}

}  // namespace

TEST_CASE("one message takes latency, overhead and its bytes, and packing on both sides",
          "[plan][simulate]") {
    cluster_costs costs;
    costs.pack_bandwidth = 50e9;
    const double bytes = 1000 * 4096;
    const auto plans = [&](const topology& nodes) {
        return plans_of({std::vector<expert_id>(1000, 1), {}, {}, {}}, nodes);
    };
    const topology apart = topology::uniform(4, 1);
    CHECK(seconds(plans(apart), 4096, apart, costs) ==
          Approx(2 * bytes / 50e9 + 1e-6 + 5e-6 + bytes / 12.5e9).epsilon(1e-12));
    const topology together = topology::single_node(4);
    CHECK(seconds(plans(together), 4096, together, costs) ==
          Approx(2 * bytes / 50e9 + 0.5e-6 + 2e-6 + bytes / 30e9).epsilon(1e-12));
    costs.leaves = leaf_switches{1, 5e9, 3e-6};
    CHECK(seconds(plans(apart), 4096, apart, costs) ==
          Approx(2 * bytes / 50e9 + 1e-6 + 8e-6 + bytes / 5e9).epsilon(1e-12));
    costs.leaves->nodes = 2;  // the two talk under one leaf
    CHECK(seconds(plans(apart), 4096, apart, costs) ==
          Approx(2 * bytes / 50e9 + 1e-6 + 5e-6 + bytes / 12.5e9).epsilon(1e-12));
    costs.inter_node.rank_bandwidth = 2e9;
    CHECK(seconds(plans(apart), 4096, apart, costs) ==
          Approx(2 * bytes / 50e9 + 1e-6 + 5e-6 + bytes / 2e9).epsilon(1e-12));
}

TEST_CASE("an exchange without rows, or with rows of no bytes, takes no time", "[plan][simulate]") {
    const topology nodes = topology::uniform(2, 2);
    CHECK(seconds(plans_of({{}, {}, {}, {}}, nodes), 4096, nodes, {}) == 0);
    CHECK(seconds(plans_of(uniform(4, 3), nodes), 0, nodes, {}) == 0);
}

TEST_CASE("all to one takes the receiving card's time, or one overhead a message",
          "[plan][simulate]") {
    const topology nodes = topology::uniform(9, 1);
    const auto large = plans_of(all_to_rank_0(9, 100), nodes);
    CHECK(seconds(large, 8192, nodes, without_overhead()) ==
          Approx(5e-6 + 8 * 100 * 8192 / 12.5e9).epsilon(1e-9));

    const auto small = plans_of(all_to_rank_0(9, 1), nodes);
    cluster_costs costs = without_overhead();
    costs.inter_node.overhead = 10e-6;  // sent all at once, taken in one by one
    const double flight = 8 * 8 / 12.5e9;
    CHECK(seconds(small, 8, nodes, costs) ==
          Approx(10e-6 + 5e-6 + flight + 7 * 10e-6).epsilon(1e-9));
}

TEST_CASE("uniform all to all takes its card's time, latency, and the overheads at most",
          "[plan][simulate]") {
    for (const auto& [count, ranks] : {std::pair{4, 1}, {4, 4}, {3, 8}, {8, 2}}) {
        const topology nodes =
            topology::uniform(static_cast<std::size_t>(count), static_cast<std::size_t>(ranks));
        const std::size_t p = nodes.rank_count();
        const auto plans = plans_of(uniform(p, 20), nodes);
        const double outside = static_cast<double>(p) - ranks;
        const double card = ranks * outside * 20 * 4096 / 12.5e9;
        CAPTURE(count, ranks);
        CHECK(seconds(plans, 4096, nodes, without_overhead()) == Approx(5e-6 + card).epsilon(1e-9));
        CHECK(lower_bound(plans, 4096, nodes, {}).nodes == Approx(card).epsilon(1e-12));

        cluster_costs costs = without_overhead();
        costs.intra_node.overhead = costs.inter_node.overhead = 2e-6;
        const double overheads = 2e-6 * static_cast<double>(p - 1);
        const double with_overhead = seconds(plans, 4096, nodes, costs);
        CHECK(with_overhead >= 2e-6 + 5e-6 + card);
        CHECK(with_overhead <= overheads + 5e-6 + card + 1e-12);
        // With nothing in the messages, the overheads are all that is left: once, since ranks begin
        // with different peers; twice if all began with rank 0 and the last rank heard last.
        const auto small = plans_of(uniform(p, 1), nodes);
        CHECK(seconds(small, 1, nodes, costs) == Approx(overheads + 5e-6).epsilon(0.001));
        CHECK(seconds(from_rank_0(small), 1, nodes, costs) > 1.6 * overheads + 5e-6);
        CHECK(seconds(from_rank_0(small), 1, nodes, costs) < 2 * overheads + 5e-6);
    }
}

TEST_CASE("no time is below what packing, a card or a rank needs", "[plan][simulate]") {
    for (std::uint32_t seed = 0; seed < 300; ++seed) {
        const auto job = random_cases::any_job(seed);
        random_cases::generator g(seed);
        const cluster_costs costs = any_costs(g);
        const std::size_t row_bytes = g.chance(0.5) ? 64 : 40'000;
        const simulate_options options{g.chance(0.5) ? 0 : 2e-3};
        CAPTURE(job.text, row_bytes, options.resolution);
        for (const bool aggregated : {false, true}) {
            const auto plans =
                aggregated ? plan_all(node_aggregated{}, job.nodes, job.placement, job.assigned)
                           : plan_all(direct{}, job.nodes, job.placement, job.assigned);
            for (const auto which : all_flows) {
                const simulated_exchange got =
                    simulate(plans, which, row_bytes, job.nodes, costs, options);
                std::vector<double> out(job.nodes.node_count(), 0), in(out);
                for (const exchange_plan& plan : plans) {
                    const auto r = static_cast<std::size_t>(plan.rank);
                    const flow& moved = plan.*which;
                    std::size_t packed = moved.deliver.from.size();
                    double outside = 0, before = 0;
                    for (std::size_t p = 0; p < moved.phases.size(); ++p) {
                        const phase_times& t = got.phases[r][p];
                        REQUIRE(t.ready >= before);
                        REQUIRE(t.posted >= t.ready);
                        REQUIRE(t.done >= t.posted);
                        REQUIRE(got.finished[r] >= t.done);
                        for (std::size_t q = 0; q < moved.phases[p].needs; ++q)
                            REQUIRE(t.ready >= got.phases[r][q].done);
                        before = t.posted;
                        packed += moved.phases[p].pack.from.size();
                        for (const segment& s : moved.phases[p].sends) {
                            const double bytes =
                                static_cast<double>(s.rows) * static_cast<double>(row_bytes);
                            REQUIRE(t.done >= t.ready + bytes / 30e9 + 2.5e-6);
                            if (s.tier != link_tier::inter_node) continue;
                            outside += bytes;
                            out[static_cast<std::size_t>(job.nodes.node_of(plan.rank))] += bytes;
                            in[static_cast<std::size_t>(job.nodes.node_of(s.peer))] += bytes;
                        }
                    }
                    REQUIRE(got.seconds >= got.finished[r]);
                    REQUIRE(got.finished[r] * 1.000001 >=
                            static_cast<double>(packed * row_bytes) / costs.pack_bandwidth);
                    REQUIRE(got.finished[r] >= outside / costs.inter_node.rank_bandwidth);
                }
                for (const double bytes : out) REQUIRE(got.seconds >= bytes / 12.5e9);
                for (const double bytes : in) REQUIRE(got.seconds >= bytes / 12.5e9);
            }
            for (const auto which : {&exchange_plan::dispatch, &exchange_plan::combine})
                REQUIRE(seconds(plans, row_bytes, job.nodes, costs, options, which) >=
                        lower_bound(plans, row_bytes, job.nodes, costs).seconds());
        }
    }
}

TEST_CASE("the same plans give the same times, to the bit, however they are listed",
          "[plan][simulate]") {
    for (std::uint32_t seed = 0; seed < 100; ++seed) {
        const auto job = random_cases::any_job(seed);
        random_cases::generator g(seed);
        auto plans = plan_all(node_aggregated{}, job.nodes, job.placement, job.assigned);
        const auto once = simulate(plans, &exchange_plan::dispatch, 4096, job.nodes, {});
        for (std::size_t i = 0; i < plans.size(); ++i)
            std::swap(plans[i], plans[g.up_to(plans.size() - 1)]);
        CAPTURE(job.text);
        REQUIRE(simulate(plans, &exchange_plan::dispatch, 4096, job.nodes, {}) == once);
    }
}

TEST_CASE("the numbers that ranks bear do not matter, where no message waits for another",
          "[plan][simulate]") {
    for (std::uint32_t seed = 0; seed < 100; ++seed) {
        random_cases::generator g(seed);
        const std::size_t ranks = 2 + g.up_to(7);
        const topology nodes = random_cases::any_topology(g, ranks);
        std::vector<std::vector<expert_id>> chosen(ranks);
        for (auto& c : chosen)
            for (std::size_t i = g.up_to(40); i > 0; --i)
                c.push_back(static_cast<expert_id>(g.up_to(ranks - 1)));
        std::vector<rank_id> renamed(ranks);
        for (std::size_t r = 0; r < ranks; ++r) renamed[r] = static_cast<rank_id>(r);
        for (std::size_t r = 0; r < ranks; ++r) std::swap(renamed[r], renamed[g.up_to(ranks - 1)]);
        std::vector<node_id> node_of(ranks);
        std::vector<std::vector<expert_id>> moved(ranks);
        for (std::size_t r = 0; r < ranks; ++r) {
            const auto to = static_cast<std::size_t>(renamed[r]);
            node_of[to] = nodes.node_of(static_cast<rank_id>(r));
            for (const expert_id e : chosen[r])
                moved[to].push_back(renamed[static_cast<std::size_t>(e)]);
        }
        const topology elsewhere = topology::from_node_of_rank(node_of);
        REQUIRE(seconds(plans_of(moved, elsewhere), 9000, elsewhere, without_overhead()) ==
                Approx(seconds(plans_of(chosen, nodes), 9000, nodes, without_overhead()))
                    .epsilon(1e-9));
    }
}

TEST_CASE("twice the bytes at twice the bandwidths take the same time", "[plan][simulate]") {
    for (std::uint32_t seed = 0; seed < 100; ++seed) {
        const auto job = random_cases::any_job(seed);
        random_cases::generator g(seed);
        const cluster_costs costs = any_costs(g);
        cluster_costs doubled = costs;
        for (double* bandwidth :
             {&doubled.intra_node.message_bandwidth, &doubled.intra_node.rank_bandwidth,
              &doubled.inter_node.nic_bandwidth, &doubled.inter_node.rank_bandwidth,
              &doubled.pack_bandwidth})
            *bandwidth *= 2;
        if (doubled.leaves) doubled.leaves->uplink_bandwidth *= 2;
        const auto plans = plan_all(node_aggregated{}, job.nodes, job.placement, job.assigned);
        CAPTURE(job.text);
        REQUIRE(simulate(plans, &exchange_plan::combine, 4096, job.nodes, costs) ==
                simulate(plans, &exchange_plan::combine, 8192, job.nodes, doubled));
        // Without latencies, time goes with the bytes.
        cluster_costs free = costs;
        free.intra_node.latency = free.inter_node.latency = 0;
        free.intra_node.overhead = free.inter_node.overhead = 0;
        if (free.leaves) free.leaves->latency = 0;
        REQUIRE(seconds(plans, 12288, job.nodes, free) ==
                Approx(3 * seconds(plans, 4096, job.nodes, free)).epsilon(1e-9));
    }
}

TEST_CASE("256 ranks that all talk to one another are simulated in seconds", "[plan][simulate]") {
    const topology nodes = topology::uniform(32, 8);
    random_cases::generator g(1);
    std::vector<std::vector<expert_id>> chosen(256);
    for (auto& c : chosen)
        for (std::size_t i = 0; i < 1024; ++i) c.push_back(static_cast<expert_id>(g.up_to(255)));
    const auto plans = plans_of(chosen, nodes);
    const auto begin = std::chrono::steady_clock::now();
    const double got = seconds(plans, 4096, nodes, {}, {});
    const double bound = lower_bound(plans, 4096, nodes, {}).seconds();
    CHECK(got > bound);
    CHECK(got < 1.1 * bound + 256e-6);
    CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(20));
}

TEST_CASE("what does not fit is refused before anything is simulated", "[plan][simulate]") {
    const topology nodes = topology::uniform(2, 2);
    auto plans = plans_of(uniform(4, 2), nodes);
    const auto run = [&](const cluster_costs& costs = {}, simulate_options options = {}) {
        return simulate(plans, &exchange_plan::dispatch, 64, nodes, costs, options);
    };
    CHECK_THROWS_AS(run({}, {-1}), argument_error);
    cluster_costs bad;
    bad.pack_bandwidth = 0;
    CHECK_THROWS_AS(run(bad), argument_error);
    auto one = plans.back();
    plans.pop_back();
    CHECK_THROWS_AS(run(), argument_error);
    plans.push_back(plans.front());
    CHECK_THROWS_AS(run(), argument_error);
    plans.back() = one;
    CHECK_NOTHROW(run());
    plans.back().dispatch.phases[0].receives[1].rows += 1;
    CHECK_THROWS_AS(run(), plan_error);
    plans.back() = one;
    plans.back().dispatch.phases[0].sends.pop_back();
    CHECK_THROWS_AS(run(), plan_error);
    plans.back() = one;
    plans.back().dispatch.phases[0].sends[0].peer = 9;
    CHECK_THROWS_AS(run(), plan_error);
}
