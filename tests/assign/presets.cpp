#include "locmoe/assign/presets.hpp"

#include <algorithm>
#include <vector>

#include "locmoe/routing/logits_gate.hpp"

#include "catch.hpp"
#include "routing/router_laws.hpp"

namespace {

using namespace routing_test;
namespace presets = locmoe::presets;
using locmoe::logits_gate;

template <class Preset>
double loss_at_balance(const Preset& p) {
    const std::size_t n = 4;
    const job here(n);
    const locmoe::top_k_router router(logits_gate<double>(n), p.router);
    const doubles z(8 * n, 0.0);
    const auto decided = route_logits(router, z, here.where());
    const std::vector<std::int64_t> even(n, 6);
    return router.losses(decided, even, here.where()).auxiliary / p.router.losses.auxiliary.alpha;
}

}  // namespace

TEST_CASE("presets: each codebase's capacity for one and the same setting") {
    const locmoe::capacity_demand demand{.token_count = 100, .choice_count = 2, .expert_count = 7};
    CHECK(presets::tutel(2, 1.25).capacity->slots(demand) == 36);
    CHECK(presets::deepspeed(2, 1.25).capacity->slots(demand) == 36);
    CHECK(presets::megatron(2, 1.25).capacity->slots(demand) == 36);
    CHECK(presets::torchscale().capacity->slots(demand) == 30);
    CHECK(locmoe::capacity_rule::megablocks(1.25).slots(demand) == 35);
    CHECK(locmoe::capacity_rule::flaxformer(1.25).slots(demand) == 18);
    CHECK_FALSE(presets::mixtral().capacity);
    CHECK_FALSE(presets::deepseek_v3().capacity);
}

TEST_CASE("presets: the auxiliary loss at balance is 1, and k for Mixtral") {
    CHECK(loss_at_balance(presets::tutel(2, 1)) == Approx(1));
    CHECK(loss_at_balance(presets::deepspeed(2, 1)) == Approx(1));
    CHECK(loss_at_balance(presets::megatron(2, 1)) == Approx(1));
    CHECK(loss_at_balance(presets::torchscale()) == Approx(1));
    CHECK(loss_at_balance(presets::mixtral(3)) == Approx(3));
}

TEST_CASE("presets: the load counts first choices or all, as each codebase does") {
    const std::size_t n = 6;
    const job here(n);
    const auto z = numbers(40 * n, 1);
    const auto counted = [&](const auto& p) {
        const locmoe::top_k_router router(logits_gate<double>(n), p.router);
        std::int64_t sum = 0;
        for (const auto l : locmoe::count_load(p.load, route_logits(router, z, here.where())))
            sum += l;
        return sum;
    };
    CHECK(counted(presets::tutel(2, 1)) == 40);
    CHECK(counted(presets::deepspeed(2, 1)) == 40);
    CHECK(counted(presets::deepspeed(4, 1)) == 160);
    CHECK(counted(presets::torchscale()) == 40);
    CHECK(counted(presets::megatron(2, 1)) == 80);
    CHECK(counted(presets::mixtral()) == 80);
}

TEST_CASE("presets: weights before or after the choice, and who is dropped") {
    const job here(3);
    const doubles z{2, 1, 0};
    const auto weights = [&](const auto& p) {
        return route_logits(locmoe::top_k_router(logits_gate<double>(3), p.router), z, here.where())
            .weights;
    };
    CHECK(weights(presets::tutel(1, 1))[0] == Approx(softmax_of(z, 0)));
    CHECK(weights(presets::deepspeed(1, 1))[0] == Approx(softmax_of(z, 0)));
    CHECK(weights(presets::megatron(1, 1))[0] == Approx(1));
    for (const auto& w : {weights(presets::tutel(2, 1)), weights(presets::megatron(2, 1)),
                          weights(presets::torchscale()), weights(presets::mixtral())})
        CHECK(w[0] == Approx(softmax_of({2, 1}, 0)));

    // Tokens in falling order of certainty backwards: one slot an expert.
    const doubles two{1, 0, -9, /**/ 3, 0, -9};
    const auto kept = [&](const auto& p) {
        const auto decided =
            route_logits(locmoe::top_k_router(logits_gate<double>(3), p.router), two, here.where());
        return locmoe::assign(decided, p.drops, {.capacity = 1}).expert;
    };
    CHECK(kept(presets::tutel(1, 1)) == experts{0, locmoe::no_expert});
    CHECK(kept(presets::mixtral(1)) == experts{0, 0});
    auto megatron = presets::megatron(1, 1);
    megatron.router.weights.renormalise = false;  // as Megatron asks for k = 1
    CHECK(kept(megatron) == experts{locmoe::no_expert, 0});
}

TEST_CASE("presets: who is dropped by DeepSpeed hangs on k") {
    const std::size_t n = 5, T = 60;
    const job here(n);
    const auto z = numbers(T * n, 3, 2);
    const auto same_as = [&](std::size_t k, const auto& policy) {
        const auto p = presets::deepspeed(k, 1);
        const auto decided =
            route_logits(locmoe::top_k_router(logits_gate<double>(n), p.router), z, here.where());
        const locmoe::assign_options options{.capacity = 7};
        const auto got = locmoe::assign(decided, p.drops, options);
        REQUIRE(got.dropped_count() > 0);
        return got.expert == locmoe::assign(decided, policy, options).expert;
    };
    CHECK(same_as(1, locmoe::drop_at_random{}));
    CHECK(same_as(2, locmoe::choices_in_turn{}));
    CHECK(same_as(3, locmoe::drop_by_probability{}));
    CHECK_FALSE(same_as(3, locmoe::choices_in_turn{}));

    locmoe::routing no_probabilities{1, 3, 3, {0, 1, 2}, {1, 1, 1}, {}};
    const locmoe::deepspeed_drops drops;
    CHECK_THROWS_AS(drops.check(no_probabilities, 0), locmoe::argument_error);
    no_probabilities.choice_count = 1;
    CHECK_NOTHROW(drops.check(no_probabilities, 0));
}

TEST_CASE("presets: whose weights go to the choices that were kept") {
    CHECK_FALSE(presets::deepspeed(1, 1).weights_over_kept);
    CHECK(presets::deepspeed(2, 1).weights_over_kept);
    CHECK(presets::deepspeed(3, 1).weights_over_kept);
    CHECK(presets::torchscale().weights_over_kept);
    CHECK_FALSE(presets::tutel(2, 1).weights_over_kept);
    CHECK_FALSE(presets::megatron(2, 1).weights_over_kept);
}

TEST_CASE("presets: deepseek-v3 reaches 4 of 8 groups with 8 experts of weights' sum 2.5") {
    const std::size_t n = 64, T = 30;
    const job here(n);
    const std::vector<float> bias(n);
    const auto p = presets::deepseek_v3();
    const locmoe::bias_balanced_router router(logits_gate<double>(n), bias, p.router);
    const auto decided = route_logits(router, numbers(T * n, 2, 2), here.where());
    for (std::size_t t = 0; t < T; ++t) {
        std::vector<int> groups(8, 0);
        double sum = 0;
        for (std::size_t s = 0; s < 8; ++s) {
            groups[std::size_t(decided.expert(t, s)) / 8] = 1;
            sum += decided.weights[t * 8 + s];
        }
        CHECK(std::count(groups.begin(), groups.end(), 1) <= 4);
        CHECK(sum == Approx(2.5));
    }
    CHECK(p.bias.rate == 0.001);
    CHECK(presets::megatron(2, 1).groups == locmoe::group_score::best_k_over_limit);
}
