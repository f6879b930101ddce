#include "locmoe/plan/lower_bound.hpp"

#include <cstddef>
#include <limits>
#include <set>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "locmoe/plan/direct.hpp"
#include "locmoe/plan/node_aggregated.hpp"
#include "locmoe/plan/plan_all.hpp"
#include "random_cases.hpp"

using namespace locmoe;

namespace {

/// Most rows into or out of one place; `place_of` says where a rank is. By sets, token by token.
template <class PlaceOf>
double most_rows(const random_cases::job& job, std::size_t places, PlaceOf place_of) {
    std::vector<double> in(places, 0), out(places, 0);
    for (std::size_t r = 0; r < job.assigned.size(); ++r) {
        const assignment& a = job.assigned[r];
        const std::size_t home = place_of(static_cast<rank_id>(r));
        for (std::size_t t = 0; t < a.token_count; ++t) {
            std::set<std::size_t> wanted;
            for (std::size_t slot = 0; slot < a.choice_count; ++slot) {
                const expert_id e = a.expert[t * a.choice_count + slot];
                if (e != no_expert) wanted.insert(place_of(job.placement.rank_of(e)));
            }
            wanted.erase(home);
            for (const std::size_t to : wanted) ++in[to];
            out[home] += static_cast<double>(wanted.size());
        }
    }
    double most = 0;
    for (std::size_t i = 0; i < places; ++i) {
        if (in[i] > most) most = in[i];
        if (out[i] > most) most = out[i];
    }
    return most;
}

}  // namespace

TEST_CASE("the bound counts each token once to each node and leaf that wants it", "[plan]") {
    for (std::uint32_t seed = 0; seed < 500; ++seed) {
        const auto job = random_cases::any_job(seed);
        const auto plans = plan_all(direct{}, job.nodes, job.placement, job.assigned);
        cluster_costs costs;
        costs.inter_node.rank_bandwidth = std::numeric_limits<double>::infinity();
        costs.leaves = leaf_switches{2, 20e9};
        const exchange_bound bound = lower_bound(plans, 4096, job.nodes, costs);
        const auto node = [&](rank_id r) { return static_cast<std::size_t>(job.nodes.node_of(r)); };
        const auto leaf = [&](rank_id r) { return node(r) / 2; };
        CAPTURE(job.text);
        REQUIRE(bound.nodes ==
                Approx(most_rows(job, job.nodes.node_count(), node) * 4096 / 12.5e9));
        REQUIRE(bound.leaves == Approx(most_rows(job, job.nodes.node_count(), leaf) * 4096 / 20e9));
        REQUIRE(bound.seconds() >= bound.nodes);
        REQUIRE(bound.seconds() >= bound.leaves);
        REQUIRE(bound.seconds() >= bound.ranks);
    }
}

TEST_CASE("the bound is the routing's, not the strategy's", "[plan]") {
    for (std::uint32_t seed = 0; seed < 200; ++seed) {
        const auto job = random_cases::any_job(seed);
        auto plans = plan_all(direct{}, job.nodes, job.placement, job.assigned);
        const exchange_bound one = lower_bound(plans, 100, job.nodes, {});
        std::swap(plans.front(), plans.back());
        CHECK(lower_bound(plans, 100, job.nodes, {}).seconds() == one.seconds());
        const auto others = plan_all(node_aggregated{}, job.nodes, job.placement, job.assigned);
        const exchange_bound other = lower_bound(others, 100, job.nodes, {});
        REQUIRE(one.nodes == other.nodes);
        REQUIRE(one.ranks == other.ranks);
        REQUIRE(one.leaves == 0);
    }
}

TEST_CASE("a rank takes in a token once for all its experts, by all its links", "[plan]") {
    // One expert a rank, but two on rank 3; the tokens of rank 0 want ranks 1 and 3.
    const topology nodes = topology::uniform(2, 2);
    const auto placement = expert_placement::from_rank_of_expert({0, 1, 2, 3, 3}, 4);
    std::vector<assignment> assigned;
    for (std::size_t r = 0; r < 4; ++r) {
        routing decided;
        decided.token_count = r == 0 ? 10 : 0;
        decided.choice_count = 3;
        decided.expert_count = 5;
        for (std::size_t t = 0; t < decided.token_count; ++t)
            for (const expert_id e : {1, 3, 4}) {
                decided.chosen.push_back(e);
                decided.weights.push_back(1.0f);
            }
        assigned.push_back(assign(decided, {}));
    }
    const auto plans = plan_all(direct{}, nodes, placement, assigned);
    cluster_costs costs;
    costs.intra_node.rank_bandwidth = 30e9;
    costs.inter_node.rank_bandwidth = 10e9;
    costs.inter_node.nic_bandwidth = 15e9;
    exchange_bound bound = lower_bound(plans, 1000, nodes, costs);
    CHECK(bound.ranks == Approx(10 * 1000 / 40e9));
    CHECK(bound.nodes == Approx(10 * 1000 / 15e9));
    costs.inter_node.rank_bandwidth = 4e9;  // two of them use less than the card
    bound = lower_bound(plans, 1000, nodes, costs);
    CHECK(bound.ranks == Approx(10 * 1000 / 34e9));
    CHECK(bound.nodes == Approx(10 * 1000 / 8e9));
    CHECK_THROWS_AS(lower_bound(std::span(plans).first(3), 1000, nodes, costs), argument_error);
    costs.inter_node.nic_bandwidth = 0;
    CHECK_THROWS_AS(lower_bound(plans, 1000, nodes, costs), argument_error);
}
