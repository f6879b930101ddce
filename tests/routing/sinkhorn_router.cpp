#include "locmoe/routing/sinkhorn_router.hpp"

#include <algorithm>
#include <vector>

#include "locmoe/routing/logits_gate.hpp"

#include "catch.hpp"
#include "routing/router_laws.hpp"

namespace {

using namespace routing_test;
using locmoe::logits_gate;
using locmoe::sinkhorn_router;

// Sinkhorn's iteration as a matrix: rows to 1 / T, then columns to 1 / n, many times.
doubles balance(const doubles& z, std::size_t n) {
    const std::size_t T = z.size() / n;
    doubles m(z.size());
    for (std::size_t i = 0; i < z.size(); ++i) m[i] = std::exp(z[i]);
    for (int round = 0; round < 3000; ++round) {
        for (std::size_t t = 0; t < T; ++t) {
            double sum = 0;
            for (std::size_t e = 0; e < n; ++e) sum += m[t * n + e];
            for (std::size_t e = 0; e < n; ++e) m[t * n + e] /= sum * double(T);
        }
        for (std::size_t e = 0; e < n; ++e) {
            double sum = 0;
            for (std::size_t t = 0; t < T; ++t) sum += m[t * n + e];
            for (std::size_t t = 0; t < T; ++t) m[t * n + e] /= sum * double(n);
        }
    }
    return m;
}

}  // namespace

TEST_CASE(
    "sinkhorn takes the largest entry of the balanced matrix, weighted by the plain sigmoid") {
    const std::size_t n = 5, T = 60;
    const job here(n);
    auto z = numbers(T * n, 1, 2);
    for (std::size_t t = 0; t < T; ++t) z[t * n + 1] += 2;
    const auto m = balance(z, n);
    for (const std::size_t k : {1u, 2u}) {
        const sinkhorn_router router(logits_gate<double>(n),
                                     {.k = k, .tolerance = 1e-10, .iterations = 5000});
        const auto decided = route_logits(router, z, here.where());
        for (std::size_t t = 0; t < T; ++t) {
            std::vector<locmoe::expert_id> order{0, 1, 2, 3, 4};
            std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) {
                return m[t * n + std::size_t(a)] > m[t * n + std::size_t(b)];
            });
            for (std::size_t s = 0; s < k; ++s) {
                CHECK(decided.expert(t, s) == order[s]);
                CHECK(decided.weights[t * k + s] ==
                      Approx(sigmoid_of(z[t * n + std::size_t(order[s])])));
            }
        }
        if (k == 1) {
            auto where = here.where();
            where.training = false;
            const auto plain = locmoe::count_choices(route_logits(router, z, where));
            const auto even = locmoe::count_choices(decided);
            CHECK(plain[1] > 35);
            CHECK(*std::max_element(even.begin(), even.end()) < 25);
        }
    }
}

TEST_CASE("sinkhorn keeps the laws, with sigmoids and with the softmax") {
    check_laws(sinkhorn_router(logits_gate<double>(4)));
    const sinkhorn_router<logits_gate<double>, locmoe::softmax_score> soft(logits_gate<double>(4),
                                                                           {.k = 2});
    check_laws(soft);
    check_token_order(soft, 9);
    check_expert_order(soft, 9);
    check_shift(soft, 9);
}

TEST_CASE("sinkhorn ends after its iterations, and takes far logits") {
    const job here(3);
    const sinkhorn_router router(logits_gate<double>(3), {.tolerance = 0, .iterations = 3});
    CHECK_NOTHROW(route_logits(router, {800, 0, -800, 700, 800, 1, 0, 0, 0}, here.where()));
}
