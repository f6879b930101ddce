#include "locmoe/routing/gshard_router.hpp"

#include <vector>

#include "locmoe/routing/logits_gate.hpp"
#include "locmoe/routing/top_k_router.hpp"

#include "catch.hpp"
#include "routing/router_laws.hpp"

namespace {

using namespace routing_test;
using locmoe::gshard_router;
using locmoe::logits_gate;

gshard_router<logits_gate<double>> router(std::size_t n, std::uint64_t seed = 1) {
    return gshard_router(logits_gate<double>(n), {.seed = seed});
}

}  // namespace

TEST_CASE("gshard outside training is top-2 with renormalised weights") {
    const job here(6);
    auto where = here.where();
    where.training = false;
    const auto z = numbers(40 * 6, 1, 2);
    const auto a = route_logits(router(6), z, where);
    const auto b = route_logits(locmoe::top_k_router(logits_gate<double>(6)), z, where);
    CHECK(a.chosen == b.chosen);
    for (std::size_t i = 0; i < a.weights.size(); ++i) CHECK(a.weights[i] == Approx(b.weights[i]));
}

TEST_CASE("gshard keeps the second expert with probability twice its weight") {
    // Two logits ln(r) apart: g_2 = 1 / (1 + r). Kept always from g_2 = 1/2 down to 0, half the
    // time at 1/4.
    const std::size_t T = 4000;
    const job here(3);
    for (const double g2 : {0.5, 0.25, 0.05}) {
        doubles z(T * 3);
        for (std::size_t t = 0; t < T; ++t) {
            z[t * 3 + 2] = std::log((1 - g2) / g2);
            z[t * 3 + 1] = -50;
        }
        const auto decided = route_logits(router(3, 9), z, here.where());
        double kept = 0;
        for (std::size_t t = 0; t < T; ++t) {
            CHECK(decided.expert(t, 0) == (g2 == 0.5 ? 0 : 2));
            CHECK(decided.weights[t * 2] == Approx(1 - g2));
            if (decided.expert(t, 1) == locmoe::no_expert) {
                CHECK(decided.weights[t * 2 + 1] == 0);
                continue;
            }
            CHECK(decided.weights[t * 2 + 1] == Approx(g2));
            ++kept;
        }
        // Five standard deviations of the binomial count at most.
        CHECK(std::fabs(kept - 2 * g2 * double(T)) <= 5 * std::sqrt(double(T) / 4));
        if (g2 == 0.5) CHECK(kept == double(T));
    }
}

TEST_CASE("gshard's draw follows the token, not its rank") {
    const job here(4);
    auto where = here.where();
    const auto z = numbers(20 * 4, 2, 3);
    const auto all = route_logits(router(4), z, where);
    CHECK(route_logits(router(4, 2), z, where).chosen != all.chosen);
    where.first_token = 12;
    const auto rest = route_logits(router(4), {z.begin() + 48, z.end()}, where);
    CHECK(rest.chosen == experts(all.chosen.begin() + 24, all.chosen.end()));
}

TEST_CASE("gshard keeps the laws, its gradient with and without the second expert") {
    const auto r = router(5);
    const job here(5);
    const auto decided = route_logits(r, numbers(10 * 5, 101, 2), here.where());
    std::size_t single = 0;
    for (std::size_t t = 0; t < 10; ++t) single += decided.expert(t, 1) == locmoe::no_expert;
    CHECK((single > 0 && single < 10));  // the very tokens of check_gradients below
    check_gradients(r, 10, 5);
    check_laws(r);
    check_shift(r, 9);
    CHECK_THROWS_AS(router(1), locmoe::argument_error);
}
