#include "locmoe/routing/top_k_router.hpp"

#include <algorithm>
#include <numeric>
#include <vector>

#include "locmoe/routing/dense_gate.hpp"
#include "locmoe/routing/dense_router.hpp"
#include "locmoe/routing/grap_gate.hpp"
#include "locmoe/routing/logits_gate.hpp"
#include "locmoe/routing/switch_router.hpp"

#include "catch.hpp"
#include "routing/router_laws.hpp"

namespace {

using namespace routing_test;
using locmoe::logits_gate;
using locmoe::top_k_options;
using locmoe::top_k_router;

top_k_router<logits_gate<double>> over_logits(std::size_t n, top_k_options options) {
    return top_k_router(logits_gate<double>(n), options);
}

// The plainest code: experts sorted by logit, then the softmax of all or of the chosen.
struct plain {
    experts chosen;
    doubles all, after;

    plain(const doubles& z, std::size_t k) : chosen(z.size()) {
        std::iota(chosen.begin(), chosen.end(), 0);
        std::stable_sort(chosen.begin(), chosen.end(),
                         [&](auto a, auto b) { return z[std::size_t(a)] > z[std::size_t(b)]; });
        chosen.resize(k);
        doubles kept;
        for (const auto e : chosen) kept.push_back(z[std::size_t(e)]);
        for (std::size_t s = 0; s < k; ++s) {
            all.push_back(softmax_of(z, std::size_t(chosen[s])));
            after.push_back(softmax_of(kept, s));
        }
    }
};

}  // namespace

TEST_CASE("top-k follows Mixtral (softmax of the chosen) and OLMoE (chosen of the softmax)") {
    const std::size_t n = 9, T = 20, k = GENERATE(1u, 2u, 4u);
    const job here(n);
    const auto z = numbers(T * n, 1, 3);
    const auto mixtral = route_logits(over_logits(n, {.k = k}), z, here.where());
    const auto olmoe = route_logits(over_logits(n, {.k = k, .weights = {}}), z, here.where());
    for (std::size_t t = 0; t < T; ++t) {
        const plain p({z.begin() + long(t * n), z.begin() + long((t + 1) * n)}, k);
        for (std::size_t s = 0; s < k; ++s) {
            CHECK(mixtral.expert(t, s) == p.chosen[s]);
            CHECK(olmoe.expert(t, s) == p.chosen[s]);
            CHECK(mixtral.weights[t * k + s] == Approx(p.after[s]));
            CHECK(olmoe.weights[t * k + s] == Approx(p.all[s]));
        }
    }
}

TEST_CASE("top-k tells logits apart even where the softmax underflows, and breaks ties by number") {
    const job here(4);
    const auto router = over_logits(4, {.k = 3});
    CHECK(route_logits(router, {0, 2000, 100, 200}, here.where()).chosen == experts{1, 3, 2});
    CHECK(route_logits(router, {5, 7, 5, 7}, here.where()).chosen == experts{1, 3, 0});
}

TEST_CASE("top-k keeps the laws for every k and either weighting") {
    for (const std::size_t k : {1u, 2u, 6u})
        for (const bool renormalise : {false, true}) {
            if (k == 1 && renormalise) continue;  // weight 1: only the loss has a gradient
            const auto router = over_logits(
                6, {.k = k, .weights = {.renormalise = renormalise}, .losses = {.locality = {}}});
            check_laws(router);
            check_token_order(router, 7);
            check_expert_order(router, 7);
            check_shift(router, 7);
        }
}

TEST_CASE("top-k with k = n weighs as the dense router does") {
    const job here(5);
    const auto z = numbers(6 * 5, 2, 2);
    const auto sparse = route_logits(over_logits(5, {.k = 5}), z, here.where());
    const auto dense = route_logits(locmoe::dense_router(logits_gate<double>(5)), z, here.where());
    CHECK(dense.chosen == experts{0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1, 2, 3, 4,
                                  0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1, 2, 3, 4});
    for (std::size_t t = 0; t < 6; ++t)
        for (std::size_t s = 0; s < 5; ++s)
            CHECK(sparse.weights[t * 5 + s] ==
                  Approx(dense.weights[t * 5 + std::size_t(sparse.expert(t, s))]));
    check_laws(locmoe::dense_router(logits_gate<double>(5)));
}

TEST_CASE(
    "top-k over a dense gate learns its weights, over GrAP it has none, and k = 1 is Switch") {
    auto w = numbers(4 * 10, 3);
    const top_k_router dense(locmoe::dense_gate<double>(as_matrix(std::as_const(w), 10)),
                             {.k = 2, .losses = {.locality = {}}});
    check_gradients(dense, 6, 10, &w, 4);
    check_gradients(top_k_router(locmoe::grap_gate<double>(4)), 6, 10);
    const top_k_router one(locmoe::dense_gate<double>(as_matrix(std::as_const(w), 10)),
                           {.k = 1, .weights = {}});
    const locmoe::switch_router<double> theirs(as_matrix(std::as_const(w), 10));
    const auto x = numbers(6 * 10, 4);
    const job here(4);
    const auto a = one.route(as_matrix(x, 10), here.where());
    const auto b = theirs.route(as_matrix(x, 10), here.where());
    CHECK(a.chosen == b.chosen);
    CHECK(a.weights == b.weights);
}

TEST_CASE("a gradient of other losses in the logits is passed on") {
    const job here(4);
    auto z = numbers(5 * 4, 5);
    const auto v = numbers(5 * 4, 6), c = numbers(5 * 2, 7);
    const auto router = over_logits(4, {.k = 2});
    const auto decided = route_logits(router, z, here.where());
    const auto load = locmoe::count_choices(decided);
    doubles plain(20), more(20);
    router.backward(as_matrix(z, 4), decided, load, here.where(),
                    {as_matrix(c, 2), 1, as_matrix(plain, 4), {}});
    router.backward(as_matrix(z, 4), decided, load, here.where(),
                    {as_matrix(c, 2), 1, as_matrix(more, 4), {}, as_matrix(v, 4)});
    for (std::size_t i = 0; i < 20; ++i) CHECK(more[i] == Approx(plain[i] + v[i]));
    CHECK_THROWS_AS(router.backward(as_matrix(z, 4), decided, load, here.where(),
                                    {as_matrix(c, 2), 1, as_matrix(more, 4), {}, as_matrix(v, 2)}),
                    locmoe::argument_error);
}

TEST_CASE("top-k refuses a k that is not 1 to n") {
    CHECK_THROWS_WITH(over_logits(4, {.k = 0}),
                      "locmoe: router: k: expected 1 to n = 4 choices, got 0");
    CHECK_THROWS_AS(over_logits(4, {.k = 5}), locmoe::argument_error);
    CHECK_THROWS_AS(logits_gate<double>(0), locmoe::argument_error);
}
