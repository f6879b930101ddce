#include "locmoe/routing/router_z_loss.hpp"

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "locmoe/tensor/standard.hpp"

#include "catch.hpp"
#include "routing/support.hpp"

namespace {

using locmoe::as_matrix;
using locmoe::router_z_loss;

constexpr std::size_t T = 5, n = 4;
constexpr double infinity = std::numeric_limits<double>::infinity();

}  // namespace

TEST_CASE("the z-loss is the mean square of each token's log-sum-exp") {
    for (std::uint64_t seed = 1; seed <= 10; ++seed) {
        auto z = routing_test::numbers(T * n, seed, 3);
        double sum = 0;
        for (std::size_t t = 0; t < T; ++t) {
            double e = 0;
            for (std::size_t i = 0; i < n; ++i) e += std::exp(z[t * n + i]);
            sum += std::log(e) * std::log(e);
        }
        CHECK(router_z_loss({.coefficient = 0.5}).value(as_matrix(z, n)) ==
              Approx(0.5 * sum / T).epsilon(1e-12));
    }
}

TEST_CASE("in float the z-loss and its gradient are those in double, to rounding") {
    constexpr std::size_t wide = 70;  // more than the sums' parts, and no multiple of them
    const auto z = routing_test::numbers(T * wide, 2, 5);
    std::vector<float> narrow(z.begin(), z.end()), grad(T * wide, 0);
    std::vector<double> same(narrow.begin(), narrow.end()), want(T * wide, 0);
    const router_z_loss loss;
    CHECK(loss.value(as_matrix(narrow, wide)) ==
          Approx(loss.value(as_matrix(same, wide))).epsilon(1e-6));
    loss.add_gradient(as_matrix(narrow, wide), 1, as_matrix(grad, wide));
    loss.add_gradient(as_matrix(same, wide), 1, as_matrix(want, wide));
    for (std::size_t i = 0; i < want.size(); ++i)
        CHECK(static_cast<double>(grad[i]) == Approx(want[i]).epsilon(1e-5));
}

TEST_CASE("the z-loss's gradient is its derivative in the logits") {
    auto z = routing_test::numbers(T * n, 7, 3);
    const router_z_loss loss;
    std::vector<double> grad(T * n, 0);
    loss.add_gradient(as_matrix(z, n), 0.7, as_matrix(grad, n));
    loss.add_gradient(as_matrix(z, n), 1.0, as_matrix(grad, n));
    CHECK(routing_test::gradient_error([&] { return 1.7 * loss.value(as_matrix(z, n)); }, z, grad) <
          1e-6);
}

TEST_CASE("the z-loss holds for logits whose exponentials overflow, and for masked experts") {
    std::vector<float> z{2000, 2000, static_cast<float>(-infinity), 1000};
    const router_z_loss loss({.coefficient = 1});
    CHECK(loss.value(as_matrix(z, n)) == Approx(std::pow(2000 + std::log(2.0), 2)));
    std::vector<float> grad(n, 0);
    loss.add_gradient(as_matrix(z, n), 1, as_matrix(grad, n));
    CHECK(grad[0] == Approx(2000 + std::log(2.0)));
    CHECK(grad[2] == 0);
}

TEST_CASE("unlike the softmax the z-loss knows a shift of the logits") {
    std::vector<double> z(T * n, 1), shifted(T * n, 2);
    CHECK(router_z_loss().value(as_matrix(shifted, n)) > router_z_loss().value(as_matrix(z, n)));
    CHECK(router_z_loss().value(as_matrix(std::vector<double>(0), n)) == 0);
}

TEST_CASE("the z-loss refuses a row without a finite log-sum-exp, naming token and rank") {
    const router_z_loss loss;
    for (const double bad : {infinity, std::numeric_limits<double>::quiet_NaN()}) {
        std::vector<double> z(T * n, 0);
        z[2 * n + 1] = bad;
        CHECK_THROWS_WITH(loss.value(as_matrix(z, n), 6),
                          Catch::Contains("router_z_loss: logits of token 2 on rank 6"));
        z[2 * n + 1] = 0;
        z[2 * n] = bad;
        CHECK_THROWS_AS(loss.value(as_matrix(z, n)), locmoe::argument_error);
    }
    std::vector<double> masked(n, -infinity);
    CHECK_THROWS_AS(loss.value(as_matrix(masked, n)), locmoe::argument_error);
    CHECK_THROWS_AS(router_z_loss({.coefficient = -1}), locmoe::argument_error);
    std::vector<double> few(n, 0), z(T * n, 0);
    CHECK_THROWS_AS(loss.add_gradient(as_matrix(z, n), 1, as_matrix(few, n)),
                    locmoe::argument_error);
}
