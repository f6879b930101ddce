#include "locmoe/plan/strategy.hpp"

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "catch.hpp"
#include "locmoe/plan/capacity_padded.hpp"
#include "locmoe/plan/direct.hpp"
#include "locmoe/plan/group_wise.hpp"
#include "locmoe/plan/node_aggregated.hpp"
#include "locmoe/plan/node_balanced.hpp"
#include "locmoe/plan/plan_all.hpp"
#include "locmoe/plan/store_and_forward.hpp"

using namespace locmoe;

namespace {

/// The least that is a rank_planner, and the least strategy over it.
struct least_planner {
    static constexpr std::size_t rounds = 0;
    std::vector<message> outgoing(std::size_t) { return {}; }
    void incoming(std::size_t, const std::vector<message>&) {}
    exchange_plan finish() { return {}; }
};

struct least_strategy {
    std::string_view name() const { return "least"; }
    least_planner planner(const plan_request&) const { return {}; }
};

struct no_rounds {
    std::vector<message> outgoing(std::size_t) { return {}; }
    void incoming(std::size_t, const std::vector<message>&) {}
    exchange_plan finish() { return {}; }
};

struct nameless {
    least_planner planner(const plan_request&) const { return {}; }
};

struct planless {
    std::string_view name() const { return "planless"; }
    int planner(const plan_request&) const { return 0; }
};

static_assert(exchange_strategy<direct>);
static_assert(exchange_strategy<node_aggregated>);
static_assert(exchange_strategy<node_balanced>);
static_assert(exchange_strategy<store_and_forward>);
static_assert(exchange_strategy<capacity_padded<direct>>);
static_assert(exchange_strategy<capacity_padded<node_aggregated>>);
static_assert(exchange_strategy<capacity_padded<store_and_forward>>);
static_assert(exchange_strategy<group_wise>);
static_assert(!detail::has_fixed_way<node_balanced>);
static_assert(exchange_strategy<least_strategy>);
static_assert(!rank_planner<no_rounds>);
static_assert(!exchange_strategy<nameless>);
static_assert(!exchange_strategy<planless>);
static_assert(!exchange_strategy<int>);

assignment one_token_to(expert_id expert, std::size_t experts) {
    routing r;
    r.token_count = 1;
    r.choice_count = 1;
    r.expert_count = experts;
    r.chosen = {0};
    r.weights = {1.0f};
    assignment a = assign(r);
    a.expert[0] = expert;
    return a;
}

}  // namespace

TEST_CASE("a request says what does not fit", "[plan]") {
    const auto nodes = topology::uniform(1, 2);
    const auto placement = expert_placement::blocked(3, 2);
    const assignment good = one_token_to(2, 3);
    CHECK_NOTHROW(check_request({1, nodes, placement, good}));
    CHECK_THROWS_WITH(check_request({2, nodes, placement, good}),
                      Catch::Contains("rank: expected 0 to 1, got 2"));
    CHECK_THROWS_WITH(check_request({-1, nodes, placement, good}), Catch::Contains("got -1"));
    const auto elsewhere = expert_placement::blocked(3, 4);
    CHECK_THROWS_WITH(check_request({1, nodes, elsewhere, good}),
                      Catch::Contains("placement on rank 1: expected one over 2 ranks, got 4"));
    const assignment outside = one_token_to(3, 3);
    CHECK_THROWS_WITH(
        check_request({1, nodes, placement, outside}),
        Catch::Contains("expert of token 0 on rank 1: expected 0 to 2, or no_expert (-1), got 3"));
    assignment cut = good;
    cut.expert.clear();
    CHECK_THROWS_WITH(check_request({1, nodes, placement, cut}),
                      Catch::Contains("expected T k = 1 times 1 entries, got 0"));
    cut.token_count = cut.choice_count = std::size_t{1} << 32;  // their product wraps to 0
    CHECK_THROWS_AS(check_request({1, nodes, placement, cut}), argument_error);
    CHECK_THROWS_WITH(plan_all(direct{}, nodes, placement, std::vector<assignment>{good}),
                      Catch::Contains("one for each of 2 ranks"));
}
