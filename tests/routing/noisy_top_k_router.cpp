#include "locmoe/routing/noisy_top_k_router.hpp"

#include <utility>
#include <vector>

#include "catch.hpp"
#include "routing/router_laws.hpp"

namespace {

using namespace routing_test;
using locmoe::noisy_gate;
using locmoe::noisy_top_k_router;

constexpr std::size_t n = 5, d = 7;

doubles noise(const doubles& w, const doubles& x, const locmoe::route_context& where) {
    const noisy_gate<double> gate(as_matrix(w, d), 3);
    doubles noisy(x.size() / d * n), quiet(noisy.size());
    gate.at(where).forward(as_matrix(x, d), as_matrix(noisy, n));
    auto still = where;
    still.training = false;
    gate.at(still).forward(as_matrix(x, d), as_matrix(quiet, n));
    for (std::size_t i = 0; i < noisy.size(); ++i) noisy[i] -= quiet[i];
    return noisy;
}

}  // namespace

TEST_CASE("noisy top-k adds normal noise of deviation softplus(v . x)") {
    const std::size_t T = 3000;
    const job here(n);
    auto w = numbers(2 * n * d, 1);
    const auto one = numbers(d, 2);
    doubles x;
    for (std::size_t t = 0; t < T; ++t) x.insert(x.end(), one.begin(), one.end());
    const auto e = noise(w, x, here.where());
    for (std::size_t i = 0; i < n; ++i) {
        double vx = 0, sum = 0, squares = 0, above = 0;
        for (std::size_t j = 0; j < d; ++j) vx += w[(n + i) * d + j] * one[j];
        const double deviation = std::log(1 + std::exp(vx));
        for (std::size_t t = 0; t < T; ++t) {
            const double v = e[t * n + i] / deviation;
            sum += v;
            squares += v * v;
            above += v > 1;
        }
        CHECK(std::fabs(sum / double(T)) < 0.09);
        CHECK(squares / double(T) == Approx(1).epsilon(0.12));
        CHECK(above / double(T) == Approx(0.1587).epsilon(0.2));
    }
}

TEST_CASE("noisy top-k takes the k largest noisy logits and their softmax") {
    const job here(n);
    const auto w = numbers(2 * n * d, 3), x = numbers(12 * d, 4, 2);
    const noisy_top_k_router<double> router(as_matrix(w, d), {.k = 2, .seed = 3});
    const auto decided = router.route(as_matrix(x, d), here.where());
    const auto e = noise(w, x, here.where());
    for (std::size_t t = 0; t < 12; ++t) {
        doubles h(n);
        for (std::size_t i = 0; i < n; ++i) {
            h[i] = e[t * n + i];
            for (std::size_t j = 0; j < d; ++j) h[i] += w[i * d + j] * x[t * d + j];
        }
        std::size_t first = 0, second = 1;
        for (std::size_t i = 0; i < n; ++i)
            if (h[i] > h[first]) first = i;
        second = first == 0 ? 1 : 0;
        for (std::size_t i = 0; i < n; ++i)
            if (i != first && h[i] > h[second]) second = i;
        CHECK(decided.expert(t, 0) == locmoe::expert_id(first));
        CHECK(decided.expert(t, 1) == locmoe::expert_id(second));
        CHECK(decided.weights[t * 2] == Approx(1 / (1 + std::exp(h[second] - h[first]))));
        CHECK(decided.weights[t * 2] + decided.weights[t * 2 + 1] == Approx(1));
    }
}

TEST_CASE("noisy top-k has exact gradients, through the softplus of the noise too") {
    auto w = numbers(2 * n * d, 5);
    const noisy_top_k_router<double> router(as_matrix(std::as_const(w), d), {.k = 3, .seed = 4});
    check_gradients(router, 6, d, &w, 2 * n);
    const job here(n);
    auto where = here.where();
    where.training = false;
    const auto x = numbers(6 * d, 6), c = numbers(6 * 3, 7);
    const auto decided = router.route(as_matrix(x, d), where);
    doubles grad_x(x.size()), grad_w(w.size());
    router.backward(as_matrix(x, d), decided, std::vector<std::int64_t>(n, 1), where,
                    {as_matrix(c, 3), 1, as_matrix(grad_x, d), as_matrix(grad_w, d)});
    CHECK(doubles(grad_w.begin() + n * d, grad_w.end()) == doubles(n * d, 0.0));
}

TEST_CASE("noisy top-k refuses an odd number of rows and a gradient of another shape") {
    const auto w = numbers(2 * n * d, 8);
    CHECK_THROWS_AS(noisy_top_k_router<double>(locmoe::matrix_view<const double>(w.data(), 5, d)),
                    locmoe::argument_error);
    const noisy_top_k_router<double> router(as_matrix(w, d));
    const job here(n);
    const auto x = numbers(2 * d, 9), c = numbers(4, 10);
    doubles grad_x(x.size()), grad_w(n * d);
    const auto decided = router.route(as_matrix(x, d), here.where());
    CHECK_THROWS_AS(
        router.backward(as_matrix(x, d), decided, std::vector<std::int64_t>(n, 1), here.where(),
                        {as_matrix(c, 2), 1, as_matrix(grad_x, d), as_matrix(grad_w, d)}),
        locmoe::argument_error);
}
