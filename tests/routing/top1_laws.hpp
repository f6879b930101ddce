#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "locmoe/routing/router_policy.hpp"
#include "locmoe/routing/routing.hpp"
#include "locmoe/tensor/standard.hpp"

#include "catch.hpp"
#include "routing/support.hpp"

/// What holds for every router of the shape gate, softmax, top-1, whatever its gate and losses.
namespace routing_test {

using locmoe::as_matrix;

inline constexpr std::size_t law_tokens = 7, law_experts = 4, law_columns = 10;

// Three nodes; rank 1's holds experts 0 and 2, another expert 1 and 3, the third none.
struct law_job {
    locmoe::topology nodes = locmoe::topology::from_node_of_rank({0, 1, 1, 2});
    locmoe::expert_placement placement =
        locmoe::expert_placement::from_rank_of_expert({1, 0, 2, 0}, 4);
    locmoe::route_context where{1, nodes, placement};
};

/// Weights are the largest probabilities, rows sum to 1, and nothing is drawn at random.
template <class Router>
void check_top1_routing(const Router& router) {
    const law_job job;
    const auto x = numbers(law_tokens * law_columns, 31, 3);
    const auto decided = router.route(as_matrix(x, law_columns), job.where);
    CHECK_NOTHROW(locmoe::check_routing(decided, job.placement, 1));
    CHECK(decided.choice_count == 1);
    REQUIRE(decided.probabilities.size() == law_tokens * law_experts);
    for (std::size_t t = 0; t < law_tokens; ++t) {
        double sum = 0;
        for (std::size_t i = 0; i < law_experts; ++i) {
            const double p = decided.probabilities[t * law_experts + i];
            sum += p;
            CHECK(p <= decided.weights[t]);
        }
        CHECK(sum == Approx(1));
        CHECK(decided.weights[t] ==
              decided.probabilities[t * law_experts + std::size_t(decided.chosen[t])]);
    }
    CHECK(router.route(as_matrix(x, law_columns), job.where).chosen == decided.chosen);
}

/// Tokens in another order get the same choices, weights and gradients in that order, and the same
/// losses.
template <class Router>
void check_permutation(const Router& router, std::size_t gate_rows) {
    const law_job job;
    const auto x = numbers(law_tokens * law_columns, 32, 3);
    const auto c = numbers(law_tokens, 33);
    auto moved_x = x;
    auto moved_c = c;
    const auto moved = [](std::size_t t) { return (3 * t + 2) % law_tokens; };
    for (std::size_t t = 0; t < law_tokens; ++t) {
        moved_c[moved(t)] = c[t];
        for (std::size_t j = 0; j < law_columns; ++j)
            moved_x[moved(t) * law_columns + j] = x[t * law_columns + j];
    }
    const auto a = router.route(as_matrix(x, law_columns), job.where);
    const auto b = router.route(as_matrix(moved_x, law_columns), job.where);
    const auto load = locmoe::count_choices(a);
    CHECK(locmoe::count_choices(b) == load);
    CHECK(router.losses(b, load, job.where).total() ==
          Approx(router.losses(a, load, job.where).total()));
    std::vector<double> grad_a(x.size()), grad_b(x.size()), gate(gate_rows * law_columns);
    router.backward(as_matrix(x, law_columns), a, load, job.where,
                    {as_matrix(c, 1),
                     1,
                     as_matrix(grad_a, law_columns),
                     {gate.data(), gate_rows, law_columns}});
    router.backward(as_matrix(moved_x, law_columns), b, load, job.where,
                    {as_matrix(moved_c, 1),
                     1,
                     as_matrix(grad_b, law_columns),
                     {gate.data(), gate_rows, law_columns}});
    for (std::size_t t = 0; t < law_tokens; ++t) {
        CHECK(b.chosen[moved(t)] == a.chosen[t]);
        CHECK(b.weights[moved(t)] == a.weights[t]);
        for (std::size_t j = 0; j < law_columns; ++j)
            CHECK(grad_b[moved(t) * law_columns + j] ==
                  Approx(grad_a[t * law_columns + j]).epsilon(1e-9));
    }
}

/// The backward pass is the derivative of sum_t c_t weight_t + loss_scale * losses, with the
/// choices and the load held fixed, in the tokens and (where `weights` are given) the gate weights.
template <class Router>
void check_backward(const Router& router, std::vector<double>* weights) {
    const law_job job;
    const double loss_scale = 30;  // so that alpha and mu of 0.01 stand beside the task loss
    auto x = numbers(law_tokens * law_columns, 34, 2);
    const auto c = numbers(law_tokens, 35);
    auto decided = router.route(as_matrix(x, law_columns), job.where);
    decided.chosen[3] = (decided.chosen[3] + 1) % 4;  // not only the likeliest
    decided.chosen[5] = locmoe::no_expert;
    const std::vector<std::int64_t> load{9, 0, 4, 2};  // more than this rank's own
    const auto loss = [&] {
        const auto now = router.route(as_matrix(x, law_columns), job.where);
        double sum = loss_scale * router.losses(now, load, job.where).total();
        for (std::size_t t = 0; t < law_tokens; ++t)
            if (decided.chosen[t] != locmoe::no_expert)
                sum += c[t] * now.probabilities[t * law_experts + std::size_t(decided.chosen[t])];
        return sum;
    };
    std::vector<double> grad_x(x.size());
    std::vector<double> grad_gate(weights ? weights->size() : 0);
    router.backward(as_matrix(x, law_columns), decided, load, job.where,
                    {as_matrix(c, 1),
                     loss_scale,
                     as_matrix(grad_x, law_columns),
                     {grad_gate.data(), weights ? law_experts : 0, law_columns}});
    CHECK(gradient_error(loss, x, grad_x) < 1e-6);
    if (weights) CHECK(gradient_error(loss, *weights, grad_gate) < 1e-6);
}

/// No token at all: an empty routing, losses of 0, nothing added.
template <class Router>
void check_no_tokens(const Router& router, std::size_t gate_rows) {
    const law_job job;
    const locmoe::matrix_view<const double> none(nullptr, 0, law_columns);
    const auto decided = router.route(none, job.where);
    CHECK(decided.token_count == 0);
    CHECK(decided.expert_count == law_experts);
    CHECK(decided.chosen.empty());
    for (const auto& load : {std::vector<std::int64_t>{0, 0, 0, 0}, {1, 2, 3, 4}}) {
        CHECK(router.losses(decided, load, job.where).total() == 0);
        std::vector<double> gate(gate_rows * law_columns);
        router.backward(none, decided, load, job.where,
                        {{}, 1, {}, {gate.data(), gate_rows, law_columns}});
        CHECK(gate == std::vector<double>(gate.size(), 0));
    }
}

/// Everything that comes in from outside is checked, and the rank is named.
template <class Router>
void check_bad_input(const Router& router, std::size_t gate_rows) {
    using error = locmoe::argument_error;
    const law_job job;
    auto x = numbers(law_tokens * law_columns, 36);
    const auto c = numbers(law_tokens, 37);
    std::vector<double> grad(x.size()), gate(law_experts * law_columns);
    const auto tokens = as_matrix(x, law_columns);
    const auto decided = router.route(tokens, job.where);
    const auto load = locmoe::count_choices(decided);
    const locmoe::matrix_view<double> gate_view(gate.data(), gate_rows, law_columns);
    const locmoe::router_gradients<double> good{as_matrix(c, 1), 1, as_matrix(grad, law_columns),
                                                gate_view};
    CHECK_NOTHROW(router.backward(tokens, decided, load, job.where, good));

    const auto other = locmoe::expert_placement::blocked(law_experts + 1, 4);
    CHECK_THROWS_WITH(
        router.route(tokens, {1, job.nodes, other}),
        "locmoe: route: placement on rank 1: expected 4 experts (the router's), got 5");
    CHECK_THROWS_AS(router.route(as_matrix(x, 2), job.where), error);

    x[2 * law_columns] = std::numeric_limits<double>::quiet_NaN();
    CHECK_THROWS_WITH(
        router.route(tokens, job.where),
        "locmoe: route: logits of token 2 on rank 1: expected finite numbers, got nan");

    const auto refuses = [&](const locmoe::basic_routing<double>& d,
                             const std::vector<std::int64_t>& l,
                             const locmoe::router_gradients<double>& g) {
        CHECK_THROWS_AS(router.backward(tokens, d, l, job.where, g), error);
    };
    auto bad = decided;
    bad.probabilities.pop_back();
    refuses(bad, load, good);
    CHECK_THROWS_WITH(
        router.losses(bad, load, job.where),
        "locmoe: losses: decided.probabilities.size() on rank 1: expected 28, got 27");
    bad = decided;
    bad.chosen.pop_back();
    refuses(bad, load, good);
    bad = decided;
    bad.weights.pop_back();
    refuses(bad, load, good);
    bad = decided;
    bad.chosen[0] = 4;
    refuses(bad, load, good);
    bad = decided;
    bad.choice_count = 2;
    refuses(bad, load, good);
    bad = decided;
    bad.expert_count = 5;
    refuses(bad, load, good);
    const std::vector<std::int64_t> few{1, 2, 3};
    refuses(decided, few, good);
    CHECK_THROWS_AS(router.losses(decided, few, job.where), error);
    auto gradients = good;
    gradients.weights.rows = 6;
    refuses(decided, load, gradients);
    gradients = good;
    gradients.weights.cols = 2;
    refuses(decided, load, gradients);
    gradients = good;
    gradients.tokens = {};
    refuses(decided, load, gradients);
    gradients = good;
    gradients.gate = {gate.data(), gate_rows == 0 ? law_experts : 0, law_columns};
    refuses(decided, load, gradients);
    try {
        router.backward(tokens, decided, load, job.where, gradients);
    } catch (const error& e) {
        CHECK(std::string(e.what()).find("gradient of the gate weights") != std::string::npos);
        CHECK(std::string(e.what()).find("on rank 1") != std::string::npos);
    }
    const locmoe::matrix_view<double> fewer(x.data(), law_tokens - 1, law_columns);
    CHECK_THROWS_AS(router.backward(fewer, decided, load, job.where, good), error);
}

}  // namespace routing_test
