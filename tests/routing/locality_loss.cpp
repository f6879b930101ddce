#include "locmoe/routing/locality_loss.hpp"

#include <cmath>
#include <limits>
#include <vector>

#include "locmoe/routing/softmax.hpp"
#include "locmoe/tensor/standard.hpp"

#include "catch.hpp"
#include "routing/support.hpp"

namespace {

using locmoe::as_matrix;
using locmoe::expert_placement;
using locmoe::locality_loss;
using locmoe::topology;

// Nodes of 1, 2, 1 and 1 ranks, interleaved. Node 0 holds experts 2 and 5, node 1 experts 0, 1 and
// 4, node 2 none, node 3 expert 3.
constexpr std::size_t n = 6;
const topology nodes = topology::from_node_of_rank({1, 0, 1, 2, 3});
const expert_placement placement = expert_placement::from_rank_of_expert({0, 2, 1, 4, 0, 1}, 5);

locmoe::route_context on_rank(locmoe::rank_id rank) {
    return {rank, nodes, placement};
}

}  // namespace

TEST_CASE("the locality loss is mu KL of the nodes' mean probability from the smoothed target") {
    const std::vector<double> mean{0.1, 0.05, 0.2, 0.25, 0.15, 0.25};
    const double mu = 0.5, eps = 0.1;
    const double own = 0.3 * std::log(0.3 / 0.9);
    const double others = 0.45 * std::log(0.45 / 0.05) + 0.25 * std::log(0.25 / 0.05);
    const locality_loss loss({.mu = mu, .epsilon = eps});
    CHECK(loss.value(mean, on_rank(0)) == Approx(mu * (own + others)));
    CHECK(loss.value(mean, on_rank(2)) == loss.value(mean, on_rank(0)));
    CHECK(loss.value(mean, on_rank(1)) != Approx(mu * (own + others)));
}

TEST_CASE("the locality loss is 0 at its target and positive elsewhere") {
    const locality_loss loss({.mu = 1, .epsilon = 0.1});
    const std::vector<double> target{0.4, 0.3, 0.03, 0.05, 0.2, 0.02};
    CHECK(loss.value(target, on_rank(0)) == Approx(0).margin(1e-15));
    CHECK(loss.value(target, on_rank(1)) > 1);
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        auto mean = routing_test::numbers(n, seed, 2);
        locmoe::softmax_rows(as_matrix(mean, n));
        CHECK(loss.value(mean, on_rank(4)) > 0);
    }
}

TEST_CASE("at its target the locality loss pulls no logit") {
    const locality_loss loss({.mu = 1, .epsilon = 0.1});
    const std::vector<double> target{0.4, 0.3, 0.03, 0.05, 0.2, 0.02};
    std::vector<double> grad(n);
    loss.add_gradient(target, on_rank(0), 1, grad);
    locmoe::softmax_backward(as_matrix(target, n), as_matrix(grad, n));
    for (const double g : grad) CHECK(g == Approx(0).margin(1e-15));
}

TEST_CASE("the locality loss's gradient is its derivative, through the mean to probabilities") {
    constexpr std::size_t T = 3;
    const double scale = 1.7;
    const locmoe::rank_id rank = GENERATE(0, 1, 4);
    auto p = routing_test::numbers(T * n, 2);
    for (double& v : p) v = 0.2 + 0.1 * v;  // positive, and not of sum 1: no direction is left out
    const locality_loss locality;
    const auto loss = [&] {
        return scale * locality.value(locmoe::mean_probabilities(as_matrix(p, n)), on_rank(rank));
    };
    std::vector<double> grad_mean(n, 0);
    const auto mean = locmoe::mean_probabilities(as_matrix(p, n));
    locality.add_gradient(mean, on_rank(rank), scale / 2, grad_mean);
    locality.add_gradient(mean, on_rank(rank), scale / 2, grad_mean);
    std::vector<double> grad(T * n);
    for (std::size_t i = 0; i < grad.size(); ++i) grad[i] = grad_mean[i % n] / T;
    CHECK(routing_test::gradient_error(loss, p, grad) < 1e-6);
}

TEST_CASE("the locality loss is 0 where it is undefined: one node, or an own node without expert") {
    const auto one_node = topology::single_node(5);
    const auto mean = std::vector<double>(n, 1.0 / 6);
    const locality_loss loss;
    std::vector<double> grad(n, 0);
    CHECK(loss.value(mean, on_rank(3)) == 0);
    loss.add_gradient(mean, on_rank(3), 1, grad);
    CHECK(loss.value(mean, {0, one_node, placement}) == 0);
    loss.add_gradient(mean, {0, one_node, placement}, 1, grad);
    const auto all_on_rank_0 = expert_placement::from_rank_of_expert({0, 0, 0, 2, 2, 2}, 5);
    CHECK(loss.value(mean, {0, nodes, all_on_rank_0}) == 0);
    loss.add_gradient(mean, {0, nodes, all_on_rank_0}, 1, grad);
    CHECK(grad == std::vector<double>(n, 0));
}

TEST_CASE("without tokens the locality loss is 0") {
    CHECK(locality_loss().value(std::vector<double>(n, 0), on_rank(0)) == 0);
}

TEST_CASE("a node whose probability has underflowed leaves value and gradient finite") {
    const std::vector<double> mean{0.5, 0.25, 0, 0, 0.25, 0};
    const locality_loss loss({.mu = 1, .epsilon = 0.1});
    std::vector<double> grad(n, 0);
    CHECK(loss.value(mean, on_rank(0)) == Approx(-std::log(0.9)));
    loss.add_gradient(mean, on_rank(0), 1, grad);
    CHECK(grad[2] < -100);
    locmoe::softmax_backward(as_matrix(mean, n), as_matrix(grad, n));
    for (const double g : grad) CHECK(std::isfinite(g));
}

TEST_CASE("the locality loss refuses options and shapes that cannot be") {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    CHECK_THROWS_AS(locality_loss({.mu = -1}), locmoe::argument_error);
    CHECK_THROWS_AS(locality_loss({.mu = nan}), locmoe::argument_error);
    CHECK_THROWS_AS(locality_loss({.mu = std::numeric_limits<double>::infinity()}),
                    locmoe::argument_error);
    for (const double eps : {0.0, 1.0, -0.1, nan})
        CHECK_THROWS_AS(locality_loss({.epsilon = eps}), locmoe::argument_error);

    const locality_loss loss;
    std::vector<double> mean(n, 0.1), few(n - 1, 0.1);
    CHECK_THROWS_WITH(loss.value(few, on_rank(2)),
                      "locmoe: locality_loss: placement on rank 2: expected 5 experts (the "
                      "router's), got 6");
    CHECK_THROWS_WITH(loss.add_gradient(mean, on_rank(2), 1, few),
                      "locmoe: locality_loss: grad_mean on rank 2: expected n = 6 numbers, got 5");
    CHECK_THROWS_AS(loss.value(mean, on_rank(5)), locmoe::argument_error);
    CHECK_THROWS_AS(loss.value(mean, on_rank(-1)), locmoe::argument_error);
    const auto fewer_ranks = topology::single_node(4);
    CHECK_THROWS_WITH(loss.value(mean, {0, fewer_ranks, placement}),
                      "locmoe: locality_loss: placement on rank 0: expected 4 ranks (the "
                      "topology's), got 5");
}
