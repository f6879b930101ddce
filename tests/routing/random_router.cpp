#include "locmoe/routing/random_router.hpp"

#include <vector>

#include "locmoe/routing/balanced_router.hpp"

#include "catch.hpp"
#include "routing/router_laws.hpp"

namespace {

using namespace routing_test;

template <class Router>
auto route_rows(const Router& router, std::size_t rows, const locmoe::route_context& where) {
    const doubles x(rows, 0.0);
    return router.route(as_matrix(x, 1), where);
}

template <class Router>
void check_unlearned(const Router& router) {
    const job here(router.expert_count());
    const doubles x{1, 2, 3}, c(9, 1.0);
    doubles grad(3, 7.0);
    const auto decided = router.route(as_matrix(x, 1), here.where());
    const auto load = locmoe::count_choices(decided);
    CHECK(router.losses(decided, load, here.where()).total() == 0);
    router.backward(as_matrix(x, 1), decided, load, here.where(),
                    {as_matrix(c, 3), 1, as_matrix(grad, 1), {}});
    CHECK(grad == doubles(3, 7.0));
    CHECK(route_rows(router, 0, here.where()).chosen.empty());
    const job other(router.expert_count() + 1);
    CHECK_THROWS_AS(route_rows(router, 2, other.where()), locmoe::argument_error);
}

}  // namespace

TEST_CASE("random routing draws k different experts, each set alike") {
    const std::size_t n = 5, T = 6000;
    const job here(n);
    for (const std::size_t k : {1u, 2u, 5u}) {
        const auto decided = route_rows(locmoe::random_router<double>(n, k, 3), T, here.where());
        std::vector<std::int64_t> pair(n * n, 0);
        for (std::size_t t = 0; t < T; ++t)
            for (std::size_t s = 0; s < k; ++s) {
                CHECK(decided.weights[t * k + s] == 1.0 / double(k));
                for (std::size_t u = 0; u < s; ++u) {
                    const auto a = std::size_t(decided.expert(t, s));
                    const auto b = std::size_t(decided.expert(t, u));
                    CHECK(a != b);
                    ++pair[a < b ? a * n + b : b * n + a];
                }
            }
        const double mean = double(T * k) / double(n);
        for (const auto l : locmoe::count_choices(decided))
            CHECK(std::fabs(double(l) - mean) <= 6 * std::sqrt(mean));
        if (k == 2)
            for (std::size_t a = 0; a < n; ++a)
                for (std::size_t b = a + 1; b < n; ++b)
                    CHECK(std::fabs(double(pair[a * n + b]) - 600) <= 6 * std::sqrt(600.0));
    }
}

TEST_CASE("random routing is fixed by seed, step and global token") {
    const job here(9);
    const locmoe::random_router<double> router(9, 2, 1);
    auto where = here.where();
    const auto all = route_rows(router, 20, where).chosen;
    CHECK(all == route_rows(router, 20, where).chosen);
    CHECK(all != route_rows(locmoe::random_router<double>(9, 2, 2), 20, where).chosen);
    where.first_token = 15;
    CHECK(route_rows(router, 5, where).chosen == experts(all.begin() + 30, all.end()));
    where.first_token = 0;
    where.step = 1;
    CHECK(all != route_rows(router, 20, where).chosen);
}

TEST_CASE("forced balance gives loads that differ by 1 at most, to any rank and over all") {
    for (const std::size_t n : {1u, 3u, 8u})
        for (const std::size_t k : {1u, 2u, 3u}) {
            if (k > n) continue;
            const job here(n);
            const locmoe::balanced_router<double> router(n, k);
            std::vector<std::int64_t> sum(n, 0);
            auto where = here.where();
            for (const std::size_t rows : {5u, 0u, 1u, 14u}) {
                const auto decided = route_rows(router, rows, where);
                std::vector<std::int64_t> load = locmoe::count_choices(decided);
                for (std::size_t e = 0; e < n; ++e) sum[e] += load[e];
                for (const auto* counts : {&load, &sum})
                    for (const auto a : *counts)
                        for (const auto b : *counts) CHECK(a - b <= 1);
                for (std::size_t t = 0; t < rows; ++t)
                    for (std::size_t s = 1; s < k; ++s)
                        CHECK(decided.expert(t, s) != decided.expert(t, s - 1));
                where.first_token += rows;
            }
        }
}

TEST_CASE("random and forced routing learn nothing and check what comes in") {
    check_unlearned(locmoe::random_router<double>(4, 3, 1));
    check_unlearned(locmoe::balanced_router<double>(4, 3));
    CHECK_THROWS_AS(locmoe::random_router<>(4, 5, 1), locmoe::argument_error);
    CHECK_THROWS_AS(locmoe::random_router<>(4, 0, 1), locmoe::argument_error);
    CHECK_THROWS_AS(locmoe::balanced_router<>(4, 5), locmoe::argument_error);
    CHECK_THROWS_AS(locmoe::balanced_router<>(0, 0), locmoe::argument_error);
}
