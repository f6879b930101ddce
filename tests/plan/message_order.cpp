#include "locmoe/plan/message_order.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "catch.hpp"
#include "locmoe/plan/describe.hpp"
#include "locmoe/plan/direct.hpp"
#include "locmoe/plan/lower_bound.hpp"
#include "locmoe/plan/node_aggregated.hpp"
#include "locmoe/plan/node_balanced.hpp"
#include "locmoe/plan/plan_all.hpp"
#include "locmoe/plan/simulate.hpp"
#include "locmoe/plan/store_and_forward.hpp"
#include "locmoe/plan/validate.hpp"
#include "random_cases.hpp"

using namespace locmoe;

namespace {

std::vector<exchange_plan> rotated(std::vector<exchange_plan> plans, const topology& nodes,
                                   std::size_t window) {
    for (exchange_plan& p : plans)
        p = ordered(p, nodes, rotated_order(nodes, nodes.node_of(p.rank), window));
    return plans;
}

/// Nodes of the peers, in the order of their messages, the own node left out.
std::vector<node_id> nodes_sent_to(const phase& p, const topology& nodes) {
    std::vector<node_id> to;
    for (std::size_t i = 0; i < p.sends.size(); ++i)
        if (p.nth_send(i).tier == link_tier::inter_node)
            to.push_back(nodes.node_of(p.nth_send(i).peer));
    return to;
}

/// `tokens` of each rank to experts drawn anew, one expert a rank.
std::vector<exchange_plan> drawn(const topology& nodes, std::size_t tokens, double skew) {
    random_cases::generator g(11);
    const std::size_t ranks = nodes.rank_count();
    std::vector<assignment> assigned;
    for (std::size_t r = 0; r < ranks; ++r) {
        routing decided;
        decided.token_count = tokens;
        decided.choice_count = 1;
        decided.expert_count = ranks;
        for (std::size_t t = 0; t < tokens; ++t)
            decided.chosen.push_back(
                static_cast<expert_id>(g.chance(skew) ? g.up_to(3) : g.up_to(ranks - 1)));
        decided.weights.assign(tokens, 1.0f);
        assigned.push_back(assign(decided));
    }
    return plan_all(direct{}, nodes, expert_placement::blocked(ranks, ranks), assigned);
}

}  // namespace

TEMPLATE_TEST_CASE("an order moves no row, and combine has that of dispatch turned round",
                   "[plan][order]", direct, node_aggregated, node_balanced, store_and_forward) {
    for (std::uint32_t seed = 0; seed < 300; ++seed) {
        const auto job = random_cases::any_job(seed);
        INFO(job.text);
        random_cases::generator g(seed);
        const auto plans = plan_all(TestType{}, job.nodes, job.placement, job.assigned);
        auto in_order = plans;
        for (exchange_plan& p : in_order)
            p = ordered(p, job.nodes,
                        random_cases::any_order(g, job.nodes, job.nodes.node_of(p.rank), 2));
        REQUIRE_NOTHROW(validate(in_order));
        for (std::size_t r = 0; r < plans.size(); ++r) {
            const flow back = transpose(in_order[r].dispatch);
            for (std::size_t i = 0; i < back.phases.size(); ++i) {
                const phase& turned = in_order[r].combine.phases[i];
                REQUIRE(back.phases[i].send_order == turned.send_order);
                REQUIRE(back.phases[i].receive_order == turned.receive_order);
                REQUIRE(turned.sends == plans[r].combine.phases[i].sends);
                REQUIRE(turned.receives == plans[r].combine.phases[i].receives);
                REQUIRE(turned.pack == plans[r].combine.phases[i].pack);
            }
            REQUIRE(in_order[r].traffic(64) == plans[r].traffic(64));
        }
    }
}

TEST_CASE("any orders and windows come to an end, no sooner than the bound", "[plan][order]") {
    for (std::uint32_t seed = 0; seed < 300; ++seed) {
        const auto job = random_cases::any_job(seed);
        INFO(job.text);
        random_cases::generator g(seed);
        auto plans = seed % 2 == 0
                         ? plan_all(direct{}, job.nodes, job.placement, job.assigned)
                         : plan_all(node_balanced{}, job.nodes, job.placement, job.assigned);
        const std::size_t window = 1 + g.up_to(2);
        for (exchange_plan& p : plans)
            p = ordered(p, job.nodes,
                        random_cases::any_order(g, job.nodes, job.nodes.node_of(p.rank), window));
        for (const auto which : {&exchange_plan::dispatch, &exchange_plan::combine}) {
            const auto got = simulate(plans, which, 4096, job.nodes, {});  // asserts that all ended
            REQUIRE(got.seconds >= lower_bound(plans, 4096, job.nodes, {}).seconds());
        }
    }
}

TEST_CASE("rotated sends go to the next node first, and meet receives in the same order",
          "[plan][order]") {
    const topology nodes = topology::from_node_of_rank({0, 0, 0, 1, 2, 2, 3});  // uneven
    const auto plans = rotated(drawn(nodes, 200, 0), nodes, 2);
    for (const exchange_plan& p : plans) {
        const auto own = static_cast<std::size_t>(nodes.node_of(p.rank));
        std::size_t before = 0;
        for (const node_id n : nodes_sent_to(p.dispatch.phases[0], nodes)) {
            const std::size_t distance = (static_cast<std::size_t>(n) + 4 - own) % 4;
            CHECK(distance >= before);
            before = distance;
        }
    }
    // Rank 6, alone on node 3, hears from node 2's two ranks, then node 1's, then node 0's three,
    // from which it is the first, the last and the second to be given to.
    const phase& in = plans[6].dispatch.phases[0];
    std::vector<rank_id> from;
    for (std::size_t i = 0; i < in.receives.size(); ++i) from.push_back(in.nth_receive(i).peer);
    CHECK(from == std::vector<rank_id>{4, 5, 3, 0, 2, 1});
    CHECK(in.window.messages == 2 * 3);  // two nodes of at most three messages
    CHECK(in.window.bytes == std::size_t{2} << 20);
    CHECK(plans[0].dispatch.phases[0].window.bytes == (std::size_t{2} << 20) / 3);
}

TEST_CASE("a window opens as many receives as its bytes ask for", "[plan][order]") {
    phase p;
    p.receives = {{1, link_tier::inter_node, 0, 10},
                  {2, link_tier::intra_node, 10, 1000},
                  {3, link_tier::inter_node, 1010, 30}};
    CHECK(p.open_receives(100) == 0);
    p.window = {1, 0};
    CHECK(p.open_receives(100) == 1);
    p.window = {1, 2001};  // of 2,000 bytes each by their mean
    CHECK(p.open_receives(100) == 2);
    CHECK(p.open_receives(1000) == 1);
    CHECK(p.open_receives(0) == 1);
}

TEST_CASE("a rotated order without a window costs 2 per cent at most", "[plan][order]") {
    for (const auto& [count, ranks] : {std::pair<std::size_t, std::size_t>{8, 4}, {16, 2}, {12, 1}})
        for (const double skew : {0.0, 0.3})
            for (const std::size_t row_bytes : {64u, 1024u, 16'384u}) {
                const topology nodes = topology::uniform(count, ranks);
                const auto plans = drawn(nodes, 1000, skew);
                const auto seconds = [&](const std::vector<exchange_plan>& of) {
                    return simulate(of, &exchange_plan::dispatch, row_bytes, nodes, {}, {0})
                        .seconds;
                };
                CAPTURE(count, ranks, skew, row_bytes);
                CHECK(seconds(rotated(plans, nodes, 0)) <= 1.02 * seconds(plans));
            }
}

TEST_CASE("where many senders to one cost bandwidth, a window wins it back", "[plan][order]") {
    const topology nodes = topology::uniform(16, 1);
    const auto plans = drawn(nodes, 4000, 0);
    cluster_costs costs;
    costs.inter_node.fan_in_loss = 0.05;
    costs.inter_node.fan_in_free = 4;
    const auto seconds = [&](const std::vector<exchange_plan>& of) {
        return simulate(of, &exchange_plan::dispatch, 16'384, nodes, costs).seconds;
    };
    const double bound = lower_bound(plans, 16'384, nodes, costs).seconds();
    CHECK(seconds(plans) > 1.4 * bound);
    CHECK(seconds(rotated(plans, nodes, 4)) < 1.17 * bound);
}

TEST_CASE("a plan says which order it has", "[plan][order]") {
    const topology nodes = topology::uniform(3, 1);
    const auto plans = drawn(nodes, 10, 0);
    const auto told = [&](std::size_t window) {
        return describe(rotated(plans, nodes, window)[1], 64);
    };
    CHECK(told(0).find("direct, rotated order\n") != std::string::npos);
    CHECK(told(4).find("direct, rotated order, window 4\n") != std::string::npos);
}

TEST_CASE("what is no order of the other nodes is refused", "[plan][order]") {
    const topology nodes = topology::uniform(3, 1);
    const auto plan = drawn(nodes, 10, 0)[1];
    CHECK_THROWS_AS(rotated_order(nodes, 3), argument_error);
    CHECK_THROWS_AS(rotated_order(nodes, -1), argument_error);
    for (const std::vector<node_id>& bad :
         std::vector<std::vector<node_id>>{{}, {0}, {0, 0}, {0, 1}, {0, 2, 0}, {0, 3}, {0, -1}}) {
        auto order = rotated_order(nodes, 1);
        order.from = bad;
        CHECK_THROWS_AS(ordered(plan, nodes, order), argument_error);
    }
    CHECK_THROWS_AS(ordered(plan, topology::uniform(4, 1), rotated_order(nodes, 1)),
                    argument_error);
}
