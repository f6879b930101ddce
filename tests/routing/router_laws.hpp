#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "locmoe/routing/logits_gate.hpp"
#include "locmoe/routing/router_policy.hpp"
#include "locmoe/routing/routing.hpp"
#include "locmoe/tensor/standard.hpp"

#include "catch.hpp"
#include "routing/support.hpp"

/// What holds for the routers over any gate, whatever they choose and however many.
namespace routing_test {

using locmoe::as_matrix;
using doubles = std::vector<double>;
using experts = std::vector<locmoe::expert_id>;

/// Three uneven nodes of one, two and one rank; the last holds no expert.
struct job {
    locmoe::topology nodes = locmoe::topology::from_node_of_rank({0, 1, 1, 2});
    locmoe::expert_placement placement;
    std::vector<std::int32_t> ids, domains;

    explicit job(std::size_t n) : placement(make(n)) {
        for (std::int32_t t = 0; t < 64; ++t) {
            ids.push_back(t * 7 % 10);
            domains.push_back(t * 5 % 2);
        }
    }

    locmoe::route_context where() const { return {1, nodes, placement, ids, domains}; }

  private:
    static locmoe::expert_placement make(std::size_t n) {
        std::vector<locmoe::rank_id> rank_of(n);
        for (std::size_t e = 0; e < n; ++e) rank_of[e] = static_cast<locmoe::rank_id>(e % 4 % 3);
        return locmoe::expert_placement::from_rank_of_expert(rank_of, 4);
    }
};

inline double softmax_of(const doubles& z, std::size_t i) {
    double sum = 0;
    for (const double v : z) sum += std::exp(v - z[i]);
    return 1 / sum;
}

inline double sigmoid_of(double z) {
    return 1 / (1 + std::exp(-z));
}

template <class Router>
auto route_logits(const Router& router, const doubles& logits, const locmoe::route_context& where) {
    return router.route(as_matrix(logits, router.expert_count()), where);
}

/// The backward pass is the derivative of sum c weight + loss_scale losses in tokens and gate
/// weights, where the choice does not change.
template <class Router>
void check_gradients(const Router& router, std::size_t tokens, std::size_t columns,
                     doubles* weights = nullptr, std::size_t weight_rows = 0,
                     std::uint64_t seed = 1, double scale = 2,
                     std::optional<locmoe::route_context> context = std::nullopt) {
    const job here(router.expert_count());
    const auto where = context ? *context : here.where();
    auto x = numbers(tokens * columns, 100 + seed, scale);
    const auto decided = router.route(as_matrix(x, columns), where);
    const std::size_t k = decided.choice_count;
    const auto c = numbers(tokens * k, 200 + seed);
    std::vector<std::int64_t> load(router.expert_count());
    for (std::size_t e = 0; e < load.size(); ++e) load[e] = std::int64_t(e * 5 % 7);
    const double loss_scale = 30;
    bool same_choice = true;
    const auto loss = [&] {
        const auto now = router.route(as_matrix(x, columns), where);
        same_choice = same_choice && now.chosen == decided.chosen;
        return dot(c, now.weights) + loss_scale * router.losses(now, load, where).total();
    };
    doubles grad_x(x.size()), grad_w(weights ? weights->size() : 0);
    const std::size_t weight_columns = weights ? weights->size() / weight_rows : 0;
    router.backward(as_matrix(x, columns), decided, load, where,
                    {{c.data(), tokens, k},
                     loss_scale,
                     as_matrix(grad_x, columns),
                     {grad_w.data(), weight_rows, weight_columns}});
    CHECK(gradient_error(loss, x, grad_x) < 1e-6);
    if (weights) CHECK(gradient_error(loss, *weights, grad_w) < 1e-6);
    CHECK(same_choice);
}

/// Tokens in another order get the same experts and weights, in that order.
template <class Router>
void check_token_order(const Router& router, std::size_t tokens, bool with_ids = false) {
    job here(router.expert_count()), moved_here(router.expert_count());
    const std::size_t n = router.expert_count();
    const auto z = numbers(tokens * n, 300, 2);
    auto moved_z = z;
    const auto moved = [&](std::size_t t) { return (t + 2) % tokens; };
    for (std::size_t t = 0; t < tokens; ++t) {
        for (std::size_t i = 0; i < n; ++i) moved_z[moved(t) * n + i] = z[t * n + i];
        if (with_ids) moved_here.ids[moved(t)] = here.ids[t];
        if (with_ids) moved_here.domains[moved(t)] = here.domains[t];
    }
    const auto a = route_logits(router, z, here.where());
    const auto b = route_logits(router, moved_z, moved_here.where());
    REQUIRE(a.choice_count == b.choice_count);
    for (std::size_t t = 0; t < tokens; ++t)
        for (std::size_t s = 0; s < a.choice_count; ++s) {
            CHECK(b.expert(moved(t), s) == a.expert(t, s));
            CHECK(b.weights[moved(t) * a.choice_count + s] ==
                  Approx(a.weights[t * a.choice_count + s]));
        }
}

/// Experts under other numbers are chosen under these. Holds without ties.
template <class Router>
void check_expert_order(const Router& router, std::size_t tokens) {
    const std::size_t n = router.expert_count();
    const job here(n);
    const auto z = numbers(tokens * n, 400, 2);
    auto moved_z = z;
    const auto moved = [&](std::size_t i) { return (i + 1) % n; };
    for (std::size_t t = 0; t < tokens; ++t)
        for (std::size_t i = 0; i < n; ++i) moved_z[t * n + moved(i)] = z[t * n + i];
    const auto a = route_logits(router, z, here.where());
    const auto b = route_logits(router, moved_z, here.where());
    REQUIRE(a.choice_count == b.choice_count);
    for (std::size_t t = 0; t < tokens; ++t) {
        double weight_a = 0, weight_b = 0;
        for (std::size_t s = 0; s < a.choice_count; ++s) {
            weight_a += a.weights[t * a.choice_count + s];
            weight_b += b.weights[t * a.choice_count + s];
            if (a.expert(t, s) == locmoe::no_expert) continue;
            bool found = false;
            for (std::size_t u = 0; u < a.choice_count; ++u)
                found = found ||
                        b.expert(t, u) == locmoe::expert_id(moved(std::size_t(a.expert(t, s))));
            CHECK(found);
        }
        CHECK(weight_a == Approx(weight_b));
    }
}

/// A number added to all logits of a token changes nothing.
template <class Router>
void check_shift(const Router& router, std::size_t tokens) {
    const std::size_t n = router.expert_count();
    const job here(n);
    const auto z = numbers(tokens * n, 500, 2);
    auto shifted = z;
    for (std::size_t i = 0; i < z.size(); ++i) shifted[i] += double(i / n) * 10 - 20;
    const auto a = route_logits(router, z, here.where());
    const auto b = route_logits(router, shifted, here.where());
    CHECK(a.chosen == b.chosen);
    for (std::size_t i = 0; i < a.weights.size(); ++i) CHECK(b.weights[i] == Approx(a.weights[i]));
}

/// No tokens: an empty routing, no losses, nothing to do. NaN and infinite logits: an error with
/// token and rank.
template <class Router>
void check_edges(const Router& router) {
    const std::size_t n = router.expert_count();
    const job here(n);
    const locmoe::matrix_view<const double> none(nullptr, 0, n);
    const auto empty = router.route(none, here.where());
    CHECK(empty.token_count == 0);
    CHECK(empty.chosen.empty());
    const std::vector<std::int64_t> load(n, 1);
    CHECK(router.losses(empty, load, here.where()).total() == 0);
    CHECK_NOTHROW(router.backward(none, empty, load, here.where(), {}));

    auto z = numbers(6 * n, 600);
    z[4 * n + n - 1] = std::numeric_limits<double>::quiet_NaN();
    CHECK_THROWS_WITH(
        route_logits(router, z, here.where()),
        "locmoe: route: logits of token 4 on rank 1: expected finite numbers, got nan");
    z[4 * n + n - 1] = -std::numeric_limits<double>::infinity();
    CHECK_THROWS_WITH(
        route_logits(router, z, here.where()),
        "locmoe: route: logits of token 4 on rank 1: expected finite numbers, got -inf");
    CHECK_THROWS_AS(router.route(as_matrix(z, 1), here.where()), locmoe::argument_error);
}

/// All of these.
template <class Router>
void check_laws(const Router& router, std::size_t tokens = 8) {
    check_gradients(router, tokens, router.expert_count());
    check_edges(router);
    const job here(router.expert_count());
    const auto z = numbers(tokens * router.expert_count(), 700);
    const auto a = route_logits(router, z, here.where());
    CHECK_NOTHROW(locmoe::check_routing(a, here.placement, 1));
    CHECK(route_logits(router, z, here.where()).chosen == a.chosen);
}

}  // namespace routing_test
