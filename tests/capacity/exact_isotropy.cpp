#include "locmoe/capacity/exact_isotropy.hpp"

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "locmoe/tensor/standard.hpp"

#include "catch.hpp"

using locmoe::as_matrix;
using locmoe::isotropy_test;
using locmoe::test_isotropy;

namespace {

/// Normal numbers, the same with every standard library.
class normal_numbers {
  public:
    explicit normal_numbers(std::uint64_t seed) : bits_(seed) {}

    double operator()() {
        const double radius = std::sqrt(-2 * std::log(uniform()));
        return radius * std::cos(6.283185307179586 * uniform());
    }

  private:
    double uniform() { return (static_cast<double>(bits_() >> 11) + 0.5) * 0x1p-53; }
    std::mt19937_64 bits_;
};

constexpr std::array<double, 2> levels{0.05, 0.01};

/// How often each p-value falls below the levels, over `runs` batches whose rows `change` bends.
struct rejections {
    double mean_direction = 0;
    double axes = 0;
    double either = 0;
};

template <class Change>
std::array<rejections, 2> reject(std::size_t m, std::size_t d, int runs, const Change& change) {
    normal_numbers next(m * 1000 + d);
    std::vector<double> x(m * d);
    std::array<rejections, 2> shares;
    for (int run = 0; run < runs; ++run) {
        for (double& v : x) v = next();
        for (std::size_t t = 0; t < m; ++t) change(&x[t * d], d);
        isotropy_test t = test_isotropy(as_matrix(x, d), {.most_tokens = m});
        for (std::size_t i = 0; i < levels.size(); ++i) {
            t.level = levels[i];
            shares[i].mean_direction += t.mean_direction_p < t.level ? 1.0 / runs : 0;
            shares[i].axes += t.axes_p < t.level ? 1.0 / runs : 0;
            shares[i].either += t.isotropic() ? 0 : 1.0 / runs;
        }
    }
    return shares;
}

const auto leave_alone = [](double*, std::size_t) {};

}  // namespace

TEST_CASE("isotropic tokens fail the isotropy test as often as its level says, also where d > T") {
    struct shape {
        std::size_t m, d;
        int runs;
    };
    for (const shape& s : {shape{32, 2, 2000}, shape{64, 3, 800}, shape{32, 16, 2000},
                           shape{128, 16, 300}, shape{32, 128, 1500}, shape{32, 512, 500}}) {
        const auto shares = reject(s.m, s.d, s.runs, leave_alone);
        for (std::size_t i = 0; i < levels.size(); ++i) {
            const double level = levels[i];
            const double slack = 4 * std::sqrt(level * (1 - level) / s.runs);
            INFO("m " << s.m << ", d " << s.d << ", level " << level);
            for (const double got : {shares[i].mean_direction, shares[i].axes, shares[i].either}) {
                CHECK(got < 2 * level + slack);
                CHECK(got > 0.5 * level - slack);
            }
        }
    }
}

TEST_CASE("tokens that share a direction fail the first test") {
    const auto shifted = [](double* row, std::size_t) { row[0] += 2; };
    CHECK(reject(128, 64, 50, shifted)[1].mean_direction > 0.95);
    CHECK(reject(128, 256, 30, shifted)[1].mean_direction > 0.9);
}

TEST_CASE("tokens that prefer an axis, both ways alike, fail the second test and not the first") {
    const auto stretched = [](double* row, std::size_t d) {
        for (std::size_t j = 0; j < d / 8; ++j) row[j] *= 3;
    };
    for (const auto& [m, d] : {std::pair<std::size_t, std::size_t>{128, 64}, {64, 256}}) {
        const auto share = reject(m, d, 50, stretched)[1];
        CHECK(share.axes > 0.95);
        CHECK(share.either > 0.95);
        CHECK(share.mean_direction < 0.2);
    }
}

TEST_CASE("clustered tokens fail, and their effective dimensions are few") {
    normal_numbers next(5);
    std::vector<double> centres(4 * 128);
    for (double& v : centres) v = next();
    std::vector<double> x(200 * 128);
    for (std::size_t i = 0; i < x.size(); ++i)
        x[i] = centres[(i / 128 % 4) * 128 + i % 128] + 0.2 * next();
    const auto t = test_isotropy(as_matrix(x, 128));
    CHECK_FALSE(t.isotropic());
    CHECK(t.effective_dimensions < 8);
    for (double& v : x) v = next();
    const auto uniform = test_isotropy(as_matrix(x, 128));
    CHECK(uniform.effective_dimensions == Approx(128).epsilon(0.05));
    CHECK(uniform.hidden_size == 128);
    CHECK(uniform.token_count == 200);
}

TEST_CASE("the statistics are the pairwise sums of their definition") {
    const std::vector<std::array<double, 2>> x{{1, 0}, {0, 3}, {-2, 2}};
    const double c = std::sqrt(0.5);  // cosines 0, -c and c
    const auto t = test_isotropy(x);
    CHECK(t.mean_direction_z == Approx(0).margin(1e-15));
    // squares sum to 1, expected 3/2, variance of one 2 / (4 * 4) = 1/8
    CHECK(t.axes_z == Approx((2 * c * c - 1.5) / std::sqrt(3.0 / 8)));
    CHECK(t.effective_dimensions == Approx(3));
    // two degrees of freedom: the tail is exp(-x / 2) at x = 2 + 2 z
    CHECK(t.mean_direction_p == Approx(std::exp(-1.0)));
}

TEST_CASE("the p-values are chi-squared with d and (d - 1)(d + 2) / 2 degrees of freedom") {
    normal_numbers next(12);
    std::vector<double> x(40 * 4);
    for (double& v : x) v = next();
    const auto t = test_isotropy(as_matrix(x, 4));
    const auto tail = [](double freedom, double z) {
        return boost::math::gamma_q(freedom / 2, (freedom + z * std::sqrt(2 * freedom)) / 2);
    };
    CHECK(t.mean_direction_p == Approx(tail(4, t.mean_direction_z)));
    CHECK(t.axes_p == Approx(tail(9, t.axes_z)));
}

TEST_CASE("lengths do not matter, at most so many tokens are compared, others are passed over") {
    normal_numbers next(8);
    std::vector<double> x(100 * 16);
    for (double& v : x) v = next();
    const auto base = test_isotropy(as_matrix(x, 16));
    std::vector<double> scaled = x;
    for (std::size_t i = 0; i < x.size(); ++i) scaled[i] *= 1 + static_cast<double>(i / 16);
    CHECK(test_isotropy(as_matrix(scaled, 16)).axes_z == Approx(base.axes_z).epsilon(1e-9));
    CHECK(test_isotropy(as_matrix(x, 16), {.most_tokens = 40}).token_count == 40);
    for (std::size_t j = 0; j < 16; ++j) x[3 * 16 + j] = 0;
    x[7 * 16 + 2] = std::numeric_limits<double>::quiet_NaN();
    CHECK(test_isotropy(as_matrix(x, 16)).token_count == 98);
}

TEST_CASE("the isotropy test refuses what it cannot test") {
    const std::vector<double> x(8 * 4, 0.0);
    const std::vector<double> y(8 * 4, 1.0);
    CHECK_THROWS_WITH(test_isotropy(as_matrix(x, 4)),
                      "locmoe: test_isotropy: tokens: expected at least 2 with a direction, got 0");
    CHECK_THROWS_AS(test_isotropy(as_matrix(y, 1)), locmoe::argument_error);
    CHECK_THROWS_AS(test_isotropy(as_matrix(y, 4), {.most_tokens = 1}), locmoe::argument_error);
    for (const double level : {0.0, 1.0, std::nan("")})
        CHECK_THROWS_AS(test_isotropy(as_matrix(y, 4), {.level = level}), locmoe::argument_error);
    CHECK(test_isotropy(as_matrix(y, 4)).mean_direction_p < 1e-6);
}
