#include "locmoe/routing/rre_router.hpp"

#include <vector>

#include "locmoe/routing/domain_locmoe_router.hpp"

#include "catch.hpp"
#include "routing/router_laws.hpp"

namespace {

using namespace routing_test;
using locmoe::expert_groups;

}  // namespace

TEST_CASE("rre keeps a token in its domain's group, by a fixed even hash of its id") {
    const std::size_t V = 6000;
    const auto groups = expert_groups::from_group_of_expert({1, 0, 1, 0, 0, 1, 1});
    const job here(7);
    const locmoe::rre_router<double> router(groups, 5);
    std::vector<std::int32_t> ids(V), domains(V);
    for (std::size_t v = 0; v < V; ++v) {
        ids[v] = std::int32_t(v / 2);
        domains[v] = std::int32_t(v % 2);
    }
    const doubles x(V);
    const locmoe::route_context where{1, here.nodes, here.placement, ids, domains};
    const auto decided = router.route(as_matrix(x, 1), where);
    const auto load = locmoe::count_choices(decided);
    for (std::size_t v = 0; v < V; ++v) {
        CHECK(groups.group_of(std::size_t(decided.chosen[v])) == v % 2);
        CHECK(decided.weights[v] == 1);
    }
    for (std::size_t e = 0; e < 7; ++e) {
        const double mean = 3000.0 / double(groups.experts_of(groups.group_of(e)).size());
        CHECK(std::fabs(double(load[e]) - mean) <= 6 * std::sqrt(mean));
    }
    // The id alone counts, wherever it stands: doubled rows of one id and domain.
    const std::vector<std::int32_t> same_ids{42, 42, 7, 42}, same_domains{0, 1, 0, 0};
    const doubles y(4);
    const auto again =
        router.route(as_matrix(y, 1), {1, here.nodes, here.placement, same_ids, same_domains});
    CHECK(again.chosen[0] == decided.chosen[84]);
    CHECK(again.chosen[1] == decided.chosen[85]);
    CHECK(again.chosen[3] == again.chosen[0]);
    CHECK(locmoe::rre_router<double>(groups, 6).route(as_matrix(x, 1), where).chosen !=
          decided.chosen);
}

TEST_CASE("rre refuses missing ids and domains, naming token and rank") {
    const job here(4);
    const locmoe::rre_router<double> router(expert_groups::blocked(4, 2), 1);
    const doubles x(2);
    const std::vector<std::int32_t> ids{1, 2}, one{0}, far{0, 2}, negative{-1, 0};
    CHECK_THROWS_WITH(router.route(as_matrix(x, 1), {1, here.nodes, here.placement, one, ids}),
                      "locmoe: route: where.token_ids on rank 1: expected T = 2 ids, got 1");
    CHECK_THROWS_WITH(
        router.route(as_matrix(x, 1), {1, here.nodes, here.placement, ids, one}),
        "locmoe: route: where.domains on rank 1: expected a domain for token 1, got 1 domains");
    CHECK_THROWS_WITH(router.route(as_matrix(x, 1), {1, here.nodes, here.placement, ids, far}),
                      "locmoe: route: domain of token 1 on rank 1: expected 0 to 1, got 2");
    CHECK_THROWS_AS(router.route(as_matrix(x, 1), {1, here.nodes, here.placement, ids, negative}),
                    locmoe::argument_error);
    const doubles none;
    CHECK(router.route(as_matrix(none, 1), {1, here.nodes, here.placement}).chosen.empty());
}

TEST_CASE("locmoe on rre's first level is GrAP and softmax inside the domain's group") {
    const auto groups = expert_groups::from_group_of_expert({1, 0, 1, 0, 1});
    const job here(5);
    const locmoe::domain_locmoe_router<double> router(groups);
    const auto x = numbers(20 * 12, 1, 3);
    const auto decided = router.route(as_matrix(x, 12), here.where());
    for (std::size_t t = 0; t < 20; ++t) {
        doubles z, inside;
        experts of;
        std::size_t first = 0;
        for (std::size_t i = 0; i < 5; ++i) {  // segments of 3 3 2 2 2
            const std::size_t length = i < 2 ? 3 : 2;
            double sum = 0;
            for (std::size_t j = 0; j < length; ++j) sum += x[t * 12 + first + j];
            z.push_back(sum / double(length));
            first += length;
            if (groups.group_of(i) == std::size_t(here.domains[t])) {
                inside.push_back(z[i]);
                of.push_back(locmoe::expert_id(i));
            }
        }
        std::size_t best = 0;
        for (std::size_t s = 1; s < inside.size(); ++s)
            if (inside[s] > inside[best]) best = s;
        CHECK(decided.chosen[t] == of[best]);
        CHECK(decided.weights[t] == Approx(softmax_of(inside, best)));
        for (std::size_t i = 0; i < 5; ++i)
            if (groups.group_of(i) != std::size_t(here.domains[t]))
                CHECK(decided.probabilities[t * 5 + i] == 0);
    }
    check_gradients(router, 8, 12);
    auto where = here.where();
    where.domains = {};
    CHECK_THROWS_AS(router.route(as_matrix(x, 12), where), locmoe::argument_error);
    const auto own = router.losses(decided, locmoe::count_choices(decided), here.where());
    CHECK((own.auxiliary > 0 && own.locality > 0));
}

TEST_CASE("locmoe with one domain is locmoe alone") {
    const job here(4);
    auto where = here.where();
    const std::vector<std::int32_t> zeros(9, 0);
    where.domains = zeros;
    const auto x = numbers(9 * 10, 2);
    const locmoe::domain_locmoe_router<double> one(expert_groups::blocked(4, 1));
    const locmoe::locmoe_router<double> alone(4);
    const auto a = one.route(as_matrix(x, 10), where);
    const auto b = alone.route(as_matrix(x, 10), where);
    CHECK(a.chosen == b.chosen);
    CHECK(a.weights == b.weights);
}
