#include "locmoe/routing/entropy_loss.hpp"

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "locmoe/tensor/standard.hpp"

#include "catch.hpp"
#include "routing/support.hpp"

namespace {

using locmoe::as_matrix;
using locmoe::entropy_loss;

constexpr std::size_t T = 5, n = 4;

double plain_entropy(const double* p) {
    double h = 0;
    for (std::size_t i = 0; i < n; ++i) h -= p[i] * std::log(p[i]);
    return h;
}

}  // namespace

TEST_CASE("the entropy loss is the tokens' mean entropy less that of the mean") {
    auto p = routing_test::numbers(T * n, 1, 2);
    locmoe::softmax_rows(as_matrix(p, n));
    double mean[n] = {}, tokens = 0;
    for (std::size_t t = 0; t < T; ++t) {
        tokens += plain_entropy(&p[t * n]) / T;
        for (std::size_t i = 0; i < n; ++i) mean[i] += p[t * n + i] / T;
    }
    CHECK(entropy_loss({.token = 0.3, .batch = 0}).value(as_matrix(p, n)) == Approx(0.3 * tokens));
    CHECK(entropy_loss({.token = 0, .batch = 0.7}).value(as_matrix(p, n)) ==
          Approx(-0.7 * plain_entropy(mean)));
    CHECK(entropy_loss({.token = 1, .batch = 1}).value(as_matrix(p, n)) ==
          Approx(tokens - plain_entropy(mean)));
}

TEST_CASE("the entropy loss's gradient is its derivative in the logits") {
    const double token = GENERATE(0.0, 0.5, -0.3);
    const double batch = token == 0 ? 0.8 : GENERATE(0.0, 0.4);
    auto z = routing_test::numbers(T * n, 3, 2);
    const auto probabilities = [&] {
        auto p = z;
        locmoe::softmax_rows(as_matrix(p, n));
        return p;
    };
    const entropy_loss loss({token, batch});
    const auto p = probabilities();
    std::vector<double> grad(T * n, 0);
    loss.add_gradient(as_matrix(p, n), 0.7, as_matrix(grad, n));
    loss.add_gradient(as_matrix(p, n), 1.0, as_matrix(grad, n));
    const auto value = [&] {
        auto now = probabilities();
        return 1.7 * loss.value(as_matrix(now, n));
    };
    CHECK(routing_test::gradient_error(value, z, grad) < 1e-6);
}

TEST_CASE("both entropy terms at once are minus the information between tokens and experts") {
    // Each token sure of its own expert, all experts used alike: log n, the most there is.
    std::vector<double> sure{1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1};
    const entropy_loss loss({.token = 1, .batch = 1});
    CHECK(loss.value(as_matrix(sure, n)) == Approx(-std::log(4.0)));
    std::vector<double> same(T * n, 0.25);
    CHECK(loss.value(as_matrix(same, n)) == Approx(0).margin(1e-15));
}

TEST_CASE("a probability of 0 leaves the entropy loss and its gradient finite") {
    std::vector<double> p{1, 0, 0, 0, 0.5, 0.5, 0, 0}, grad(8, 0);
    const entropy_loss loss({.token = 1, .batch = 1});
    CHECK(std::isfinite(loss.value(as_matrix(p, n))));
    loss.add_gradient(as_matrix(p, n), 1, as_matrix(grad, n));
    for (std::size_t i = 0; i < 8; ++i) {
        CHECK(std::isfinite(grad[i]));
        if (p[i] == 0) CHECK(grad[i] == 0);
    }
    CHECK(loss.value(as_matrix(std::vector<double>(0), n)) == 0);
}

TEST_CASE("the entropy loss refuses coefficients and shapes that cannot be") {
    CHECK_THROWS_AS(entropy_loss({.token = std::numeric_limits<double>::quiet_NaN()}),
                    locmoe::argument_error);
    CHECK_THROWS_AS(entropy_loss({.batch = std::numeric_limits<double>::infinity()}),
                    locmoe::argument_error);
    std::vector<double> p(T * n, 0.25), few(n, 0);
    CHECK_THROWS_AS(entropy_loss().add_gradient(as_matrix(p, n), 1, as_matrix(few, n), 2),
                    locmoe::argument_error);
}
