#include "locmoe/routing/scored_router.hpp"

#include <cmath>
#include <stdexcept>
#include <string>
#include <vector>

#include "locmoe/exec/thread_team.hpp"
#include "locmoe/routing/balanced_router.hpp"
#include "locmoe/routing/base_router.hpp"
#include "locmoe/routing/bias_balanced_router.hpp"
#include "locmoe/routing/dense_gate.hpp"
#include "locmoe/routing/dense_router.hpp"
#include "locmoe/routing/domain_locmoe_router.hpp"
#include "locmoe/routing/expert_choice_router.hpp"
#include "locmoe/routing/group_limited_router.hpp"
#include "locmoe/routing/grap_gate.hpp"
#include "locmoe/routing/gshard_router.hpp"
#include "locmoe/routing/jittered_gate.hpp"
#include "locmoe/routing/logits_gate.hpp"
#include "locmoe/routing/noisy_top_k_router.hpp"
#include "locmoe/routing/random_router.hpp"
#include "locmoe/routing/resonance_router.hpp"
#include "locmoe/routing/rre_router.hpp"
#include "locmoe/routing/sinkhorn_router.hpp"
#include "locmoe/routing/stable_moe_router.hpp"
#include "locmoe/routing/top_k_router.hpp"
#include "locmoe/routing/x_moe_router.hpp"

#include "catch.hpp"
#include "routing/router_laws.hpp"

namespace {

using namespace routing_test;
using namespace locmoe;
using gate = logits_gate<double>;
using view = matrix_view<const double>;

// The least choices, of a token's and of a batch's experts.
struct last_expert : weighting {
    static constexpr choice_input input = choice_input::scores;
    std::size_t choice_count() const { return 1; }
    void choose(std::span<const double> row, const token_place<double>&,
                std::span<expert_id> chosen) const {
        chosen[0] = expert_id(row.size() - 1);
    }
};

struct token_after_token : weighting {
    static constexpr choice_input input = choice_input::logits;
    void choose(matrix_view<const double> table, const route_context&,
                basic_routing<double>& decided) const {
        decided.choice_count = 1;
        decided.chosen.clear();
        for (std::size_t t = 0; t < table.rows; ++t)
            decided.chosen.push_back(expert_id(t % table.cols));
    }
};

// Depends on topology and placement, and must not be shown any that do not fit together.
struct placed_choice : weighting {
    last_expert at(const route_context& where) const {
        if (where.placement.rank_count() != where.nodes.rank_count())
            throw std::logic_error("the choice came before the check");
        return {};
    }
};

// A gate that gives its logits for the whole batch alone.
template <class Gate>
struct whole {
    using real = typename Gate::real;
    Gate gate;
    std::size_t expert_count() const { return gate.expert_count(); }
    template <class E>
    void forward(matrix_view<const E> tokens, matrix_view<real> logits) const {
        gate.forward(tokens, logits);
    }
    template <class E>
    void backward(matrix_view<const E>, matrix_view<const real>, matrix_view<real>,
                  matrix_view<real>) const {}
};

template <class Gate>
void check_blocks(const Gate& tried, std::size_t T, std::size_t d) {
    const job here(tried.expert_count());
    std::vector<float> x;
    for (const double v : numbers(T * d, T)) x.push_back(float(std::floor(8 * v)) / 8);
    const matrix_view<const float> tokens(x.data(), T, d);
    for (const std::size_t k : {1u, 2u, 5u}) {
        const top_k_router blocks(tried, {.k = k});
        const auto a = blocks.route(tokens, here.where());
        const auto b = top_k_router(whole<Gate>{tried}, {.k = k}).route(tokens, here.where());
        INFO("T " << T << ", n " << tried.expert_count() << ", d " << d << ", k " << k);
        CHECK(a.chosen == b.chosen);
        CHECK(a.weights == b.weights);
        CHECK(a.probabilities == b.probabilities);
        routing c = a;
        blocks.choose_into(tokens, here.where(), c);
        CHECK(c.chosen == a.chosen);
        CHECK(c.weights == a.weights);
        CHECK(c.probabilities.empty());
        thread_team team(3);
        routing shared;
        blocks.route_into(tokens, here.where(), shared, team);
        CHECK(shared.chosen == a.chosen);
        CHECK(shared.weights == a.weights);
        CHECK(shared.probabilities == a.probabilities);
        blocks.choose_into(tokens, here.where(), shared, team);
        CHECK(shared.chosen == a.chosen);
        CHECK(shared.weights == a.weights);
        top_k_router(whole<Gate>{tried}, {.k = k}).route_into(tokens, here.where(), shared, team);
        CHECK(shared.chosen == a.chosen);
        CHECK(shared.weights == a.weights);
    }
}

struct without_input : weighting {
    std::size_t choice_count() const { return 1; }
    void choose(std::span<const double>, const token_place<double>&, std::span<expert_id>) const {}
};

struct without_weights {
    [[maybe_unused]] static constexpr choice_input input = choice_input::scores;
    std::size_t choice_count() const { return 1; }
    void choose(std::span<const double>, const token_place<double>&, std::span<expert_id>) const {}
};

}  // namespace

TEST_CASE("a choice is of one row or of the whole batch, and near-misses are neither") {
    STATIC_REQUIRE(row_choice<last_expert, double>);
    STATIC_REQUIRE_FALSE(batch_choice<last_expert, double>);
    STATIC_REQUIRE(batch_choice<token_after_token, double>);
    STATIC_REQUIRE_FALSE(row_choice<token_after_token, double>);
    STATIC_REQUIRE_FALSE(row_choice<last_expert, float>);
    STATIC_REQUIRE_FALSE(row_choice<without_input, double>);
    STATIC_REQUIRE_FALSE(row_choice<without_weights, double>);
    STATIC_REQUIRE(weight_rule<weighting, float>);
    STATIC_REQUIRE_FALSE(weight_rule<without_weights, double>);
}

TEST_CASE("a choice of one's own makes a router that keeps the laws") {
    check_laws(scored_router<gate, softmax_score, last_expert>(gate(5), last_expert{}));
    check_laws(
        scored_router<gate, sigmoid_score, last_expert>(gate(5), last_expert{}, {.locality = {}}));
    check_laws(scored_router<gate, softmax_score, token_after_token>(gate(5), token_after_token{}));
}

TEST_CASE("every policy is a trainable router") {
    STATIC_REQUIRE(trainable_router<top_k_router<gate>, view>);
    STATIC_REQUIRE(trainable_router<gshard_router<gate>, view>);
    STATIC_REQUIRE(trainable_router<noisy_top_k_router<double>, view>);
    STATIC_REQUIRE(trainable_router<bias_balanced_router<gate>, view>);
    STATIC_REQUIRE(trainable_router<group_limited_router<gate>, view>);
    STATIC_REQUIRE(trainable_router<node_limited_router<gate>, view>);
    STATIC_REQUIRE(trainable_router<expert_choice_router<gate>, view>);
    STATIC_REQUIRE(trainable_router<rre_router<double>, view>);
    STATIC_REQUIRE(trainable_router<domain_locmoe_router<double>, view>);
    STATIC_REQUIRE(trainable_router<resonance_router<double>, view>);
    STATIC_REQUIRE(trainable_router<base_router<gate>, view>);
    STATIC_REQUIRE(trainable_router<sinkhorn_router<gate>, view>);
    STATIC_REQUIRE(trainable_router<x_moe_router<double>, view>);
    STATIC_REQUIRE(trainable_router<stable_moe_router<gate>, view>);
    STATIC_REQUIRE(trainable_router<dense_router<gate>, view>);
    STATIC_REQUIRE(trainable_router<random_router<double>, view>);
    STATIC_REQUIRE(trainable_router<balanced_router<double>, view>);
}

TEST_CASE("routing into an earlier batch's memory gives the same, whatever was there") {
    const job here(6);
    const top_k_router router(gate(6));
    const expert_choice_router by_experts(gate(6));
    const auto many = numbers(40 * 6, 1), few = numbers(7 * 6, 2);
    const auto check = [&](const auto& r) {
        basic_routing<double> reused;
        for (const auto* z : {&many, &few, &many}) {
            r.route_into(as_matrix(*z, 6), here.where(), reused);
            const auto fresh = route_logits(r, *z, here.where());
            CHECK(reused.token_count == fresh.token_count);
            CHECK(reused.choice_count == fresh.choice_count);
            CHECK(reused.chosen == fresh.chosen);
            CHECK(reused.weights == fresh.weights);
            CHECK(reused.probabilities == fresh.probabilities);
        }
    };
    check(router);
    check(by_experts);
}

TEST_CASE("a router refuses gradients and routings of another shape") {
    const job here(4);
    const top_k_router router(gate(4));
    const auto z = numbers(5 * 4, 3), c = numbers(10, 4);
    doubles grad(20);
    auto decided = route_logits(router, z, here.where());
    const std::vector<std::int64_t> load(4, 2);
    const auto backward = [&](const basic_routing<double>& d, std::size_t columns) {
        router.backward(as_matrix(z, 4), d, load, here.where(),
                        {{c.data(), 5, columns}, 1, as_matrix(grad, 4), {}});
    };
    CHECK_NOTHROW(backward(decided, 2));
    CHECK_THROWS_AS(backward(decided, 1), argument_error);
    auto bad = decided;
    bad.choice_count = 1;
    CHECK_THROWS_WITH(backward(bad, 2),
                      "locmoe: backward: decided.choice_count on rank 1: expected 2, got 1");
    bad = decided;
    bad.chosen[3] = 4;
    CHECK_THROWS_WITH(backward(bad, 2),
                      "locmoe: backward: expert of token 1 on rank 1: expected 0 to 3, got 4");
}

TEST_CASE("a router refuses a placement that does not fit the topology before its parts see it") {
    const scored_router<gate, softmax_score, placed_choice> router(gate(4), {});
    const topology nodes = topology::single_node(2);
    const expert_placement placed = expert_placement::blocked(4, 4);
    const route_context where{.rank = 1, .nodes = nodes, .placement = placed};
    const auto z = numbers(3 * 4, 5), c = numbers(3, 6);
    const auto refusal = [](const char* function) {
        return std::string("locmoe: ") + function +
               ": placement on rank 1: expected 2 ranks (the topology's), got 4";
    };
    basic_routing<double> decided;
    CHECK_THROWS_WITH(router.route_into(as_matrix(z, 4), where, decided), refusal("route"));
    CHECK_THROWS_WITH(router.choose_into(as_matrix(z, 4), where, decided), refusal("route"));

    const expert_placement fitting = expert_placement::blocked(4, 2);
    router.route_into(as_matrix(z, 4), {.rank = 1, .nodes = nodes, .placement = fitting}, decided);
    doubles grad(12);
    const std::vector<std::int64_t> load{0, 0, 0, 3};
    CHECK_THROWS_WITH(router.backward(as_matrix(z, 4), decided, load, where,
                                      {{c.data(), 3, 1}, 1, as_matrix(grad, 4), {}}),
                      refusal("backward"));
}

TEST_CASE("a batch in blocks is routed as it is at once, to the bit") {
    for (const std::size_t T : {0u, 1u, 8u, 47u, 520u})
        for (const std::size_t n : {6u, 16u, 64u}) {
            check_blocks(grap_gate<float>(n), T, 128);
            check_blocks(grap_gate<float>(n), T, 70);
            std::vector<float> w;
            for (const double v : numbers(n * 128, n)) w.push_back(float(v));
            const dense_gate<float> dense(matrix_view<const float>(w.data(), n, 128));
            check_blocks(dense, T, 128);
            for (const double epsilon : {0.0, 0.1}) {
                const job here(n);
                const route_context where = here.where();
                check_blocks(jittered_gate(dense, {.epsilon = epsilon}).at(where), T, 128);
            }
        }
}
