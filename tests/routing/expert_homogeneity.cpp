#include "locmoe/routing/expert_homogeneity.hpp"

#include <cstdint>
#include <span>
#include <vector>

#include "locmoe/core/element.hpp"
#include "locmoe/tensor/standard.hpp"

#include "catch.hpp"
#include "routing/support.hpp"

namespace {

using locmoe::as_matrix;
using locmoe::expert_homogeneity;
using locmoe::expert_id;
using locmoe::no_expert;

constexpr std::size_t T = 30, d = 5, n = 4;

std::vector<expert_id> any_choices(std::size_t k, std::uint64_t seed) {
    std::vector<expert_id> chosen;
    for (const double x : routing_test::numbers(T * k, seed))
        chosen.push_back(x < -0.9 ? no_expert : static_cast<expert_id>((x + 1) / 2 * n));
    return chosen;
}

// The index from its definition, by two passes.
double plainly(const std::vector<double>& x, const std::vector<expert_id>& chosen, std::size_t k) {
    std::vector<double> mean(n * d, 0), all(d, 0);
    std::vector<double> count(n, 0);
    double samples = 0, used = 0, between = 0, within = 0;
    for (std::size_t i = 0; i < chosen.size(); ++i) {
        if (chosen[i] == no_expert) continue;
        const auto e = static_cast<std::size_t>(chosen[i]);
        ++count[e];
        ++samples;
        for (std::size_t j = 0; j < d; ++j) {
            mean[e * d + j] += x[i / k * d + j];
            all[j] += x[i / k * d + j];
        }
    }
    for (std::size_t e = 0; e < n; ++e) {
        if (count[e] == 0) continue;
        ++used;
        for (std::size_t j = 0; j < d; ++j) {
            mean[e * d + j] /= count[e];
            const double off = mean[e * d + j] - all[j] / samples;
            between += count[e] * off * off;
        }
    }
    for (std::size_t i = 0; i < chosen.size(); ++i) {
        if (chosen[i] == no_expert) continue;
        for (std::size_t j = 0; j < d; ++j) {
            const double off = x[i / k * d + j] - mean[static_cast<std::size_t>(chosen[i]) * d + j];
            within += off * off;
        }
    }
    return between / (used - 1) / (within / (samples - used));
}

}  // namespace

TEST_CASE("the homogeneity of experts is the Calinski-Harabasz index of their tokens") {
    for (std::uint64_t seed = 1; seed <= 10; ++seed)
        for (const std::size_t k : {1u, 2u}) {
            auto x = routing_test::numbers(T * d, seed);
            for (double& v : x) v += 3;  // far from the origin, so that the sums of squares cancel
            const auto chosen = any_choices(k, seed + 10);
            expert_homogeneity h(n, d);
            h.add(as_matrix(x, d), chosen);
            CHECK(h.calinski_harabasz() == Approx(plainly(x, chosen, k)).epsilon(1e-9));
        }
}

TEST_CASE("experts with tokens of their own kind are more homogeneous than mixed ones") {
    auto x = routing_test::numbers(T * d, 1, 0.1);
    std::vector<expert_id> sorted, mixed;
    for (std::size_t t = 0; t < T; ++t) {
        sorted.push_back(static_cast<expert_id>(t % n));
        mixed.push_back(static_cast<expert_id>(t / n % n));
        x[t * d] += static_cast<double>(t % n);
    }
    expert_homogeneity a(n, d), b(n, d);
    a.add(as_matrix(x, d), sorted);
    b.add(as_matrix(x, d), mixed);
    CHECK(a.calinski_harabasz() > 50 * b.calinski_harabasz());
}

TEST_CASE("batches and ranks merge by the sums of two flat arrays") {
    auto x = routing_test::numbers(T * d, 3);
    const auto chosen = any_choices(1, 4);
    expert_homogeneity whole(n, d), first(n, d), second(n, d);
    whole.add(as_matrix(x, d), chosen);
    std::vector<double> x1(x.begin(), x.begin() + 12 * d), x2(x.begin() + 12 * d, x.end());
    first.add(as_matrix(x1, d), std::span(chosen).subspan(0, 12));
    second.add(as_matrix(x2, d), std::span(chosen).subspan(12));
    std::vector<std::int64_t> counts(first.counts().begin(), first.counts().end());
    for (std::size_t i = 0; i < counts.size(); ++i) counts[i] += second.counts()[i];
    first.set_counts(counts);
    for (std::size_t i = 0; i < first.sums().size(); ++i) first.sums()[i] += second.sums()[i];
    CHECK(first.calinski_harabasz() == Approx(whole.calinski_harabasz()));
}

TEST_CASE("the homogeneity is 0 where it is undefined") {
    expert_homogeneity h(n, d);
    CHECK(h.calinski_harabasz() == 0);
    std::vector<double> x(3 * d, 0.1);
    h.add(as_matrix(x, d), std::vector<expert_id>{0, 0, 0});  // one expert
    CHECK(h.calinski_harabasz() == 0);
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {  // nothing differs inside an expert
        expert_homogeneity same(n, d);
        for (const expert_id e : {0, 1}) {
            const auto row = routing_test::numbers(d, 2 * seed + static_cast<std::uint64_t>(e));
            for (int copy = 0; copy < 7; ++copy)
                same.add(as_matrix(row, d), std::vector<expert_id>{e});
        }
        CHECK(same.calinski_harabasz() == 0);
    }
    expert_homogeneity alone(n, d);
    auto y = routing_test::numbers(2 * d, 1);
    alone.add(as_matrix(y, d), std::vector<expert_id>{0, 1});  // one sample each
    CHECK(alone.calinski_harabasz() == 0);
}

TEST_CASE("the homogeneity reads 16-bit tokens and refuses what does not fit") {
    std::vector<locmoe::bf16> x;
    std::vector<double> wide;
    for (const double v : routing_test::numbers(T * d, 3)) {
        x.push_back(locmoe::bf16(static_cast<float>(v)));
        wide.push_back(static_cast<double>(static_cast<float>(x.back())));
    }
    const auto chosen = any_choices(1, 4);
    expert_homogeneity a(n, d), b(n, d);
    a.add(as_matrix(x, d), chosen);
    b.add(as_matrix(wide, d), chosen);
    CHECK(a.calinski_harabasz() == b.calinski_harabasz());
    CHECK(a.calinski_harabasz() > 0);

    CHECK_THROWS_AS(a.add(as_matrix(x, d), std::vector<expert_id>(T + 1, 0)),
                    locmoe::argument_error);
    CHECK_THROWS_AS(a.add(as_matrix(x, d + 1), std::vector<expert_id>(25, 0)),
                    locmoe::argument_error);
    auto wrong = chosen;
    wrong[3] = n;
    CHECK_THROWS_WITH(a.add(as_matrix(x, d), wrong), Catch::Contains("expert of token 3"));
    CHECK_THROWS_AS(a.set_counts(std::vector<std::int64_t>(n + 1)), locmoe::argument_error);
}
