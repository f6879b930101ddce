#include "locmoe/routing/top_k.hpp"

#include <algorithm>
#include <limits>
#include <numeric>
#include <vector>

#include "catch.hpp"
#include "routing/support.hpp"

namespace {

using locmoe::expert_id;
using locmoe::no_expert;

std::vector<expert_id> best(const std::vector<double>& values, std::size_t k) {
    std::vector<expert_id> chosen(k, 77);
    locmoe::top_k(std::span<const double>(values), std::span<expert_id>(chosen));
    return chosen;
}

std::vector<expert_id> sorted(const std::vector<double>& values, std::size_t k) {
    std::vector<expert_id> all(values.size());
    std::iota(all.begin(), all.end(), 0);
    std::stable_sort(all.begin(), all.end(), [&](expert_id a, expert_id b) {
        return values[std::size_t(a)] > values[std::size_t(b)];
    });
    all.resize(k);
    return all;
}

}  // namespace

TEST_CASE("top-k is the head of a stable sort, whatever the length and the ties") {
    for (const std::size_t n : {1u, 2u, 7u, 15u, 16u, 17u, 64u, 100u, 256u})
        for (const std::size_t k : {1u, 2u, 3u, 8u, 16u})
            for (std::uint64_t seed = 0; seed < 12; ++seed) {
                if (k > n) continue;
                auto values = routing_test::numbers(n, seed * 31 + n);
                if (seed % 3 == 1)
                    for (double& v : values) v = std::floor(v * 3);  // many ties
                if (seed % 3 == 2) std::sort(values.begin(), values.end());
                CHECK(best(values, k) == sorted(values, k));
                CHECK(locmoe::top_1(std::span<const double>(values)) == sorted(values, 1)[0]);
            }
}

TEST_CASE("top-k never takes minus infinity, and leaves the slot empty instead") {
    const double out = -std::numeric_limits<double>::infinity();
    CHECK(best({out, -3, out, -5}, 3) == std::vector<expert_id>{1, 3, no_expert});
    CHECK(best({out, out}, 1) == std::vector<expert_id>{no_expert});
    CHECK(best({}, 2) == std::vector<expert_id>{no_expert, no_expert});
    CHECK(best({1, 2}, 3) == std::vector<expert_id>{1, 0, no_expert});
    CHECK(best(std::vector<double>(40, 1.0), 3) == std::vector<expert_id>{0, 1, 2});
    CHECK(best(std::vector<double>(3000, 1.0), 3) == std::vector<expert_id>{0, 1, 2});
    std::vector<double> masked(70, out);  // fewer left than the parts that a long row is cut into
    masked[33] = masked[40] = -2;
    CHECK(best(masked, 4) == std::vector<expert_id>{33, 40, no_expert, no_expert});
}
