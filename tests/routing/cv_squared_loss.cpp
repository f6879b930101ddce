#include "locmoe/routing/cv_squared_loss.hpp"

#include <cstdint>
#include <vector>

#include "catch.hpp"
#include "routing/support.hpp"

namespace {

using locmoe::cv_squared_loss;

}  // namespace

TEST_CASE("the CV^2 loss is the variance over the squared mean") {
    for (std::uint64_t seed = 1; seed <= 10; ++seed) {
        auto x = routing_test::numbers(6, seed);
        for (double& v : x) v += 1.5;
        double mean = 0, variance = 0;
        for (const double v : x) mean += v / 6;
        for (const double v : x) variance += (v - mean) * (v - mean) / 6;
        CHECK(cv_squared_loss().value(x) == Approx(0.1 * variance / (mean * mean)));
    }
    CHECK(cv_squared_loss({.weight = 2}).value(std::vector<double>(5, 3.5)) ==
          Approx(0).margin(1e-14));
    CHECK(cv_squared_loss({.weight = 1}).value(std::vector<double>{0, 7, 0, 0}) == Approx(3));
}

TEST_CASE("the CV^2 loss's gradient is its derivative") {
    auto x = routing_test::numbers(6, 3);
    for (double& v : x) v += 1.5;
    const cv_squared_loss loss;
    std::vector<double> grad(6, 0);
    loss.add_gradient(x, 0.7, grad);
    loss.add_gradient(x, 1.0, grad);
    CHECK(routing_test::gradient_error([&] { return 1.7 * loss.value(x); }, x, grad) < 1e-6);
}

TEST_CASE("importance sums the weights that each expert got, and so does its gradient") {
    using locmoe::no_expert;
    locmoe::basic_routing<double> d{3, 2, 4, {0, 2, 2, no_expert, 3, 0}, {}, {}};
    d.weights = {0.6, 0.4, 0.9, 0.1, 0.25, 0.75};
    const auto x = locmoe::importance(d);
    CHECK(x[0] == Approx(0.6 + 0.75));
    CHECK(x[1] == 0);
    CHECK(x[2] == Approx(0.4 + 0.9));
    CHECK(x[3] == Approx(0.25));

    const cv_squared_loss loss;
    std::vector<double> by_expert(4, 0), grad(6, 0);
    loss.add_gradient(x, 1, by_expert);
    for (std::size_t i = 0; i < 6; ++i)
        if (d.chosen[i] != no_expert) grad[i] = by_expert[static_cast<std::size_t>(d.chosen[i])];
    CHECK(routing_test::gradient_error([&] { return loss.value(locmoe::importance(d)); }, d.weights,
                                       grad) < 1e-6);
}

TEST_CASE("without anything to spread the CV^2 loss is 0") {
    std::vector<double> grad(3, 0);
    CHECK(cv_squared_loss().value(std::vector<double>(3, 0)) == 0);
    cv_squared_loss().add_gradient(std::vector<double>(3, 0), 1, grad);
    CHECK(grad == std::vector<double>(3, 0));
    CHECK(cv_squared_loss().value(std::vector<double>()) == 0);
}

TEST_CASE("the CV^2 loss and importance refuse what does not fit") {
    std::vector<double> few(2, 0);
    CHECK_THROWS_AS(cv_squared_loss({.weight = -0.1}), locmoe::argument_error);
    CHECK_THROWS_WITH(cv_squared_loss().add_gradient(std::vector<double>(3, 1), 1, few),
                      "locmoe: cv_squared_loss: grad: expected 3 numbers, got 2");
    locmoe::routing d{1, 1, 2, {2}, {1.0f}, {}};
    CHECK_THROWS_WITH(locmoe::importance(d, 4), Catch::Contains("expert of token 0 on rank 4"));
    d.weights.clear();
    CHECK_THROWS_AS(locmoe::importance(d), locmoe::argument_error);
}
