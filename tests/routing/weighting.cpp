#include "locmoe/routing/weighting.hpp"

#include <vector>

#include "catch.hpp"
#include "routing/support.hpp"

namespace {

using locmoe::expert_id;
using locmoe::weighting;
using doubles = std::vector<double>;

doubles weights(const weighting& rule, const doubles& scores,
                const std::vector<expert_id>& chosen) {
    doubles w(chosen.size());
    rule.weigh(std::span<const double>(scores), std::span<const expert_id>(chosen), std::span(w));
    return w;
}

}  // namespace

TEST_CASE("weights are the chosen scores, over their sum where asked, times the scale") {
    const doubles scores{0.1, 0.2, 0.3, 0.4};
    CHECK(weights({}, scores, {3, 1}) == doubles{0.4, 0.2});
    const auto w = weights({.renormalise = true, .scale = 2.5}, scores, {3, locmoe::no_expert, 1});
    CHECK(w[0] == Approx(2.5 * 4 / 6));
    CHECK(w[1] == 0);
    CHECK(w[2] == Approx(2.5 * 2 / 6));
    CHECK(weights({.renormalise = true}, {0, 0, 1}, {0, 1}) == doubles{0, 0});
}

TEST_CASE("the gradient of the weights is exact, with and without renormalising") {
    for (const bool renormalise : {false, true})
        for (const expert_id last : {locmoe::no_expert, expert_id(1)}) {
            const weighting rule{.renormalise = renormalise, .scale = 1.7};
            doubles scores{0.3, 0.1, 0.8, 0.5};
            const std::vector<expert_id> chosen{2, 0, last};
            const doubles c{0.7, -0.4, 0.9};
            doubles grad(4);
            rule.weigh_backward(std::span<const double>(scores), std::span<const expert_id>(chosen),
                                std::span<const double>(c), std::span(grad));
            const auto loss = [&] { return routing_test::dot(c, weights(rule, scores, chosen)); };
            CHECK(routing_test::gradient_error(loss, scores, grad) < 1e-6);
        }
}
