#include "locmoe/routing/x_moe_router.hpp"

#include <vector>

#include "locmoe/routing/cosine_gate.hpp"

#include "catch.hpp"
#include "routing/router_laws.hpp"

namespace {

using namespace routing_test;
using locmoe::cosine_gate;
using locmoe::x_moe_router;

constexpr std::size_t n = 5, d = 8, r = 3, size = r * d + n * r + 1;

locmoe::matrix_view<const double> row(const doubles& w) {
    return {w.data(), 1, w.size()};
}

}  // namespace

TEST_CASE("x-moe routes by the cosine in r dimensions over the temperature") {
    auto w = numbers(size, 1);
    w.back() = 1.2;  // tau = exp(-1.2)
    const x_moe_router<double> router(row(w), n, r);
    const job here(n);
    const auto x = numbers(10 * d, 2);
    const auto decided = router.route(as_matrix(x, d), here.where());
    for (std::size_t t = 0; t < 10; ++t) {
        doubles y(r), z(n);
        for (std::size_t j = 0; j < r; ++j)
            for (std::size_t c = 0; c < d; ++c) y[j] += w[j * d + c] * x[t * d + c];
        std::size_t best = 0;
        for (std::size_t e = 0; e < n; ++e) {
            double ye = 0, yy = 0, ee = 0;
            for (std::size_t j = 0; j < r; ++j) {
                const double v = w[r * d + e * r + j];
                ye += y[j] * v;
                yy += y[j] * y[j];
                ee += v * v;
            }
            z[e] = ye / std::sqrt(yy * ee) / std::exp(-1.2);
            if (z[e] > z[best]) best = e;
        }
        CHECK(decided.chosen[t] == locmoe::expert_id(best));
        CHECK(decided.weights[t] == Approx(softmax_of(z, best)));
    }
}

TEST_CASE("x-moe's gradient is exact in tokens, projection, embeddings and temperature") {
    auto w = numbers(size, 3);
    w.back() = 0.7;
    check_gradients(x_moe_router<double>(row(w), n, r, {.losses = {.locality = {}}}), 7, d, &w, 1);
    check_gradients(x_moe_router<double>(row(w), n, r, {.k = 2, .weights = {.renormalise = true}}),
                    7, d, &w, 1);
    w.back() = 5;  // past log 100: as log 100, and no gradient
    const x_moe_router<double> bounded(row(w), n, r);
    check_gradients(bounded, 7, d, &w, 1);
    auto at_bound = w;
    at_bound.back() = std::log(100.0);
    const job here(n);
    const auto x = numbers(4 * d, 4);
    CHECK(bounded.route(as_matrix(x, d), here.where()).weights[0] ==
          Approx(x_moe_router<double>(row(at_bound), n, r)
                     .route(as_matrix(x, d), here.where())
                     .weights[0]));
}

TEST_CASE("x-moe sees directions alone, and takes tokens of zeros") {
    auto w = numbers(size, 5);
    const x_moe_router<double> router(row(w), n, r);
    const job here(n);
    const auto x = numbers(4 * d, 6);
    auto longer = x;
    for (double& v : longer) v *= 50;
    const auto a = router.route(as_matrix(x, d), here.where());
    const auto b = router.route(as_matrix(longer, d), here.where());
    for (std::size_t t = 0; t < 4; ++t) CHECK(a.weights[t] == Approx(b.weights[t]));
    const doubles zeros(2 * d), c{1, 1};
    const auto none = router.route(as_matrix(zeros, d), here.where());
    CHECK(none.chosen == experts{0, 0});
    CHECK(none.weights[0] == Approx(1.0 / n));
    doubles grad_x(2 * d), grad_w(size);
    router.backward(as_matrix(zeros, d), none, std::vector<std::int64_t>(n, 1), here.where(),
                    {as_matrix(c, 1), 1, as_matrix(grad_x, d), {grad_w.data(), 1, size}});
    CHECK(grad_x == doubles(2 * d, 0.0));
}

TEST_CASE("x-moe refuses parameters that are no gate's and tokens of another width") {
    const auto w = numbers(size, 7);
    CHECK(cosine_gate<double>::parameter_count(d, n, r) == size);
    CHECK_THROWS_AS(x_moe_router<double>(row(numbers(size - 1, 8)), n, r), locmoe::argument_error);
    CHECK_THROWS_AS(x_moe_router<double>(row(w), 0, r), locmoe::argument_error);
    CHECK_THROWS_AS(x_moe_router<double>(row(w), 40, r), locmoe::argument_error);
    const x_moe_router<double> router(row(w), n, r);
    const job here(n);
    const auto x = numbers(3 * 7, 9);
    CHECK_THROWS_WITH(router.route(as_matrix(x, 7), here.where()),
                      "locmoe: cosine_gate: tokens on rank 1: expected d = 8 columns (the "
                      "projection's), got 7");
    auto nan = numbers(d, 10);
    nan[3] = std::nan("");
    CHECK_THROWS_AS(router.route(as_matrix(nan, d), here.where()), locmoe::argument_error);
}
