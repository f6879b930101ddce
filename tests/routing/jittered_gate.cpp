#include "locmoe/routing/jittered_gate.hpp"

#include <vector>

#include "locmoe/routing/dense_gate.hpp"
#include "locmoe/routing/logits_gate.hpp"
#include "locmoe/routing/switch_router.hpp"

#include "catch.hpp"
#include "routing/router_laws.hpp"

namespace {

using namespace routing_test;
using locmoe::jittered_gate;
using locmoe::logits_gate;

using over_logits = jittered_gate<logits_gate<double>>;

doubles factors(double epsilon, std::uint64_t seed, const locmoe::route_context& where,
                std::size_t rows) {
    const over_logits gate(logits_gate<double>(8), {epsilon, seed});
    const doubles ones(rows * 8, 1.0);
    doubles out(rows * 8);
    gate.at(where).forward(as_matrix(ones, 8), as_matrix(out, 8));
    return out;
}

}  // namespace

TEST_CASE("jitter multiplies each number by a factor within epsilon of 1, 1 on average") {
    const job here(8);
    const auto f = factors(0.1, 5, here.where(), 500);
    double sum = 0, squares = 0;
    for (const double v : f) {
        CHECK((v >= 0.9 && v < 1.1));
        sum += v - 1;
        squares += (v - 1) * (v - 1);
    }
    CHECK(std::fabs(sum / 4000) < 0.004);
    CHECK(squares / 4000 == Approx(0.01 / 3).epsilon(0.1));  // a uniform distribution's variance
}

TEST_CASE("jitter is fixed by seed, step and global token, on any layout of ranks") {
    const job here(8);
    auto where = here.where();
    const auto all = factors(0.1, 5, where, 6);
    CHECK(all == factors(0.1, 5, where, 6));
    CHECK(all != factors(0.1, 6, where, 6));
    where.step = 1;
    CHECK(all != factors(0.1, 5, where, 6));
    where.step = 0;
    where.first_token = 4;  // the last two tokens, on a rank of their own
    CHECK(doubles(all.begin() + 32, all.end()) == factors(0.1, 5, where, 2));
    where.training = false;
    CHECK(factors(0.1, 5, where, 6) == doubles(48, 1.0));
}

TEST_CASE("switch with jitter has exact gradients") {
    auto w = numbers(4 * 10, 9);
    const locmoe::switch_router<double> router(as_matrix(std::as_const(w), 10),
                                               {.jitter = {.epsilon = 0.3, .seed = 3}});
    check_gradients(router, 6, 10, &w, 4);
    const job here(4);
    const auto x = numbers(6 * 10, 10);
    const locmoe::switch_router<double> quiet(as_matrix(std::as_const(w), 10));
    auto where = here.where();
    const auto noisy = router.route(as_matrix(x, 10), where).weights;
    CHECK(noisy != quiet.route(as_matrix(x, 10), where).weights);
    where.training = false;
    CHECK(router.route(as_matrix(x, 10), where).weights ==
          quiet.route(as_matrix(x, 10), where).weights);
}

TEST_CASE("jitter refuses an epsilon below 0 or from 1 on") {
    for (const double epsilon : {-0.1, 1.0, std::nan("")})
        CHECK_THROWS_AS(over_logits(logits_gate<double>(8), {epsilon, 0}), locmoe::argument_error);
}
