#include "locmoe/routing/balanced_assignment.hpp"

#include <algorithm>
#include <limits>
#include <vector>

#include "locmoe/tensor/standard.hpp"

#include "catch.hpp"
#include "routing/support.hpp"

namespace {

using locmoe::as_matrix;
using locmoe::balanced_assignment;
using locmoe::expert_id;
using doubles = std::vector<double>;

std::vector<expert_id> assign(const doubles& values, std::size_t n, double tolerance = 1e-9) {
    return balanced_assignment<double>(as_matrix(values, n), tolerance);
}

double total(const doubles& values, std::size_t n, const std::vector<expert_id>& chosen) {
    double sum = 0;
    for (std::size_t t = 0; t < chosen.size(); ++t) sum += values[t * n + std::size_t(chosen[t])];
    return sum;
}

void check_balance(const std::vector<expert_id>& chosen, std::size_t n) {
    std::vector<std::size_t> load(n, 0);
    for (const auto e : chosen) {
        REQUIRE((e >= 0 && std::size_t(e) < n));
        ++load[std::size_t(e)];
    }
    CHECK(*std::max_element(load.begin(), load.end()) <=
          *std::min_element(load.begin(), load.end()) + 1);
}

// The best of all balanced assignments, by trying each.
double best_of_all(const doubles& values, std::size_t n) {
    const std::size_t T = values.size() / n;
    std::vector<expert_id> chosen(T, 0);
    double best = -std::numeric_limits<double>::infinity();
    for (;;) {
        std::vector<std::size_t> load(n, 0);
        for (const auto e : chosen) ++load[std::size_t(e)];
        if (*std::max_element(load.begin(), load.end()) <=
            *std::min_element(load.begin(), load.end()) + 1)
            best = std::max(best, total(values, n, chosen));
        std::size_t t = 0;
        while (t < T && ++chosen[t] == expert_id(n)) chosen[t++] = 0;
        if (t == T) return best;
    }
}

}  // namespace

TEST_CASE("the auction finds the best balanced assignment, with remainders and few tokens") {
    for (const std::size_t n : {1u, 2u, 3u, 4u})
        for (const std::size_t T : {1u, 2u, 3u, 5u, 6u, 7u})
            for (std::uint64_t seed = 0; seed < 6; ++seed) {
                auto values = routing_test::numbers(T * n, seed * 100 + T * 10 + n, 3);
                if (seed % 2 == 1)
                    for (double& v : values) v = std::floor(v);  // ties
                const auto chosen = assign(values, n);
                check_balance(chosen, n);
                CHECK(total(values, n, chosen) == Approx(best_of_all(values, n)).margin(1e-6));
            }
}

TEST_CASE("the auction ends where fairseq's hangs, for 10 tokens and 3 experts, and all ties") {
    for (std::uint64_t seed = 0; seed < 20; ++seed)
        check_balance(assign(routing_test::numbers(30, seed), 3), 3);
    for (const std::size_t T : {1u, 10u, 64u, 200u})
        for (const std::size_t n : {3u, 16u, 64u}) {
            check_balance(assign(doubles(T * n, 2.5), n), n);
            doubles favourite(T * n, 0.0);  // all want the same expert
            for (std::size_t t = 0; t < T; ++t) favourite[t * n + 1] = 1;
            check_balance(assign(favourite, n), n);
        }
}

TEST_CASE("the auction's tolerance bounds what is lost") {
    const std::size_t n = 8, T = 120;
    const auto values = routing_test::numbers(T * n, 9);
    const double exact = total(values, n, assign(values, n));
    for (const double tolerance : {1e-1, 1e-2, 1e-4}) {
        const auto chosen = assign(values, n, tolerance);
        check_balance(chosen, n);
        CHECK(total(values, n, chosen) >= exact - tolerance * double(T + n) * 2);
        CHECK(total(values, n, chosen) <= exact + 1e-6);
    }
}

TEST_CASE("the auction takes no tokens, and refuses a tolerance that is none") {
    CHECK(assign({}, 3).empty());
    for (const double bad : {0.0, -1.0, 2.0, std::nan("")})
        CHECK_THROWS_AS(assign({1, 2}, 2, bad), locmoe::argument_error);
}
