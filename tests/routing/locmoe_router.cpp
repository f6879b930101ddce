#include "locmoe/routing/locmoe_router.hpp"

#include <array>
#include <vector>

#include "locmoe/routing/switch_router.hpp"
#include "locmoe/tensor/standard.hpp"

#include "catch.hpp"
#include "routing/top1_laws.hpp"

namespace {

using namespace routing_test;
using locmoe::locmoe_router;

}  // namespace

TEST_CASE("locmoe routes each token to its likeliest expert, weighted by the probability") {
    check_top1_routing(locmoe_router<double>(law_experts));
}

TEST_CASE("locmoe's backward pass is the derivative of task loss and own losses") {
    check_backward(locmoe_router<double>(law_experts), nullptr);
    check_backward(locmoe_router<double>(law_experts, {.locality = {.mu = 0}}), nullptr);
    check_backward(locmoe_router<double>(law_experts, {.auxiliary = {.alpha = 0}}), nullptr);
}

TEST_CASE("locmoe follows its tokens through a permutation") {
    check_permutation(locmoe_router<double>(law_experts), 0);
}

TEST_CASE("locmoe takes no tokens at all") {
    check_no_tokens(locmoe_router<double>(law_experts), 0);
}

TEST_CASE("locmoe checks what comes in, a gradient of gate weights that it lacks too") {
    check_bad_input(locmoe_router<double>(law_experts), 0);
    const law_job job;
    const auto x = numbers(6, 41);
    CHECK_THROWS_WITH(locmoe_router<double>(law_experts).route(as_matrix(x, 3), job.where),
                      "locmoe: grap_gate: tokens on rank 1: expected at least n = 4 columns, one a "
                      "segment, got 3");
}

TEST_CASE("locmoe sends a token to the segment with the largest mean") {
    const law_job job;
    const std::vector<std::array<float, 10>> x{{0, 0, 0, /**/ 0, 0, 9, /**/ 4, 4, /**/ 0, 1},
                                               {2, 2, 2, /**/ 1, 1, 1, /**/ 0, 0, /**/ 2, 2},
                                               {0, 0, 0, /**/ 0, 0, 0, /**/ 0, 0, /**/ 0, 1}};
    const auto decided = locmoe_router<float>(4).route(x, job.where);
    CHECK(decided.chosen == std::vector<locmoe::expert_id>{2, 0, 3});
}

TEST_CASE("locmoe agrees with switch over the equivalent dense weights, but for the locality") {
    const law_job job;
    const auto w = locmoe::grap_gate<double>(law_experts).equivalent_weights(law_columns);
    const auto x = numbers(law_tokens * law_columns, 42, 3);
    const auto a = locmoe_router<double>(law_experts).route(as_matrix(x, law_columns), job.where);
    const locmoe::switch_router<double> dense(as_matrix(w, law_columns));
    const auto b = dense.route(as_matrix(x, law_columns), job.where);
    CHECK(a.chosen == b.chosen);
    for (std::size_t t = 0; t < law_tokens; ++t) CHECK(a.weights[t] == Approx(b.weights[t]));
    const auto load = locmoe::count_choices(a);
    const auto own = locmoe_router<double>(law_experts).losses(a, load, job.where);
    CHECK(own.auxiliary == Approx(dense.losses(b, load, job.where).auxiliary));
    CHECK(own.locality > 0);
}

TEST_CASE("descending locmoe's own losses brings tokens to their node and keeps the load even") {
    // Two nodes of two experts; each rank sees its own tokens, and the load is that of both.
    const auto nodes = locmoe::topology::uniform(2, 1);
    const auto placement = locmoe::expert_placement::blocked(4, 2);
    const locmoe_router<double> router(4);
    std::vector<std::vector<double>> x{numbers(32 * 8, 43), numbers(32 * 8, 44)};
    const auto route = [&](int rank) {
        return router.route(as_matrix(x[std::size_t(rank)], 8), {rank, nodes, placement});
    };
    std::vector<std::int64_t> load(4);
    for (int step = 0; step <= 60; ++step) {
        load.assign(4, 0);
        for (int rank : {0, 1})
            for (const auto e : route(rank).chosen) ++load[std::size_t(e)];
        if (step == 60) break;
        for (int rank : {0, 1}) {
            const std::vector<double> none(32, 0);
            std::vector<double> grad(32 * 8);
            router.backward(as_matrix(x[std::size_t(rank)], 8), route(rank), load,
                            {rank, nodes, placement},
                            {as_matrix(none, 1), 1, as_matrix(grad, 8), {}});
            for (std::size_t i = 0; i < grad.size(); ++i)
                x[std::size_t(rank)][i] -= 2e4 * grad[i] / 8;
        }
    }
    int away = 0;
    for (int rank : {0, 1})
        for (const auto e : route(rank).chosen) away += (e / 2 != rank);
    CHECK(away <= 3);
    for (const auto l : load) CHECK(l <= 20);
}
