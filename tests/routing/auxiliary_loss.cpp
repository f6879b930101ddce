#include "locmoe/routing/auxiliary_loss.hpp"

#include <cstdint>
#include <limits>
#include <vector>

#include "locmoe/routing/softmax.hpp"
#include "locmoe/tensor/standard.hpp"

#include "catch.hpp"
#include "routing/support.hpp"

namespace {

using locmoe::as_matrix;
using locmoe::auxiliary_loss;
using counts = std::vector<std::int64_t>;

constexpr std::size_t n = 4;

// Positive numbers of sum 1.
std::vector<double> distribution(std::uint64_t seed) {
    auto p = routing_test::numbers(n, seed, 2);
    locmoe::softmax_rows(as_matrix(p, n));
    return p;
}

}  // namespace

TEST_CASE("the auxiliary loss is alpha n sum f_i P_i") {
    const std::vector<double> mean{0.1, 0.2, 0.3, 0.4};
    const counts load{1, 2, 3, 4};
    CHECK(auxiliary_loss().value(mean, load) == Approx(0.01 * 4 * 0.3));
    CHECK(auxiliary_loss({.alpha = 2}).value(mean, load) == Approx(2 * 4 * 0.3));
    CHECK(auxiliary_loss({.alpha = 0}).value(mean, load) == 0);
}

TEST_CASE("only the shares of the load count, so that a load summed over equal ranks is the same") {
    const auto mean = distribution(1);
    const double one = auxiliary_loss().value(mean, counts{3, 0, 5, 2});
    CHECK(auxiliary_loss().value(mean, counts{24, 0, 40, 16}) == Approx(one));
    CHECK(auxiliary_loss().value(mean, counts{5, 0, 3, 2}) != Approx(one));
}

TEST_CASE("where f = P, the auxiliary loss is least, alpha, at the uniform load") {
    const auxiliary_loss loss({.alpha = 0.5});
    CHECK(loss.value(std::vector<double>(n, 0.25), counts(n, 7)) == Approx(0.5));
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        const auto mean = distribution(seed);
        counts load;
        for (const double p : mean) load.push_back(static_cast<std::int64_t>(p * 1e12));
        CHECK(loss.value(mean, load) > 0.5);
    }
    CHECK(loss.value(std::vector<double>{1, 0, 0, 0}, counts{9, 0, 0, 0}) == Approx(2));
}

TEST_CASE("the auxiliary loss is alpha under perfect balance, or k alpha in Mixtral's scaling") {
    const std::vector<double> mean(n, 0.25);
    const counts twice_a_token(n, 2 * 5);  // 10 tokens, k = 2
    CHECK(auxiliary_loss().value(mean, twice_a_token) == Approx(0.01));
    CHECK(auxiliary_loss({.alpha = 0.01, .balanced_value = 2}).value(mean, twice_a_token) ==
          Approx(0.02));
    // HF: n times the sum of (pairs of expert i / tokens) times P_i.
    const auto skewed = distribution(4);
    const counts load{9, 2, 6, 3};
    double mixtral = 0;
    for (std::size_t i = 0; i < n; ++i)
        mixtral += n * static_cast<double>(load[i]) / 10 * skewed[i];
    CHECK(auxiliary_loss({.alpha = 1, .balanced_value = 2}).value(skewed, load) == Approx(mixtral));
    std::vector<double> grad(n, 0), twice(n, 0);
    auxiliary_loss({.alpha = 1}).add_gradient(load, 1, grad);
    auxiliary_loss({.alpha = 1, .balanced_value = 2}).add_gradient(load, 1, twice);
    for (std::size_t i = 0; i < n; ++i) CHECK(twice[i] == Approx(2 * grad[i]));
    CHECK_THROWS_AS(auxiliary_loss({.alpha = 1, .balanced_value = -1}), locmoe::argument_error);
}

TEST_CASE("the auxiliary loss's gradient is its derivative, through the mean to probabilities") {
    constexpr std::size_t T = 3;
    const double scale = 1.7;
    const counts load{5, 0, 2, 4};
    auto p = routing_test::numbers(T * n, 2);
    const auxiliary_loss aux;
    const auto loss = [&] {
        return scale * aux.value(locmoe::mean_probabilities(as_matrix(p, n)), load);
    };
    std::vector<double> grad_mean(n, 0);
    aux.add_gradient(load, scale / 2, grad_mean);
    aux.add_gradient(load, scale / 2, grad_mean);
    std::vector<double> grad(T * n);
    for (std::size_t i = 0; i < grad.size(); ++i) grad[i] = grad_mean[i % n] / T;
    CHECK(routing_test::gradient_error(loss, p, grad) < 1e-6);
}

TEST_CASE("without tokens the auxiliary loss and its gradient are 0") {
    std::vector<double> grad(n, 0);
    CHECK(auxiliary_loss().value(std::vector<double>(n, 0), counts(n, 0)) == 0);
    CHECK(auxiliary_loss().value(std::vector<double>(n, 0), counts{1, 2, 3, 4}) == 0);
    auxiliary_loss().add_gradient(counts(n, 0), 1, grad);
    CHECK(grad == std::vector<double>(n, 0));
}

TEST_CASE("the auxiliary loss refuses a load or an alpha that cannot be") {
    const auto mean = distribution(3);
    CHECK_THROWS_AS(auxiliary_loss().value(mean, counts{1, 2}), locmoe::argument_error);
    CHECK_THROWS_WITH(auxiliary_loss().value(mean, counts{1, 2}, 3),
                      "locmoe: auxiliary_loss: load on rank 3: expected n = 4 counts, got 2");
    CHECK_THROWS_WITH(auxiliary_loss().value(mean, counts{1, -2, 3, 4}, 1),
                      "locmoe: auxiliary_loss: load of expert 1 on rank 1: expected a count >= 0, "
                      "got -2");
    CHECK_THROWS_AS(auxiliary_loss({.alpha = -0.1}), locmoe::argument_error);
    CHECK_THROWS_AS(auxiliary_loss({.alpha = std::numeric_limits<double>::quiet_NaN()}),
                    locmoe::argument_error);
    CHECK_THROWS_AS(auxiliary_loss({.alpha = std::numeric_limits<double>::infinity()}),
                    locmoe::argument_error);
}
