#include "locmoe/routing/softmax.hpp"

#include <limits>
#include <vector>

#include "locmoe/tensor/standard.hpp"

#include "catch.hpp"
#include "routing/support.hpp"

namespace {

using locmoe::as_matrix;
using routing_test::numbers;

constexpr std::size_t T = 6, n = 5;

std::vector<double> softmax(std::vector<double> logits, std::size_t cols = n) {
    locmoe::softmax_rows(as_matrix(logits, cols));
    return logits;
}

}  // namespace

TEST_CASE("softmax rows are positive, sum to 1 and keep the ratios exp(z_i - z_j)") {
    const auto z = numbers(T * n, 1, 4);
    const auto p = softmax(z);
    for (std::size_t t = 0; t < T; ++t) {
        double sum = 0;
        for (std::size_t i = 0; i < n; ++i) {
            CHECK(p[t * n + i] > 0);
            sum += p[t * n + i];
            CHECK(p[t * n + i] / p[t * n] == Approx(std::exp(z[t * n + i] - z[t * n])));
        }
        CHECK(sum == Approx(1));
    }
}

TEST_CASE("a number added to a whole row changes no probability") {
    auto z = numbers(T * n, 2);
    const auto p = softmax(z);
    for (double& v : z) v += 1000;
    const auto q = softmax(z);
    for (std::size_t i = 0; i < p.size(); ++i) CHECK(q[i] == Approx(p[i]).epsilon(1e-10));
}

TEST_CASE("softmax takes any finite logits") {
    const double huge = std::numeric_limits<double>::max();
    CHECK(softmax({huge, -huge, 0}, 3) == std::vector<double>{1, 0, 0});
    CHECK(softmax({-huge, -huge}, 2) == std::vector<double>{0.5, 0.5});
    CHECK(softmax({}, 3).empty());
}

TEST_CASE("softmax backward is the derivative of softmax") {
    auto z = numbers(T * n, 3, 2);
    const auto c = numbers(T * n, 4);
    const auto loss = [&] { return routing_test::dot(c, softmax(z)); };
    auto p = softmax(z);
    auto grad = c;
    locmoe::softmax_backward(as_matrix(p, n), as_matrix(grad, n));
    CHECK(routing_test::gradient_error(loss, z, grad) < 1e-6);
}

TEST_CASE("softmax backward refuses a gradient of another shape") {
    auto p = numbers(T * n, 5);
    auto g = numbers((T - 1) * n, 6);
    CHECK_THROWS_WITH(locmoe::softmax_backward(as_matrix(p, n), as_matrix(g, n)),
                      "locmoe: softmax_backward: gradient: expected [6, 5], got [5, 5]");
}

TEST_CASE("top-1 takes the largest logit, of equals the lowest expert") {
    std::vector<float> z{1, 3, 2, /**/ 5, 5, 5, /**/ -9, -7, -7, /**/ 0, -0.0f, 0};
    CHECK(locmoe::top1(as_matrix(z, 3)) == std::vector<locmoe::expert_id>{1, 0, 1, 0});
    CHECK(locmoe::top1(locmoe::matrix_view<const float>{}).empty());
    CHECK_THROWS_AS(locmoe::top1(locmoe::matrix_view<const float>(z.data(), 2, 0)),
                    locmoe::argument_error);
}

TEST_CASE("top-1 refuses NaN and infinite logits, naming token, rank and what it got") {
    const float inf = std::numeric_limits<float>::infinity();
    const float nan = std::numeric_limits<float>::quiet_NaN();
    std::vector<float> z(12, 1.0f);
    const std::size_t place = GENERATE(10u, 11u);  // the first and the last column of token 5
    z[place] = nan;
    CHECK_THROWS_AS(locmoe::top1(as_matrix(z, 2), 2), locmoe::argument_error);
    CHECK_THROWS_WITH(
        locmoe::top1(as_matrix(z, 2), 2),
        "locmoe: route: logits of token 5 on rank 2: expected finite numbers, got nan");
    z[place] = -nan;
    CHECK_THROWS_WITH(
        locmoe::top1(as_matrix(z, 2), 2),
        "locmoe: route: logits of token 5 on rank 2: expected finite numbers, got nan");
    z[place] = inf;
    CHECK_THROWS_WITH(
        locmoe::top1(as_matrix(z, 2), 0),
        "locmoe: route: logits of token 5 on rank 0: expected finite numbers, got inf");
    z[place] = -inf;
    CHECK_THROWS_WITH(locmoe::top1(as_matrix(z, 2)),
                      "locmoe: route: logits of token 5: expected finite numbers, got -inf");
}

TEST_CASE("mean probabilities are column means, zero without tokens") {
    const std::vector<float> p{0.25f, 0.75f, 0.5f, 0.5f, 0, 1, 0.75f, 0.25f};
    CHECK(locmoe::mean_probabilities(as_matrix(p, 2)) == std::vector<double>{0.375, 0.625});
    CHECK(locmoe::mean_probabilities(locmoe::matrix_view<const float>(p.data(), 0, 2)) ==
          std::vector<double>{0, 0});
}
