#include "locmoe/routing/bias_balanced_router.hpp"

#include <vector>

#include "locmoe/routing/dense_gate.hpp"
#include "locmoe/routing/logits_gate.hpp"

#include "catch.hpp"
#include "routing/router_laws.hpp"

namespace {

using namespace routing_test;
using locmoe::bias_balanced_router;
using locmoe::logits_gate;
using floats = std::vector<float>;

}  // namespace

TEST_CASE("deepseek-v3's bias steers the choice, and the weights do not see it") {
    const job here(4);
    const floats bias{0, 0, 0.6f, 0.3f};
    const bias_balanced_router router(logits_gate<double>(4), bias,
                                      {.k = 2, .weights = {.renormalise = true, .scale = 2.5}});
    // Scores 0.88, 0.73, 0.27, 0.5; biased 0.88, 0.73, 0.87, 0.8.
    const auto decided = route_logits(router, {2, 1, -1, 0}, here.where());
    CHECK(decided.chosen == experts{0, 2});
    const double a = sigmoid_of(2), b = sigmoid_of(-1);
    CHECK(decided.weights[0] == Approx(2.5 * a / (a + b)));
    CHECK(decided.weights[1] == Approx(2.5 * b / (a + b)));
    CHECK(decided.probabilities[3] == Approx(0.5));
}

TEST_CASE("a bias below every score's opposite still leaves k experts") {
    const job here(4);
    const floats bias{-3, -4, -5, -6};
    const bias_balanced_router router(logits_gate<double>(4), bias,
                                      {.k = 3, .groups = 2, .limit = {.limit = 2}});
    CHECK(route_logits(router, {0, 0, 0, 0}, here.where()).chosen == experts{0, 1, 2});
}

TEST_CASE("the sigmoid router keeps the laws, with a loss over the scores' shares") {
    const floats bias{0.1f, -0.2f, 0.05f, 0, 0.3f, -0.1f};
    for (const bool renormalise : {false, true}) {
        const bias_balanced_router router(logits_gate<double>(6), bias,
                                          {.k = 3,
                                           .weights = {.renormalise = renormalise, .scale = 1.5},
                                           .losses = {.locality = {}}});
        check_laws(router);
        check_token_order(router, 9);
    }
    const bias_balanced_router plain(logits_gate<double>(6), {}, {.k = 3});
    check_expert_order(plain, 9);
    auto w = numbers(6 * 9, 5);
    const bias_balanced_router dense(locmoe::dense_gate<double>(as_matrix(std::as_const(w), 9)),
                                     bias, {.k = 2, .losses = {}});
    check_gradients(dense, 5, 9, &w, 6);
}

TEST_CASE("the sigmoid router refuses a bias of another length, groups and limits that cannot be") {
    const floats bias(3);
    const logits_gate<double> gate(4);
    CHECK_THROWS_WITH(bias_balanced_router(gate, bias, {.k = 2}),
                      "locmoe: group_limited_choice: bias: expected n = 4 numbers, got 3");
    CHECK_THROWS_AS(bias_balanced_router(gate, {}, {.k = 2, .groups = 5}), locmoe::argument_error);
    CHECK_THROWS_AS(bias_balanced_router(gate, {}, {.k = 2, .groups = 0}), locmoe::argument_error);
    CHECK_THROWS_AS(bias_balanced_router(gate, {}, {.k = 2, .limit = {.limit = 0}}),
                    locmoe::argument_error);
    CHECK_THROWS_AS(bias_balanced_router(gate, {}, {.k = 5}), locmoe::argument_error);
}
