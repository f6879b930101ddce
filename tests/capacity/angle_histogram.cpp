#include "locmoe/capacity/angle_histogram.hpp"

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "locmoe/core/element.hpp"
#include "locmoe/tensor/standard.hpp"

#include "catch.hpp"

namespace {

using locmoe::angle_histogram;
using locmoe::as_matrix;
using locmoe::expert_id;
using locmoe::no_expert;
using counts = std::vector<std::int64_t>;

}  // namespace

TEST_CASE("an angle is counted in its bin, from 0 to 180 degrees") {
    const double degree = 3.14159265358979323846 / 180;
    std::vector<double> tokens;
    for (const double angle : {0.0, 29.0, 31.0, 89.0, 91.0, 179.0, 180.0}) {
        tokens.push_back(3 * std::cos(angle * degree));
        tokens.push_back(3 * std::sin(angle * degree));
    }
    std::vector<double> weights{5, 0};
    angle_histogram h(6);
    h.add(as_matrix(tokens, 2), as_matrix(weights, 2), std::vector<expert_id>(7, 0));
    CHECK(h.bins == counts{2, 1, 1, 1, 0, 2});
    CHECK(h.skipped_count == 0);
    CHECK(h.first_degree(1) == 30);
}

TEST_CASE("the GrAP histogram is that of GrAP's weights, for any cut of the columns") {
    constexpr std::size_t d = 11, n = 4, T = 40;
    std::vector<float> tokens(T * d), weights(n * d, 0.0f);
    std::uint32_t seed = 7;
    for (float& x : tokens) {
        seed = seed * 1664525u + 1013904223u;
        x = static_cast<float>(seed >> 8) / 8388608.0f - 1;
    }
    for (std::size_t i = 0; i < n; ++i) {
        const locmoe::detail::grap_segment s(i, n, d);
        for (std::size_t j = s.first; j < s.first + s.length; ++j)
            weights[i * d + j] = 1.0f / static_cast<float>(s.length);
    }
    std::vector<expert_id> chosen;
    for (std::size_t i = 0; i < 2 * T; ++i) chosen.push_back(static_cast<expert_id>(i * i % n));
    chosen[5] = no_expert;
    angle_histogram dense(18), grap(18);
    dense.add(as_matrix(tokens, d), as_matrix(weights, d), chosen);
    grap.add_grap(as_matrix(tokens, d), n, chosen);
    CHECK(dense.bins == grap.bins);
    std::int64_t all = 0;
    for (const std::int64_t b : grap.bins) all += b;
    CHECK(all == 2 * T - 1);
}

TEST_CASE("pairs without an angle are counted apart") {
    std::vector<double> tokens{0, 0, std::numeric_limits<double>::quiet_NaN(), 1, 1, 1};
    std::vector<double> weights{1, 0, 0, 0};
    angle_histogram h(4);
    h.add(as_matrix(tokens, 2), as_matrix(weights, 2), std::vector<expert_id>{0, 0, 1});
    CHECK(h.bins == counts(4, 0));
    CHECK(h.skipped_count == 3);
}

TEST_CASE("an angle histogram refuses what does not fit") {
    CHECK_THROWS_AS(angle_histogram(0), locmoe::argument_error);
    std::vector<double> tokens(6, 1), weights(4, 1);
    angle_histogram h(3);
    CHECK_THROWS_AS(
        h.add(as_matrix(tokens, 3), as_matrix(weights, 2), std::vector<expert_id>(2, 0)),
        locmoe::argument_error);
    CHECK_THROWS_WITH(
        h.add(as_matrix(tokens, 2), as_matrix(weights, 2), std::vector<expert_id>{0, 1, 2}),
        "locmoe: angle_histogram: expert of token 2: expected 0 to n - 1 with n = 2, got 2");
    CHECK_THROWS_AS(h.add_grap(as_matrix(tokens, 2), 3, std::vector<expert_id>(3, 0)),
                    locmoe::argument_error);
    CHECK_THROWS_AS(h.add_grap(as_matrix(tokens, 2), 2, std::vector<expert_id>(4, 0)),
                    locmoe::argument_error);
}
