#include "locmoe/capacity/success_rates.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

#include "catch.hpp"

using locmoe::better_choice;
using locmoe::choice_odds;
using locmoe::choosing;
using locmoe::expert_choice_at_least;
using locmoe::expert_choice_at_most;
using locmoe::switch_over;
using locmoe::token_choice_success;

namespace {

/// The chance that fewer than C of s - 1 wrong tokens beat the right one: expert choice, exactly.
double expert_choice_exactly(std::size_t s, std::size_t capacity, double q) {
    double mass = std::pow(1 - q, static_cast<double>(s - 1));
    double sum = 0;
    for (std::size_t k = 0; k < capacity && k < s; ++k) {
        sum += mass;
        mass *= static_cast<double>(s - 1 - k) / static_cast<double>(k + 1) * (q / (1 - q));
    }
    return sum;
}

}  // namespace

TEST_CASE("the bounds of expert choice hold what is exact, in both of their states") {
    std::size_t early = 0;
    std::size_t late = 0;
    for (const std::size_t s : {2u, 10u, 64u, 300u})
        for (const double q : {0.001, 0.01, 0.05, 0.2, 0.6, 0.9})
            for (const std::size_t capacity :
                 {std::size_t{1}, std::size_t{3}, std::size_t{40},
                  static_cast<std::size_t>(static_cast<double>(s - 1) * q / 2),
                  static_cast<std::size_t>(std::ceil(2 * static_cast<double>(s) * q))}) {
                const std::vector<double> p(3, 0.1);
                const std::vector<double> wrong(3, q);
                const choice_odds odds{s, capacity, p, wrong};
                const double exact = expert_choice_exactly(s, capacity, q);
                INFO("s " << s << ", C " << capacity << ", q " << q);
                if (const auto most = expert_choice_at_most(odds)) {
                    // the bound is one of P(X <= C), and success is X < C
                    CHECK(exact <= *most);
                    ++early;
                }
                if (const auto least = expert_choice_at_least(odds)) {
                    CHECK(exact >= *least - 1e-12);
                    ++late;
                }
            }
    const std::vector<double> p(2, 0.1);
    const std::vector<double> wrong{0.5, 0.9};
    CHECK(*expert_choice_at_most({65, 3, p, wrong}) ==
          Approx(0.5 * (std::exp(-4.0) + std::exp(-7.2))));
    CHECK(*expert_choice_at_least({65, 120, p, wrong}) == Approx(1 - std::exp(-22.5)));
    CHECK(early > 10);
    CHECK(late > 10);
}

TEST_CASE("token choice succeeds as often as drawn tokens do") {
    // s tokens at random experts; the right token of expert i picks it with chance p_i and is kept
    // where it stands among the first C there.
    const std::size_t s = 400;
    const std::size_t capacity = 10;
    const std::vector<double> p{0.9, 0.2, 0.5, 0.7};
    const std::vector<double> q(4, 0.1);
    std::mt19937_64 bits(4);
    double succeeded = 0;
    const int runs = 20000;
    for (int run = 0; run < runs; ++run)
        for (const double chance : p) {
            if (static_cast<double>(bits() >> 11) * 0x1p-53 >= chance) continue;
            const std::size_t place = bits() % s;  // tokens that come before it
            std::size_t ahead = 0;
            for (std::size_t t = 0; t < place && ahead < capacity; ++t) ahead += bits() % 4 == 0;
            succeeded += ahead < capacity ? 1 : 0;
        }
    CHECK(token_choice_success({s, capacity, p, q}) ==
          Approx(succeeded / (runs * 4.0)).epsilon(0.05));
}

TEST_CASE("token choice wins while many wrong tokens beat the right one, expert choice later") {
    const std::vector<double> p(8, 0.3);
    const auto choice_at = [&](double q) {
        const std::vector<double> wrong(8, q);
        return better_choice({512, 20, p, wrong});
    };
    CHECK(choice_at(0.5) == choosing::tokens);
    CHECK(choice_at(0.05) == choosing::undecided);
    CHECK(choice_at(0.01) == choosing::experts);
}

TEST_CASE("at the switch-over point expert choice has just become certain") {
    const std::vector<double> p(8, 0.3);
    const std::vector<double> any(8, 0.5);
    const auto at = switch_over({512, 20, p, any});
    REQUIRE(at);
    CHECK(*at == Approx(20.0 / 1024));
    for (const double beside : {0.999, 1.001}) {
        const std::vector<double> wrong(8, *at * beside);
        CHECK((better_choice({512, 20, p, wrong}) == choosing::experts) == (beside < 1));
    }
    const std::vector<double> sure(512, 1.0);  // token choice never fails
    CHECK_FALSE(switch_over({512, 1, sure, sure}));
    const std::vector<double> one{0.1};
    CHECK(switch_over({4, 100, std::vector<double>{0.01}, one}) == 1);
}

TEST_CASE("success rates stay rates and refuse odds that are none") {
    const std::vector<double> p(16, 1.0);
    const std::vector<double> q(16, 0.2);
    CHECK(token_choice_success({64, 4, p, q}) == 1);
    CHECK(token_choice_success({64, 64, p, q}) == 1);
    CHECK(token_choice_success({64, 0, p, q}) == 0);
    const std::vector<double> bad{0.1, 1.5};
    const std::vector<double> good{0.1, 0.5};
    CHECK_THROWS_AS(token_choice_success({64, 4, bad, good}), locmoe::argument_error);
    CHECK_THROWS_AS(expert_choice_at_least({64, 4, good, bad}), locmoe::argument_error);
    CHECK_THROWS_AS(expert_choice_at_most({64, 4, good, p}), locmoe::argument_error);
    CHECK_THROWS_AS(switch_over({64, 4, {}, {}}), locmoe::argument_error);
    CHECK_THROWS_WITH(better_choice({1, 4, good, good}),
                      "locmoe: token_choice_success: token_count: expected at least 2, got 1");
}
