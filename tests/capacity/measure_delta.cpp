#include "locmoe/capacity/measure_delta.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <span>
#include <vector>

#include "locmoe/capacity/least_capacity.hpp"
#include "locmoe/routing/grap_gate.hpp"
#include "locmoe/tensor/standard.hpp"

#include "catch.hpp"

using locmoe::as_matrix;
using locmoe::delta_statistics;
using locmoe::expert_id;
using locmoe::measure_delta;
using locmoe::measure_grap_delta;

namespace {

constexpr double nan_value = std::numeric_limits<double>::quiet_NaN();
constexpr double infinite = std::numeric_limits<double>::infinity();

/// Gaussian numbers, so that rows point uniformly in all directions. Box-Muller, as
/// std::normal_distribution differs between standard libraries.
template <class Real>
std::vector<Real> gaussian(std::size_t count, std::uint64_t seed) {
    std::mt19937_64 bits(seed);
    const auto uniform = [&] { return (static_cast<double>(bits() >> 11) + 0.5) * 0x1p-53; };
    std::vector<Real> all(count);
    for (Real& v : all)
        v = static_cast<Real>(std::sqrt(-2 * std::log(uniform())) *
                              std::cos(6.283185307179586 * uniform()));
    return all;
}

std::vector<expert_id> some_choices(std::size_t count, std::size_t experts, std::uint64_t seed) {
    std::mt19937_64 bits(seed);
    std::vector<expert_id> all(count);
    for (expert_id& e : all) e = static_cast<expert_id>(bits() % experts);
    return all;
}

/// |cos| of rows x of `tokens` and i of `weights`, by the definition.
template <class A, class B>
double plain_cosine(const std::vector<A>& tokens, const std::vector<B>& weights, std::size_t d,
                    std::size_t t, std::size_t i) {
    double dot = 0;
    double xx = 0;
    double ww = 0;
    for (std::size_t j = 0; j < d; ++j) {
        const double x = static_cast<double>(tokens[t * d + j]);
        const double w = static_cast<double>(weights[i * d + j]);
        dot += x * w;
        xx += x * x;
        ww += w * w;
    }
    return std::fabs(dot) / std::sqrt(xx * ww);
}

void check_same(const delta_statistics& a, const delta_statistics& b) {
    CHECK(a.pair_count == b.pair_count);
    CHECK(a.skipped_count == b.skipped_count);
    CHECK(a.sum == Approx(b.sum).epsilon(1e-12));
    CHECK(a.min == Approx(b.min).epsilon(1e-12));
    CHECK(a.max == Approx(b.max).epsilon(1e-12));
    CHECK(a.sketch.count() == a.pair_count);
    CHECK(a.sketch.skipped_count() == a.skipped_count);
}

}  // namespace

TEST_CASE("delta is what plain loops over the chosen pairs give") {
    for (const std::size_t d : {1u, 5u, 16u, 67u})
        for (const std::size_t k : {1u, 3u}) {
            const std::size_t count = 23;
            const std::size_t n = 6;
            const auto tokens = gaussian<float>(count * d, 1 + d);
            const auto weights = gaussian<double>(n * d, 2 + d);
            auto chosen = some_choices(count * k, n, 3 + d);
            chosen[4] = locmoe::no_expert;

            delta_statistics plain;
            for (std::size_t s = 0; s < chosen.size(); ++s) {
                if (s == 4) continue;
                const double c =
                    plain_cosine(tokens, weights, d, s / k, static_cast<std::size_t>(chosen[s]));
                ++plain.pair_count;
                plain.sum += c;
                plain.min = std::min(plain.min, c);
                plain.max = std::max(plain.max, c);
                plain.sketch.record(c);
            }
            const auto got = measure_delta(as_matrix(tokens, d), as_matrix(weights, d), chosen);
            check_same(got, plain);
            CHECK(got.mean() ==
                  Approx(plain.sum / static_cast<double>(count * k - 1)).epsilon(1e-12));
        }
}

TEST_CASE("the GrAP form equals the dense form with the gate's equivalent weights") {
    for (const std::size_t d : {8u, 13u, 64u, 301u})
        for (const std::size_t n : {1u, 3u, 8u}) {
            const std::size_t count = 31;
            const auto tokens = gaussian<float>(count * d, d + n);
            const auto chosen = some_choices(count * 2, n, d * n);
            const auto weights = locmoe::grap_gate<double>(n).equivalent_weights(d);
            INFO("d " << d << ", n " << n);
            check_same(measure_grap_delta(as_matrix(tokens, d), n, chosen),
                       measure_delta(as_matrix(tokens, d), as_matrix(weights, d), chosen));
        }
}

TEST_CASE("a token along its gating weight has delta 1, a token across it 0") {
    const std::vector<std::array<float, 4>> tokens{{3, 3, 0, 0}, {-3, -3, 0, 0}, {0, 0, 7, 1}};
    const std::vector<expert_id> chosen{0, 0, 0};
    const auto got = measure_grap_delta(tokens, 2, chosen);
    CHECK(got.pair_count == 3);
    CHECK(got.min == 0);
    CHECK(got.max == Approx(1));
    CHECK(got.max <= 1);
    CHECK(got.sum == Approx(2));
}

TEST_CASE("delta never passes 1, whatever the rounding") {
    const std::size_t d = 67;
    const auto tokens = gaussian<double>(200 * d, 11);
    std::vector<expert_id> own(200);
    for (std::size_t t = 0; t < own.size(); ++t) own[t] = static_cast<expert_id>(t);
    const auto got = measure_delta(as_matrix(tokens, d), as_matrix(tokens, d), own);
    CHECK(got.max <= 1);
    CHECK(got.min == Approx(1).epsilon(1e-14));
}

TEST_CASE("scaling tokens or weights leaves delta alone, also for 16-bit tokens") {
    const std::size_t d = 48;
    const auto tokens = gaussian<float>(20 * d, 5);
    std::vector<locmoe::bf16> narrow;
    std::vector<float> widened;
    std::vector<double> scaled;
    for (const float v : tokens) {
        narrow.emplace_back(v);
        widened.push_back(static_cast<float>(narrow.back()));
        scaled.push_back(double{widened.back()} * 1e-30);
    }
    const auto weights = gaussian<float>(4 * d, 6);
    const auto chosen = some_choices(20, 4, 7);
    const auto base = measure_delta(as_matrix(widened, d), as_matrix(weights, d), chosen);
    check_same(measure_delta(as_matrix(narrow, d), as_matrix(weights, d), chosen), base);
    check_same(measure_delta(as_matrix(scaled, d), as_matrix(weights, d), chosen), base);
}

TEST_CASE("the sketch of a measurement has its quantiles") {
    const std::size_t d = 32;
    const auto tokens = gaussian<float>(500 * d, 8);
    const auto weights = gaussian<float>(4 * d, 9);
    const auto chosen = some_choices(500, 4, 10);
    std::vector<double> all;
    for (std::size_t t = 0; t < chosen.size(); ++t)
        all.push_back(plain_cosine(tokens, weights, d, t, static_cast<std::size_t>(chosen[t])));
    std::sort(all.begin(), all.end());
    const auto got = measure_delta(as_matrix(tokens, d), as_matrix(weights, d), chosen);
    for (const std::size_t i : {0u, 250u, 449u, 499u})
        CHECK(got.sketch.quantile(static_cast<double>(i) / 499) ==
              Approx(all[i]).epsilon(1.001 * locmoe::delta_sketch::relative_error));
    CHECK(got.sketch.mean() == Approx(got.mean()).epsilon(0.01));
}

TEST_CASE("sampling measures every s-th token from the first one given, and no other") {
    const std::size_t d = 24;
    const std::size_t n = 5;
    const auto tokens = gaussian<float>(50 * d, 41);
    auto chosen = some_choices(50 * 2, n, 42);
    for (const std::size_t every : {1u, 2u, 7u, 60u}) {
        delta_statistics merged;
        for (std::size_t first = 0; first < every; ++first) {
            std::vector<expert_id> only(chosen.size(), locmoe::no_expert);
            for (std::size_t t = first; t < 50; t += every)
                for (std::size_t s = 0; s < 2; ++s) only[t * 2 + s] = chosen[t * 2 + s];
            const auto sampled = measure_grap_delta(as_matrix(tokens, d), n, chosen,
                                                    {.every = every, .first = first});
            if (first < 50) check_same(sampled, measure_grap_delta(as_matrix(tokens, d), n, only));
            CHECK(
                sampled.pair_count ==
                static_cast<std::int64_t>(first < 50 ? 2 * ((50 - first + every - 1) / every) : 0));
            merged.merge(sampled);
        }
        check_same(merged, measure_grap_delta(as_matrix(tokens, d), n, chosen));
    }
    const auto weights = gaussian<float>(n * d, 43);
    CHECK(measure_delta(as_matrix(tokens, d), as_matrix(weights, d), chosen, {.every = 10})
              .pair_count == 10);
    CHECK_THROWS_WITH(measure_grap_delta(as_matrix(tokens, d), n, chosen, {.every = 0}),
                      "locmoe: measure_grap_delta: sampling.every: expected at least 1, got 0");
}

TEST_CASE("statistics of batches merge into those of all tokens") {
    const std::size_t d = 24;
    const std::size_t n = 5;
    auto tokens = gaussian<float>(60 * d, 21);
    for (std::size_t j = 0; j < d; ++j) tokens[17 * d + j] = 0;
    const auto chosen = some_choices(60, n, 22);
    const auto all = measure_grap_delta(as_matrix(tokens, d), n, chosen);

    delta_statistics merged;
    std::size_t first = 0;
    for (const std::size_t length : {13u, 0u, 46u, 1u}) {
        const locmoe::matrix_view<const float> part(tokens.data() + first * d, length, d);
        merged.merge(
            measure_grap_delta(part, n, std::span<const expert_id>(chosen).subspan(first, length)));
        first += length;
    }
    REQUIRE(first == 60);
    check_same(merged, all);
    CHECK(all.skipped_count == 1);
    CHECK(all.pair_count == 59);

    delta_statistics swapped = all;
    swapped.merge(delta_statistics{});
    check_same(swapped, all);
}

TEST_CASE("the mean of |cos| over isotropic tokens is that of the sphere") {
    const std::size_t d = 40;
    const std::size_t count = 20000;
    const auto tokens = gaussian<float>(count * d, 31);
    const std::vector<expert_id> chosen(count, 3);
    const auto got = measure_grap_delta(as_matrix(tokens, d), 7, chosen);
    // E|cos| = Gamma(d/2) / (sqrt(pi) Gamma((d+1)/2)), E cos^2 = 1/d
    const double mean =
        std::exp(std::lgamma(20.0) - std::lgamma(20.5)) / std::sqrt(std::acos(-1.0));
    const double deviation = std::sqrt(1.0 / 40 - mean * mean);
    CHECK(std::fabs(got.mean() - mean) < 5 * deviation / std::sqrt(static_cast<double>(count)));
}

TEST_CASE("pairs without an angle are skipped and counted") {
    std::vector<double> tokens(7 * 4, 1.0);
    for (std::size_t j = 0; j < 4; ++j) tokens[1 * 4 + j] = 0;
    tokens[2 * 4 + 3] = nan_value;
    tokens[3 * 4 + 0] = infinite;
    tokens[4 * 4 + 1] = 1e200;
    const std::vector<expert_id> chosen{0, 0, 0, 0, 0, locmoe::no_expert, 1};
    const auto grap = measure_grap_delta(as_matrix(tokens, 4), 2, chosen);
    CHECK(grap.skipped_count == 4);
    CHECK(grap.pair_count == 2);
    CHECK(grap.mean() == Approx(std::sqrt(0.5)));

    std::vector<double> weights{1, 1, 0, 0, 0, 0, 0, 0};
    CHECK(measure_delta(as_matrix(tokens, 4), as_matrix(weights, 4), chosen).skipped_count == 5);
    weights[7] = nan_value;
    const auto dense = measure_delta(as_matrix(tokens, 4), as_matrix(weights, 4), chosen);
    CHECK(dense.skipped_count == 5);
    CHECK(dense.pair_count == 1);
    CHECK(dense.min == dense.max);
}

TEST_CASE("no tokens give no delta, and the capacity bounds refuse to use it") {
    const std::vector<std::array<float, 8>> tokens;
    const auto got = measure_grap_delta(tokens, 4, {});
    CHECK(got.pair_count == 0);
    CHECK(got.skipped_count == 0);
    CHECK(std::isnan(got.mean()));
    for (const double delta : {got.mean(), got.min, got.max})
        CHECK_THROWS_AS(locmoe::least_capacity_exponential({.hidden_size = 8, .delta = delta}, 4),
                        locmoe::argument_error);
    const std::vector<float> weights(4 * 8, 1.0f);
    CHECK(measure_delta(tokens, as_matrix(weights, 8), {}).pair_count == 0);
}

TEST_CASE("measuring delta refuses shapes and experts that do not fit") {
    const std::vector<float> tokens(3 * 8, 1.0f);
    const std::vector<float> weights(2 * 8, 1.0f);
    const auto x = as_matrix(tokens, 8);
    const auto w = as_matrix(weights, 8);
    const auto measure = [&](std::vector<expert_id> chosen) { return measure_delta(x, w, chosen); };
    CHECK_THROWS_WITH(measure({0, 1, 2}),
                      "locmoe: measure_delta: expert of token 2, slot 0: expected 0 to n - 1, "
                      "n = 2, or no_expert (-1), got 2");
    CHECK_THROWS_AS(measure({0, -2, 1}), locmoe::argument_error);
    CHECK_THROWS_AS(measure({0, 1}), locmoe::argument_error);
    CHECK_THROWS_AS(measure_delta(as_matrix(tokens, 4), w, std::vector<expert_id>(6)),
                    locmoe::argument_error);
    CHECK_THROWS_AS(measure_grap_delta(x, 0, std::vector<expert_id>(3)), locmoe::argument_error);
    CHECK_THROWS_AS(measure_grap_delta(std::vector<std::array<float, 8>>{}, 0, {}),
                    locmoe::argument_error);
    CHECK_THROWS_AS(measure_grap_delta(x, 9, std::vector<expert_id>(3)), locmoe::argument_error);
    CHECK_THROWS_AS(measure_grap_delta(x, 2, std::vector<expert_id>{0, 1, 2}),
                    locmoe::argument_error);
    CHECK_THROWS_AS(
        measure_grap_delta(std::vector<std::array<float, 8>>{}, 2, std::vector<expert_id>{0}),
        locmoe::argument_error);
}
