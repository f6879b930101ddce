#include "locmoe/routing/score_function.hpp"

#include <cmath>
#include <limits>
#include <vector>

#include "locmoe/routing/detail/row_exp.hpp"
#include "locmoe/tensor/standard.hpp"

#include "catch.hpp"
#include "routing/support.hpp"

namespace {

using locmoe::score_function;
using locmoe::sigmoid_score;
using locmoe::softmax_score;
using routing_test::numbers;

constexpr std::size_t T = 4, n = 19;

// d of sum c s + sum own mean(s), by the score function's own words.
template <class Score>
void check_score(const Score& score) {
    auto z = numbers(T * n, 1, 2);
    const auto c = numbers(T * n, 2), own = numbers(n, 3);
    const auto scored = [&] {
        auto s = z;
        for (std::size_t t = 0; t < T; ++t) score.forward(std::span(s).subspan(t * n, n));
        return s;
    };
    const auto loss = [&] {
        const auto s = scored();
        return routing_test::dot(c, s) +
               double(T) * routing_test::dot(
                               own, score.mean(locmoe::matrix_view<const double>(s.data(), T, n)));
    };
    auto grad = c;
    const auto s = scored();
    for (std::size_t t = 0; t < T; ++t) {
        const std::span<const double> row(s.data() + t * n, n);
        const auto g = std::span(grad).subspan(t * n, n);
        score.add_mean_gradient(row, std::span<const double>(own), g);
        score.backward(row, g);
    }
    CHECK(routing_test::gradient_error(loss, z, grad) < 1e-6);
    double sum = 0;
    for (const double p : score.mean(locmoe::matrix_view<const double>(s.data(), T, n))) sum += p;
    CHECK(sum == Approx(1));
    CHECK(score.mean(locmoe::matrix_view<const double>(s.data(), 0, n)) ==
          std::vector<double>(n, 0.0));
}

struct without_mean {
    void forward(std::span<float>) const {}
    void backward(std::span<const float>, std::span<float>) const {}
    void add_mean_gradient(std::span<const float>, std::span<const float>, std::span<float>) const {
    }
};

}  // namespace

TEST_CASE("score functions have exact gradients, and their means sum to 1") {
    check_score(softmax_score{});
    check_score(sigmoid_score{});
    STATIC_REQUIRE(score_function<softmax_score, float>);
    STATIC_REQUIRE(score_function<sigmoid_score, double>);
    STATIC_REQUIRE_FALSE(score_function<without_mean, float>);
}

TEST_CASE("the sigmoid is 1 / (1 + exp(-z)), each expert for itself") {
    std::vector<double> z{-2, 0, 3};
    sigmoid_score{}.forward(std::span(z));
    CHECK(z[0] == Approx(1 / (1 + std::exp(2))));
    CHECK(z[1] == 0.5);
    CHECK(z[2] == Approx(1 / (1 + std::exp(-3))));
    std::vector<float> far{-200, 200, -90, 90};
    sigmoid_score{}.forward(std::span(far));
    CHECK(far[0] < 1e-37f);
    CHECK(far[1] == 1);
    CHECK(far[2] < 1e-37f);
    CHECK(far[3] == 1);
}

TEST_CASE("the float exponential is within 2e-7 of the true one, 0 below the normal floats") {
    double worst = 0;
    for (float x = -87.29f; x < 88.29f; x += 0.00371f) {
        const double exact = std::exp(double(x));
        worst = std::fmax(worst, std::fabs(double(locmoe::detail::fast_exp(x)) - exact) / exact);
    }
    CHECK(worst < 2e-7);
    const float inf = std::numeric_limits<float>::infinity();
    CHECK(locmoe::detail::fast_exp(0.0f) == 1);
    CHECK(locmoe::detail::fast_exp(-87.31f) == 0);
    CHECK(locmoe::detail::fast_exp(-inf) == 0);
    CHECK(locmoe::detail::fast_exp(inf) > 2e38f);
    CHECK(std::isnan(locmoe::detail::fast_exp(std::numeric_limits<float>::quiet_NaN())));
}

TEST_CASE("softmax gives a masked expert, at minus infinity, probability 0") {
    const float inf = std::numeric_limits<float>::infinity();
    std::vector<float> z{-inf, 1, -inf, 1};
    softmax_score{}.forward(std::span(z));
    CHECK(z == std::vector<float>{0, 0.5f, 0, 0.5f});
}
