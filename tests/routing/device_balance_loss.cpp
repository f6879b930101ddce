#include "locmoe/routing/device_balance_loss.hpp"

#include <cstdint>
#include <vector>

#include "locmoe/routing/auxiliary_loss.hpp"
#include "locmoe/routing/softmax.hpp"
#include "locmoe/tensor/standard.hpp"

#include "catch.hpp"
#include "routing/support.hpp"

namespace {

using locmoe::device_balance_loss;
using locmoe::expert_groups;
using locmoe::expert_placement;
using counts = std::vector<std::int64_t>;

constexpr std::size_t n = 6;
// Rank 0 holds experts 1 and 4, rank 1 none, rank 2 experts 0, 2 and 5, rank 3 expert 3.
const expert_placement placement = expert_placement::from_rank_of_expert({2, 0, 2, 3, 0, 2}, 4);

}  // namespace

TEST_CASE("ranks that hold an expert are the groups, in order") {
    const auto g = locmoe::groups_by_rank(placement);
    CHECK(g.group_count() == 3);
    const std::vector<std::size_t> want{1, 0, 1, 2, 0, 1};
    for (std::size_t e = 0; e < n; ++e) CHECK(g.group_of(e) == want[e]);
}

TEST_CASE("the device balance loss is alpha times the sum of mean f and summed P over groups") {
    const counts load{3, 5, 0, 4, 7, 1};
    const std::vector<double> mean{0.1, 0.05, 0.2, 0.25, 0.15, 0.25};
    const auto f = [&](std::size_t i) { return 6.0 * static_cast<double>(load[i]) / 20; };
    const double want = (f(1) + f(4)) / 2 * (mean[1] + mean[4]) +
                        (f(0) + f(2) + f(5)) / 3 * (mean[0] + mean[2] + mean[5]) + f(3) * mean[3];
    CHECK(
        device_balance_loss({.alpha = 0.3}).value(mean, load, locmoe::groups_by_rank(placement)) ==
        Approx(0.3 * want));
}

TEST_CASE("the device balance loss is alpha wherever the groups share alike") {
    const auto pairs = expert_groups::from_group_of_expert({0, 1, 0, 1});
    const device_balance_loss loss({.alpha = 1});
    CHECK(loss.value(std::vector<double>{0.5, 0.1, 0, 0.4}, counts{8, 3, 0, 5}, pairs) ==
          Approx(1));
    CHECK(loss.value(std::vector<double>{0.5, 0, 0.5, 0}, counts{8, 0, 8, 0}, pairs) == Approx(2));
}

TEST_CASE("with one expert a group it is the expert-level loss") {
    const auto alone = expert_groups::from_group_of_expert({0, 1, 2, 3, 4, 5});
    auto mean = routing_test::numbers(n, 1, 2);
    locmoe::softmax_rows(locmoe::as_matrix(mean, n));
    const counts load{3, 5, 0, 4, 7, 1};
    CHECK(device_balance_loss({.alpha = 0.01}).value(mean, load, alone) ==
          Approx(locmoe::auxiliary_loss().value(mean, load)));
}

TEST_CASE("the device balance loss's gradient is its derivative in the mean probabilities") {
    auto mean = routing_test::numbers(n, 2);
    const counts load{3, 5, 0, 4, 7, 1};
    const auto groups = locmoe::groups_by_rank(placement);
    const device_balance_loss loss;
    std::vector<double> grad(n, 0);
    loss.add_gradient(load, groups, 0.7, grad);
    loss.add_gradient(load, groups, 1.0, grad);
    CHECK(routing_test::gradient_error([&] { return 1.7 * loss.value(mean, load, groups); }, mean,
                                       grad) < 1e-6);
}

TEST_CASE("the device balance loss is 0 without load and refuses what does not fit") {
    const auto groups = locmoe::groups_by_rank(placement);
    const device_balance_loss loss;
    CHECK(loss.value(std::vector<double>(n, 0), counts(n, 0), groups) == 0);
    CHECK_THROWS_WITH(loss.value(std::vector<double>(n, 0), counts(5, 0), groups, 2),
                      "locmoe: device_balance_loss: load on rank 2: expected n = 6 counts, got 5");
    CHECK_THROWS_AS(loss.value(std::vector<double>(5, 0), counts(n, 0), groups),
                    locmoe::argument_error);
    CHECK_THROWS_AS(device_balance_loss({.alpha = -1}), locmoe::argument_error);
}
