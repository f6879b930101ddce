#include "locmoe/routing/stable_moe_router.hpp"

#include <vector>

#include "locmoe/routing/dense_gate.hpp"
#include "locmoe/routing/logits_gate.hpp"

#include "catch.hpp"
#include "routing/router_laws.hpp"

namespace {

using namespace routing_test;
using locmoe::fixed_choice;
using locmoe::stable_moe_router;

}  // namespace

TEST_CASE("stablemoe's frozen router sends an id to its nearest centroid, weighted by a sigmoid") {
    const std::size_t n = 4, r = 3;
    const auto embeddings = numbers(10 * r, 1), centroids = numbers(n * r, 2);
    const auto distilled =
        fixed_choice::distilled<double>(as_matrix(embeddings, r), as_matrix(centroids, r));
    const stable_moe_router router(locmoe::logits_gate<double>(n), distilled);
    const job here(n);
    const auto z = numbers(12 * n, 3, 2);
    const auto decided = route_logits(router, z, here.where());
    for (std::size_t t = 0; t < 12; ++t) {
        const auto id = std::size_t(here.ids[t]);
        std::size_t best = 0;
        doubles products(n);
        for (std::size_t e = 0; e < n; ++e) {
            for (std::size_t j = 0; j < r; ++j)
                products[e] += embeddings[id * r + j] * centroids[e * r + j];
            if (products[e] > products[best]) best = e;
        }
        CHECK(decided.chosen[t] == locmoe::expert_id(best));
        CHECK(decided.weights[t] == Approx(sigmoid_of(z[t * n + best])));
    }
    check_laws(router);
    check_token_order(router, 9, true);
    auto w = numbers(n * 6, 4);
    const stable_moe_router dense(locmoe::dense_gate<double>(as_matrix(std::as_const(w), 6)),
                                  distilled);
    check_gradients(dense, 7, 6, &w, n);
}

TEST_CASE("stablemoe takes the lowest of equal centroids and refuses ids it does not know") {
    const doubles e{1, 0}, c{0, 1, 1, 0, 1, 0};
    const stable_moe_router router(
        locmoe::logits_gate<double>(3),
        fixed_choice::distilled<double>(as_matrix(e, 2), as_matrix(c, 2)));
    const job here(3);
    auto where = here.where();
    const std::vector<std::int32_t> zero{0}, far{1};
    where.token_ids = zero;
    CHECK(route_logits(router, {0, 0, 0}, where).chosen == experts{1});
    where.token_ids = far;
    CHECK_THROWS_WITH(
        route_logits(router, {0, 0, 0}, where),
        "locmoe: route: id of token 0 on rank 1: expected 0 to V - 1 with V = 1, got 1");
    where.token_ids = {};
    CHECK_THROWS_AS(route_logits(router, {0, 0, 0}, where), locmoe::argument_error);
    const stable_moe_router wrong(locmoe::logits_gate<double>(3), fixed_choice({3}));
    where.token_ids = zero;
    CHECK_THROWS_AS(route_logits(wrong, {0, 0, 0}, where), locmoe::argument_error);
    CHECK_THROWS_AS(fixed_choice::distilled<double>(as_matrix(e, 2), as_matrix(c, 3)),
                    locmoe::argument_error);
}
