#include "locmoe/routing/noisy_load.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "locmoe/routing/cv_squared_loss.hpp"
#include "locmoe/tensor/standard.hpp"

#include "catch.hpp"
#include "routing/support.hpp"

namespace {

constexpr std::size_t T = 4, n = 5;

struct batch {
    std::vector<double> clean, deviation, noise;

    explicit batch(std::uint64_t seed)
        : clean(routing_test::numbers(T * n, seed)),
          deviation(routing_test::numbers(T * n, seed + 50)),
          noise(routing_test::numbers(T * n, seed + 100, 2)) {
        for (double& s : deviation) s += 1.3;
    }

    std::vector<double> noisy() const {
        std::vector<double> h(clean);
        for (std::size_t i = 0; i < h.size(); ++i) h[i] += noise[i] * deviation[i];
        return h;
    }
};

std::vector<double> load_of(const batch& b, std::size_t k) {
    const auto h = b.noisy();
    return locmoe::noisy_load<double>(
        {locmoe::as_matrix(b.clean, n), locmoe::as_matrix(b.deviation, n), locmoe::as_matrix(h, n)},
        k);
}

// Shazeer's formula with everything sorted anew for each expert.
std::vector<double> plainly(const batch& b, std::size_t k) {
    const auto h = b.noisy();
    std::vector<double> load(n, 0);
    for (std::size_t t = 0; t < T; ++t)
        for (std::size_t i = 0; i < n; ++i) {
            std::vector<double> others;
            for (std::size_t j = 0; j < n; ++j)
                if (j != i) others.push_back(h[t * n + j]);
            std::sort(others.rbegin(), others.rend());
            const double u = (b.clean[t * n + i] - others[k - 1]) / b.deviation[t * n + i];
            load[i] += 0.5 * (1 + std::erf(u / std::sqrt(2.0)));
        }
    return load;
}

}  // namespace

TEST_CASE("the noisy load is the sum of the chances to be among the k best") {
    for (std::uint64_t seed = 1; seed <= 20; ++seed)
        for (const std::size_t k : {1u, 2u, 4u}) {
            const batch b(seed);
            const auto got = load_of(b, k);
            const auto want = plainly(b, k);
            for (std::size_t i = 0; i < n; ++i) CHECK(got[i] == Approx(want[i]).epsilon(1e-12));
        }
}

TEST_CASE("a chance of the noisy load is what drawing that expert's noise anew gives") {
    std::vector<double> clean{0.2, 0.5, -0.1}, deviation{1, 0.7, 1.4}, noisy{0.9, 0.1, 0.3};
    const auto load = locmoe::noisy_load<double>(
        {locmoe::as_matrix(clean, 3), locmoe::as_matrix(deviation, 3), locmoe::as_matrix(noisy, 3)},
        2);
    std::mt19937 random(1);
    std::normal_distribution<double> normal;
    constexpr int draws = 40000;
    for (std::size_t i = 0; i < 3; ++i) {
        int in = 0;
        for (int d = 0; d < draws; ++d) {
            auto h = noisy;
            h[i] = clean[i] + deviation[i] * normal(random);
            int above = 0;
            for (std::size_t j = 0; j < 3; ++j) above += j != i && h[j] > h[i];
            in += above < 2;
        }
        CHECK(load[i] == Approx(in / double(draws)).margin(0.01));
    }
}

TEST_CASE("the gradient of CV^2 of the noisy load is its derivative in logits and deviations") {
    const std::size_t k = GENERATE(1u, 2u, 3u);
    batch b(4);
    const locmoe::cv_squared_loss loss({.weight = 1});
    const auto value = [&] { return loss.value(load_of(b, k)); };
    std::vector<double> by_load(n, 0), clean(T * n, 0), deviation(T * n, 0), noisy(T * n, 0);
    loss.add_gradient(load_of(b, k), 1, by_load);
    const auto h = b.noisy();
    locmoe::noisy_load_backward<double>(
        {locmoe::as_matrix(b.clean, n), locmoe::as_matrix(b.deviation, n), locmoe::as_matrix(h, n)},
        k, by_load,
        {locmoe::as_matrix(clean, n), locmoe::as_matrix(deviation, n),
         locmoe::as_matrix(noisy, n)});
    // noisy = clean + noise deviation
    for (std::size_t i = 0; i < T * n; ++i) {
        clean[i] += noisy[i];
        deviation[i] += noisy[i] * b.noise[i];
    }
    CHECK(routing_test::gradient_error(value, b.clean, clean) < 1e-6);
    CHECK(routing_test::gradient_error(value, b.deviation, deviation) < 1e-6);
}

TEST_CASE("with k >= n every expert gets every token, without a gradient") {
    const batch b(2);
    CHECK(load_of(b, n) == std::vector<double>(n, T));
    std::vector<double> grad(T * n, 0);
    const auto h = b.noisy();
    locmoe::noisy_load_backward<double>(
        {locmoe::as_matrix(b.clean, n), locmoe::as_matrix(b.deviation, n), locmoe::as_matrix(h, n)},
        n + 1, std::vector<double>(n, 1),
        {locmoe::as_matrix(grad, n), locmoe::as_matrix(grad, n), locmoe::as_matrix(grad, n)});
    CHECK(grad == std::vector<double>(T * n, 0));
}

TEST_CASE("the noisy load refuses a deviation of 0, a NaN and k = 0") {
    batch b(1);
    CHECK_THROWS_WITH(load_of(b, 0), "locmoe: noisy_load: k: expected at least 1, got 0");
    b.deviation[2 * n] = 0;
    CHECK_THROWS_WITH(load_of(b, 1), Catch::Contains("deviation of token 2"));
    b.deviation[2 * n] = 1;
    b.clean[n] = std::numeric_limits<double>::quiet_NaN();
    CHECK_THROWS_WITH(load_of(b, 1), Catch::Contains("logits of token 1: expected numbers"));
}
