#include "locmoe/assign/renormalise_kept.hpp"

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "locmoe/routing/top_k_router.hpp"

#include "catch.hpp"
#include "routing/router_laws.hpp"

namespace {

using namespace routing_test;
using locmoe::assign;
using locmoe::drop_by_probability;
using locmoe::no_expert;
using locmoe::renormalise_kept;
using router_of_three = locmoe::top_k_router<locmoe::logits_gate<double>>;

/// Three experts a token out of `n`, weights of sum 2.5.
router_of_three any_router(std::size_t n) {
    return router_of_three(locmoe::logits_gate<double>(n),
                           {.k = 3, .weights = {.renormalise = true, .scale = 2.5}});
}

}  // namespace

TEST_CASE("the weight of dropped choices goes to the kept ones in proportion", "[assign]") {
    const std::size_t n = 5, T = 30;
    const job here(n);
    const auto decided = route_logits(any_router(n), numbers(T * n, 1, 2), here.where());
    const auto assigned = assign(decided, drop_by_probability{}, {.capacity = 6});
    REQUIRE(assigned.ledger.lost_tokens > 0);
    const auto again = renormalise_kept(decided, assigned);
    CHECK(again.chosen == assigned.expert);
    CHECK(again.probabilities == decided.probabilities);
    for (std::size_t t = 0; t < T; ++t) {
        double sum = 0, kept = 0;
        for (std::size_t i = 3 * t; i < 3 * t + 3; ++i) {
            sum += again.weights[i];
            if (assigned.expert[i] != no_expert) kept += decided.weights[i];
        }
        CHECK(sum == Approx(kept > 0 ? 2.5 : 0));
        for (std::size_t i = 3 * t; i < 3 * t + 3; ++i) {
            if (assigned.expert[i] == no_expert)
                CHECK(again.weights[i] == 0);
            else
                CHECK(again.weights[i] * kept == Approx(2.5 * decided.weights[i]));
        }
    }
}

TEST_CASE("a token whose kept choices weigh nothing keeps weights of zero", "[assign]") {
    locmoe::basic_routing<double> decided{2, 2, 2, {0, 1, 0, 1}, {0.5, 0.5, 1, 0}, {}};
    const auto assigned = assign(decided, {.capacities = std::vector<std::int64_t>{1, 2}});
    CHECK(renormalise_kept(decided, assigned).weights == std::vector<double>{0.5, 0.5, 0, 0});
}

TEST_CASE("weights stay as they are where nothing is dropped", "[assign]") {
    const job here(4);
    const auto decided = route_logits(any_router(4), numbers(40, 2, 2), here.where());
    const auto again = renormalise_kept(decided, assign(decided));
    CHECK(again.weights == decided.weights);
    CHECK(again.chosen == decided.chosen);
}

TEST_CASE("the router's backward pass is the gradient of renormalised weights", "[assign]") {
    const std::size_t n = 5, T = 12;
    const job here(n);
    const auto router = any_router(n);
    auto z = numbers(T * n, 3, 2);
    const auto decided = route_logits(router, z, here.where());
    const auto assigned = assign(decided, {.capacity = 5});
    REQUIRE(assigned.dropped_count() > 0);
    const auto c = numbers(3 * T, 4);
    const auto loss = [&] {
        const auto now = route_logits(router, z, here.where());
        REQUIRE(now.chosen == decided.chosen);
        return dot(c, renormalise_kept(now, assigned).weights);
    };
    doubles grad(z.size());
    router.backward(as_matrix(z, n), renormalise_kept(decided, assigned),
                    std::vector<std::int64_t>(n, 1), here.where(),
                    {{c.data(), T, 3}, 0, as_matrix(grad, n), {}});
    CHECK(gradient_error(loss, z, grad) < 1e-6);
}

TEST_CASE("weights and assignment of another routing are not renormalised", "[assign]") {
    const job here(4);
    auto decided = route_logits(any_router(4), numbers(40, 5), here.where());
    auto assigned = assign(decided);
    assigned.expert.pop_back();
    CHECK_THROWS_WITH(renormalise_kept(decided, assigned, 2),
                      "locmoe: renormalise_kept: assigned on rank 2: expected the routing's own "
                      "assignment, got 29 pairs");
    decided.weights[4] = std::numeric_limits<double>::quiet_NaN();
    CHECK_THROWS_AS(renormalise_kept(decided, assign(decided)), locmoe::argument_error);
}
