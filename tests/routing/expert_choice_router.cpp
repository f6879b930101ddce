#include "locmoe/routing/expert_choice_router.hpp"

#include <algorithm>
#include <vector>

#include "locmoe/routing/logits_gate.hpp"

#include "catch.hpp"
#include "routing/router_laws.hpp"

namespace {

using namespace routing_test;
using locmoe::expert_choice_router;
using locmoe::logits_gate;

}  // namespace

TEST_CASE("expert choice gives each expert the C tokens with the best scores for it") {
    const std::size_t n = 5, T = 23, C = 9;  // floor(2 * 23 / 5)
    const job here(n);
    const auto z = numbers(T * n, 1, 2);
    const auto decided =
        route_logits(expert_choice_router(logits_gate<double>(n)), z, here.where());
    doubles scores(T * n);
    for (std::size_t t = 0; t < T; ++t)
        for (std::size_t e = 0; e < n; ++e)
            scores[t * n + e] =
                softmax_of({z.begin() + long(t * n), z.begin() + long((t + 1) * n)}, e);
    std::size_t most = 0, seen = 0;
    for (std::size_t e = 0; e < n; ++e) {
        std::vector<std::size_t> order(T);
        for (std::size_t t = 0; t < T; ++t) order[t] = t;
        std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
            return scores[a * n + e] > scores[b * n + e];
        });
        for (std::size_t c = 0; c < T; ++c) {
            bool found = false;
            for (std::size_t s = 0; s < decided.choice_count; ++s)
                if (decided.expert(order[c], s) == locmoe::expert_id(e)) {
                    found = true;
                    CHECK(decided.weights[order[c] * decided.choice_count + s] ==
                          Approx(scores[order[c] * n + e]));
                }
            CHECK(found == (c < C));
        }
    }
    for (std::size_t t = 0; t < T; ++t) {
        std::size_t used = 0;
        for (std::size_t s = 0; s < decided.choice_count; ++s) {
            if (decided.expert(t, s) == locmoe::no_expert) {
                CHECK(decided.weights[t * decided.choice_count + s] == 0);
                continue;
            }
            if (s > 0) CHECK(decided.expert(t, s) > decided.expert(t, s - 1));  // no gaps
            ++used;
        }
        most = std::max(most, used);
        seen += used;
    }
    CHECK(most == decided.choice_count);
    CHECK(seen == n * C);
}

TEST_CASE("expert choice takes the first of equal tokens, and never more than there are") {
    const job here(3);
    const auto ties = route_logits(expert_choice_router(logits_gate<double>(3), {.capacity = 2}),
                                   doubles(12, 0.0), here.where());
    CHECK(ties.choice_count == 3);
    CHECK(ties.chosen == experts{0, 1, 2, 0, 1, 2, -1, -1, -1, -1, -1, -1});
    const auto all = route_logits(expert_choice_router(logits_gate<double>(3), {.capacity = 99}),
                                  doubles(6, 0.0), here.where());
    CHECK(all.chosen == experts{0, 1, 2, 0, 1, 2});
    const auto none = route_logits(expert_choice_router(logits_gate<double>(3), {.capacity = 0}),
                                   doubles(6, 0.0), here.where());
    CHECK(none.chosen == experts{-1, -1});
    const auto one =
        route_logits(expert_choice_router(logits_gate<double>(3), {.capacity_factor = 0.1}),
                     doubles(6, 0.0), here.where());
    CHECK(locmoe::count_choices(one) == std::vector<std::int64_t>{1, 1, 1});
    CHECK_THROWS_AS(expert_choice_router(logits_gate<double>(3), {.capacity_factor = -1}),
                    locmoe::argument_error);
}

TEST_CASE("expert choice keeps the laws") {
    const expert_choice_router router(logits_gate<double>(4), {.losses = {.locality = {}}});
    check_laws(router);
    check_token_order(router, 9);
    check_expert_order(router, 9);
    check_shift(router, 9);
}
