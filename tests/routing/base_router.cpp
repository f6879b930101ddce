#include "locmoe/routing/base_router.hpp"

#include <vector>

#include "locmoe/routing/logits_gate.hpp"

#include "catch.hpp"
#include "routing/router_laws.hpp"

namespace {

using namespace routing_test;
using locmoe::base_router;
using locmoe::logits_gate;

}  // namespace

TEST_CASE("base gives every expert its share while training, and the best to each token after") {
    const std::size_t n = 4, T = 22;
    const job here(n);
    auto z = numbers(T * n, 1, 2);
    for (std::size_t t = 0; t < T; ++t) z[t * n + 2] += 3;  // everyone's favourite
    const base_router router(logits_gate<double>(n), {.tolerance = 1e-6});
    const auto decided = route_logits(router, z, here.where());
    for (const auto l : locmoe::count_choices(decided)) CHECK((l == 5 || l == 6));
    for (std::size_t t = 0; t < T; ++t)
        CHECK(decided.weights[t] == Approx(sigmoid_of(z[t * n + std::size_t(decided.chosen[t])])));
    // No two tokens would both gain by an exchange.
    for (std::size_t a = 0; a < T; ++a)
        for (std::size_t b = 0; b < a; ++b) {
            const auto ea = std::size_t(decided.chosen[a]), eb = std::size_t(decided.chosen[b]);
            CHECK(z[a * n + ea] + z[b * n + eb] >= z[a * n + eb] + z[b * n + ea] - 1e-3);
        }
    auto where = here.where();
    where.training = false;
    CHECK(locmoe::count_choices(route_logits(router, z, where))[2] > 15);
}

TEST_CASE("base keeps the laws") {
    const base_router router(logits_gate<double>(4));
    check_laws(router);
    check_expert_order(base_router(logits_gate<double>(4), {.tolerance = 1e-9}), 8);
    CHECK_THROWS_AS(
        route_logits(base_router(logits_gate<double>(2), {.tolerance = 0}), {1, 2}, job(2).where()),
        locmoe::argument_error);
}
