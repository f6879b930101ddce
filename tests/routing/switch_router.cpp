#include "locmoe/routing/switch_router.hpp"

#include <array>
#include <vector>

#include "locmoe/tensor/standard.hpp"

#include "catch.hpp"
#include "routing/top1_laws.hpp"

namespace {

using namespace routing_test;
using locmoe::switch_router;

std::vector<double> gate_weights() {
    return numbers(law_experts * law_columns, 40);
}

switch_router<double> router_over(const std::vector<double>& weights, bool relu = false) {
    return switch_router<double>(as_matrix(weights, law_columns), {.gate = {.relu = relu}});
}

}  // namespace

TEST_CASE("switch routes each token to its likeliest expert, weighted by the probability") {
    const auto w = gate_weights();
    check_top1_routing(router_over(w));
}

TEST_CASE("switch's backward pass is the derivative of task loss and own losses") {
    auto w = gate_weights();
    check_backward(router_over(w), &w);
    check_backward(router_over(w, true), &w);
}

TEST_CASE("switch follows its tokens through a permutation") {
    const auto w = gate_weights();
    check_permutation(router_over(w), law_experts);
}

TEST_CASE("switch takes no tokens at all") {
    const auto w = gate_weights();
    check_no_tokens(router_over(w), law_experts);
}

TEST_CASE("switch checks what comes in, a missing gradient of the gate weights too") {
    const auto w = gate_weights();
    check_bad_input(router_over(w), law_experts);
    const law_job job;
    const auto x = numbers(6, 41);
    CHECK_THROWS_WITH(router_over(w).route(as_matrix(x, 3), job.where),
                      "locmoe: dense_gate: tokens on rank 1: expected d = 10 columns (the gate "
                      "weights'), got 3");
}

TEST_CASE("switch has an auxiliary loss and no locality loss") {
    const auto w = gate_weights();
    const law_job job;
    const auto x = numbers(law_tokens * law_columns, 42);
    const auto decided = router_over(w).route(as_matrix(x, law_columns), job.where);
    const auto load = locmoe::count_choices(decided);
    const auto losses = router_over(w).losses(decided, load, job.where);
    double sum = 0;
    for (std::size_t i = 0; i < law_experts; ++i)
        for (std::size_t t = 0; t < law_tokens; ++t)
            sum += double(load[i]) / 7 * decided.probabilities[t * law_experts + i] / 7;
    CHECK(losses.auxiliary == Approx(0.01 * 4 * sum));
    CHECK(losses.locality == 0);
}

TEST_CASE("switch sees the gate weights as they are when it routes") {
    const law_job job;
    std::vector<float> w{1, 0, 0, 0, 0, 0, 0, 0};
    const std::vector<std::array<float, 2>> x{{3, 1}};
    const switch_router<float> router(locmoe::as_matrix(std::as_const(w), 2));
    CHECK(router.route(x, job.where).chosen[0] == 0);
    w[5] = 9;
    CHECK(router.route(x, job.where).chosen[0] == 2);
}
