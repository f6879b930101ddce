#include "locmoe/routing/communication_balance_loss.hpp"

#include <cstdint>
#include <vector>

#include "locmoe/routing/routing.hpp"

#include "catch.hpp"
#include "routing/support.hpp"

namespace {

using locmoe::communication_balance_loss;
using locmoe::expert_groups;
using locmoe::no_expert;
using counts = std::vector<std::int64_t>;

const expert_groups groups = expert_groups::from_group_of_expert({0, 0, 1, 1, 2, 2});
constexpr std::size_t n = 6;

}  // namespace

TEST_CASE("a token visits a group once, however many of its experts stand there") {
    const locmoe::routing d{4,
                            3,
                            n,
                            {0, 1, 2, 4, 5, 4, 3, no_expert, 0, no_expert, no_expert, no_expert},
                            std::vector<float>(12, 1.0f),
                            {}};
    CHECK(locmoe::count_visits(d, groups) == counts{2, 2, 1});
    const locmoe::topology nodes = locmoe::topology::from_node_of_rank({0, 1, 1, 2});
    const auto placement = locmoe::expert_placement::from_rank_of_expert({0, 0, 1, 2, 1, 2}, 4);
    CHECK(locmoe::count_visits(d, expert_groups::by_node({0, nodes, placement})) == counts{2, 3});
}

TEST_CASE("the communication balance loss is alpha D / (M T) times visits times P, by group") {
    const std::vector<double> mean{0.1, 0.05, 0.2, 0.25, 0.15, 0.25};
    const counts visits{9, 4, 7};
    const double want = 3.0 / (2 * 10) * (9 * 0.15 + 4 * 0.45 + 7 * 0.4);
    CHECK(communication_balance_loss({.alpha = 0.3, .groups_per_token = 2})
              .value(mean, visits, 10, groups) == Approx(0.3 * want));
}

TEST_CASE("it is alpha where each token goes to M groups and all receive alike") {
    const communication_balance_loss loss({.alpha = 1, .groups_per_token = 2});
    CHECK(loss.value(std::vector<double>{0.3, 0.1, 0, 0.2, 0.4, 0}, counts{8, 8, 8}, 12, groups) ==
          Approx(1));
    CHECK(loss.value(std::vector<double>{0.5, 0, 0.5, 0, 0, 0}, counts{12, 12, 0}, 12, groups) ==
          Approx(1.5));
}

TEST_CASE("the communication balance loss's gradient is its derivative in the mean probabilities") {
    auto mean = routing_test::numbers(n, 2);
    const counts visits{9, 4, 7};
    const communication_balance_loss loss({.groups_per_token = 2});
    std::vector<double> grad(n, 0);
    loss.add_gradient(visits, 10, groups, 0.7, grad);
    loss.add_gradient(visits, 10, groups, 1.0, grad);
    CHECK(routing_test::gradient_error([&] { return 1.7 * loss.value(mean, visits, 10, groups); },
                                       mean, grad) < 1e-6);
}

TEST_CASE("the communication balance loss is 0 without tokens and refuses what does not fit") {
    const communication_balance_loss loss({.groups_per_token = 1});
    CHECK(loss.value(std::vector<double>(n, 0), counts(3, 0), 0, groups) == 0);
    CHECK_THROWS_WITH(
        loss.value(std::vector<double>(n, 0), counts(2, 0), 1, groups, 5),
        "locmoe: communication_balance_loss: visits on rank 5: expected D = 3 counts, "
        "got 2");
    CHECK_THROWS_AS(loss.value(std::vector<double>(2, 0), counts(3, 0), 1, groups),
                    locmoe::argument_error);
    CHECK_THROWS_AS(communication_balance_loss({.groups_per_token = 0}), locmoe::argument_error);
    CHECK_THROWS_AS(communication_balance_loss({.alpha = -1, .groups_per_token = 1}),
                    locmoe::argument_error);
    const locmoe::routing d{1, 1, n, {6}, {1.0f}, {}};
    CHECK_THROWS_AS(locmoe::count_visits(d, groups), locmoe::argument_error);
}
