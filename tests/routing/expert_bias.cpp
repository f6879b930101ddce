#include "locmoe/routing/expert_bias.hpp"

#include <vector>

#include "locmoe/routing/bias_balanced_router.hpp"
#include "locmoe/routing/logits_gate.hpp"

#include "catch.hpp"
#include "routing/router_laws.hpp"

namespace {

using namespace routing_test;
using locmoe::update_bias;
using floats = std::vector<float>;
using loads = std::vector<std::int64_t>;

}  // namespace

TEST_CASE("the bias moves by u towards the mean load, torchtitan's with the mean step taken off") {
    floats bias{0.5f, 0, 0, -0.25f};
    update_bias(bias, loads{10, 2, 4, 0}, {.rate = 0.25});  // mean 4
    CHECK(bias == floats{0.25f, 0.25f, 0, 0});
    bias = {0, 0, 0, 0};
    update_bias(bias, loads{10, 2, 4, 0}, {.rate = 0.25, .centred = true});  // signs -1, 1, 0, 1
    CHECK(bias == floats{-0.3125f, 0.1875f, -0.0625f, 0.1875f});
    bias = {0, 0, 0};
    update_bias(bias, loads{1, 1, 2}, {.rate = 0.5});  // mean 4/3, no whole number
    CHECK(bias == floats{0.5f, 0.5f, -0.5f});
    update_bias(bias, loads{0, 0, 0}, {.rate = 0.5});
    CHECK(bias == floats{0.5f, 0.5f, -0.5f});
}

TEST_CASE("the bias refuses loads of another length and a rate that is no number >= 0") {
    floats bias(3);
    CHECK_THROWS_WITH(update_bias(bias, loads{1, 2}),
                      "locmoe: update_bias: load: expected n = 3 counts, got 2");
    CHECK_THROWS_AS(update_bias(bias, loads{1, 2, 3}, {.rate = -1}), locmoe::argument_error);
    CHECK_THROWS_AS(update_bias(bias, loads{1, 2, 3}, {.rate = std::nan("")}),
                    locmoe::argument_error);
}

TEST_CASE("updated step by step, the bias evens out a skewed router without a loss") {
    const std::size_t n = 8, T = 400;
    const job here(n);
    auto z = numbers(T * n, 3);
    for (std::size_t i = 0; i < z.size(); ++i) z[i] += i % n < 2 ? 1.5 : 0;  // two favourites
    floats bias(n);
    const locmoe::bias_balanced_router router(locmoe::logits_gate<double>(n), bias, {.k = 2});
    const auto most = [&] {
        std::int64_t highest = 0;
        for (const auto l : locmoe::count_choices(route_logits(router, z, here.where())))
            highest = l > highest ? l : highest;
        return highest;
    };
    CHECK(most() > 300);  // a mean of 100
    for (int step = 0; step < 300; ++step)
        update_bias(bias, locmoe::count_choices(route_logits(router, z, here.where())),
                    {.rate = 0.005});
    CHECK(most() < 115);
}
