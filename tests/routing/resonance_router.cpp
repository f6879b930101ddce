#include "locmoe/routing/resonance_router.hpp"

#include <algorithm>
#include <vector>

#include "locmoe/capacity/experts_choose.hpp"
#include "locmoe/routing/grap_cosine_gate.hpp"
#include "locmoe/routing/resonance_odds.hpp"

#include "catch.hpp"
#include "routing/router_laws.hpp"

namespace {

using namespace routing_test;
using locmoe::no_expert;
using locmoe::resonance_router;

constexpr std::size_t n = 4, d = 10, T = 30;  // segments of 3 3 2 2

double affinity(const doubles& x, std::size_t t, std::size_t i) {
    const std::size_t first = i < 2 ? 3 * i : 2 * i + 2, length = i < 2 ? 3 : 2;
    double dot = 0, xx = 0;
    for (std::size_t j = 0; j < d; ++j) {
        const double w = j >= first && j < first + length ? 1 / double(length) : 0;
        dot += x[t * d + j] * w;
        xx += x[t * d + j] * x[t * d + j];
    }
    return dot / std::sqrt(xx) / std::sqrt(1 / double(length));
}

// Affinities sorted; the first, then more until the sum passes the threshold or the rest is
// negative.
experts token_choice(const doubles& x, std::size_t t, double threshold, std::size_t most) {
    experts order{0, 1, 2, 3};
    std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) {
        return affinity(x, t, std::size_t(a)) > affinity(x, t, std::size_t(b));
    });
    double sum = affinity(x, t, std::size_t(order[0]));
    std::size_t l = 1;
    while (l < most && sum < threshold && affinity(x, t, std::size_t(order[l])) > 0)
        sum += affinity(x, t, std::size_t(order[l++]));
    order.resize(l);
    order.resize(most, no_expert);
    return order;
}

}  // namespace

TEST_CASE("resonance: a token takes experts until their affinities reach the threshold") {
    const job here(n);
    const auto x = numbers(T * d, 1);
    std::vector<std::size_t> lengths(4, 0);
    for (const double threshold : {0.0, 0.5, 0.8, 9.0}) {
        const resonance_router<double> router(n, {.threshold = threshold, .max_choices = 3});
        const auto decided = router.route(as_matrix(x, d), here.where());
        for (std::size_t t = 0; t < T; ++t) {
            const auto expected = token_choice(x, t, threshold, 3);
            CHECK(experts(decided.chosen.begin() + long(t * 3),
                          decided.chosen.begin() + long(t * 3 + 3)) == expected);
            ++lengths[std::size_t(3 - std::count(expected.begin(), expected.end(), no_expert))];
            doubles z;
            for (std::size_t i = 0; i < n; ++i) z.push_back(affinity(x, t, i));
            for (std::size_t s = 0; s < 3; ++s)
                CHECK(
                    decided.weights[t * 3 + s] ==
                    Approx(expected[s] == no_expert ? 0 : softmax_of(z, std::size_t(expected[s]))));
        }
    }
    CHECK((lengths[1] > 0 && lengths[2] > 0 && lengths[3] > 0));
}

TEST_CASE("resonance: of the tokens that chose it, an expert keeps the C of highest affinity") {
    const job here(n);
    const auto x = numbers(T * d, 2);
    const std::size_t C = 5;
    resonance_router<double> router(n, {.threshold = 0.8, .expert_capacity = C});
    const auto decided = router.route(as_matrix(x, d), here.where());
    for (std::size_t i = 0; i < n; ++i) {
        std::vector<std::pair<double, std::size_t>> wants;
        for (std::size_t t = 0; t < T; ++t)
            for (const auto e : token_choice(x, t, 0.8, 2))
                if (e == locmoe::expert_id(i)) wants.push_back({-affinity(x, t, i), t});
        std::sort(wants.begin(), wants.end());
        REQUIRE(wants.size() > C);
        for (std::size_t c = 0; c < wants.size(); ++c) {
            const auto* slots = decided.chosen.data() + wants[c].second * 2;
            CHECK((slots[0] == locmoe::expert_id(i) || slots[1] == locmoe::expert_id(i)) ==
                  (c < C));
        }
    }
    router.choice().set_expert_capacity(std::nullopt);
    const auto all = locmoe::count_choices(router.route(as_matrix(x, d), here.where()));
    for (const auto l : all) CHECK(l > std::int64_t(C));
}

TEST_CASE("resonance: gradients are exact, dropped and unchosen slots included") {
    check_gradients(resonance_router<double>(n, {.threshold = 0.8, .max_choices = 3}), 9, d);
    check_gradients(resonance_router<double>(n, {.threshold = 0.8, .expert_capacity = 2}), 9, d);
    const job here(n);
    const doubles zeros(d), c{1, 1};
    const resonance_router<double> router(n);
    const auto decided = router.route(as_matrix(zeros, d), here.where());
    CHECK(decided.chosen == experts{0, no_expert});
    doubles grad(d);
    router.backward(as_matrix(zeros, d), decided, std::vector<std::int64_t>(n, 1), here.where(),
                    {as_matrix(c, 2), 1, as_matrix(grad, d), {}});
    CHECK(grad == doubles(d, 0.0));
    CHECK_THROWS_AS(resonance_router<double>(n, {.max_choices = 5}), locmoe::argument_error);
    CHECK_THROWS_AS(resonance_router<double>(n, {.max_choices = 0}), locmoe::argument_error);
    auto nan = numbers(d, 3);
    nan[9] = std::nan("");
    CHECK_THROWS_AS(router.route(as_matrix(nan, d), here.where()), locmoe::argument_error);
}

TEST_CASE("resonance: the odds are counted against the right experts") {
    // Right: tokens 0 and 1 for expert 0, token 2 for expert 1, nobody for expert 2.
    const doubles a{.9, .1, .0, /**/ .2, .5, .1, /**/ .3, .4, .9};
    const experts right{0, 0, 1}, chosen{0, 1, /**/ 1, 2, /**/ 2, no_expert};
    const auto odds = locmoe::measure_odds<double>(as_matrix(a, 3), right, chosen);
    CHECK(odds.right == doubles{0.5, 0, 0});
    // Expert 0: token 2 (.3) beats token 1 (.2) but not token 0. Expert 1: token 1 (.5) beats .4.
    CHECK(odds.wrong == doubles{0.5, 0.5, 0});
    CHECK_THROWS_AS(locmoe::measure_odds<double>(as_matrix(a, 3), experts{0, 0}, chosen),
                    locmoe::argument_error);
    CHECK_THROWS_AS(locmoe::measure_odds<double>(as_matrix(a, 3), experts{0, 0, 3}, chosen),
                    locmoe::argument_error);
    CHECK_THROWS_AS(locmoe::measure_odds<double>(as_matrix(a, 3), right, experts{0, 1}),
                    locmoe::argument_error);
}

TEST_CASE("resonance: tokens choose early in training, experts late, nothing flips between") {
    const doubles p(4, 0.5);
    const auto choose = [&](double q, bool so_far) {
        const doubles wrong(4, q);
        return locmoe::experts_choose(
            {.token_count = 1000, .capacity = 50, .right = p, .wrong = wrong}, so_far);
    };
    CHECK_FALSE(choose(0.5, true));  // exp(-62) at most, against 50 * 2 / 1000
    CHECK(choose(0.02, false));      // C >= 2 s q: 1 - exp(-9.4) at least
    for (const bool so_far : {false, true}) CHECK(choose(0.05, so_far) == so_far);
}
