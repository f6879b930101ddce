#include "locmoe/assign/second_chance.hpp"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "locmoe/plan/direct.hpp"
#include "locmoe/plan/plan_all.hpp"
#include "locmoe/plan/validate.hpp"
#include "locmoe/routing/count_load.hpp"

#include "catch.hpp"
#include "random_cases.hpp"

using namespace locmoe;

namespace {

using counts = std::vector<std::int64_t>;

routing any(random_cases::generator& g, std::size_t experts, std::size_t tokens, std::size_t k) {
    routing r = random_cases::any_routing(g, experts, tokens, k);
    for (std::size_t i = 0; i < tokens * experts; ++i)
        r.probabilities.push_back(g.chance(0.1) ? 0.0f
                                                : static_cast<float>(1 + g.up_to(15)) / 16.0f);
    return r;
}

}  // namespace

TEST_CASE("a dropped choice goes to the likeliest expert with room", "[assign]") {
    // All three want expert 0, which takes one. Token 1 likes 2, which token 2 then finds full.
    const routing r{3,
                    1,
                    3,
                    {0, 0, 0},
                    {0.8f, 0.6f, 0.5f},
                    {0.8f, 0.1f, 0.1f, 0.6f, 0.1f, 0.3f, 0.5f, 0.1f, 0.4f}};
    const assign_options options{.capacity = 1};
    const assignment first = assign(r, options);
    const auto again = give_second_chance(r, first, free_slots_here(first, options));
    CHECK(again.assigned.expert == std::vector<expert_id>{0, 2, 1});
    CHECK(again.assigned.position == counts{0, 0, 0});
    CHECK(again.assigned.kept == counts{1, 1, 1});
    CHECK(again.assigned.dropped == counts{0, 0, 0});
    CHECK(again.assigned.ledger == drop_ledger{.moved = 2});
    CHECK(again.decided.chosen == again.assigned.expert);
    CHECK(again.decided.weights[1] == Approx(0.3f));
    CHECK(again.decided.weights[2] == Approx(0.1f));
    // Whatever is said to be free there, a token that was turned away does not come back.
    const auto there = give_second_chance(r, first, {counts{1, 0, 0}, counts{9, 0, 0}});
    CHECK(there.assigned.expert == first.expert);
}

TEST_CASE("of equally likely experts the lowest gets the second chance, and a masked one none",
          "[assign]") {
    const routing r{3,
                    1,
                    4,
                    {0, 0, 0},
                    {0.5f, 0.5f, 0.5f},
                    {0.5f, 0.2f, 0.2f, 0, 0.5f, 0.2f, 0.2f, 0, 0.5f, 0.2f, 0.2f, 0}};
    const assign_options options{.capacity = 1};
    const assignment first = assign(r, options);
    const auto again = give_second_chance(r, first, free_slots_here(first, options));
    CHECK(again.assigned.expert == std::vector<expert_id>{0, 1, 2});
    const assign_options none{.capacity = 0};
    const assignment dropped = assign(r, none);
    const auto still = give_second_chance(r, dropped, free_slots_here(dropped, none));
    CHECK(still.assigned.expert == dropped.expert);
    CHECK(still.assigned.ledger == dropped.ledger);
    // With room at expert 3 alone, whose probability is 0, nobody moves.
    const counts room_at_3{0, 0, 0, 9};
    const assign_options masked{.capacities = room_at_3};
    const assignment all = assign(r, masked);
    CHECK(give_second_chance(r, all, free_slots_here(all, masked)).assigned.ledger.moved == 0);
}

TEST_CASE("a renormalised weight keeps its ratio to the probability", "[assign]") {
    const routing r{1, 2, 4, {0, 1}, {0.625f, 0.375f}, {0.5f, 0.3f, 0.2f, 0}};
    const counts capacities{0, 1, 1, 1};
    const assign_options options{.capacities = capacities};
    const assignment first = assign(r, options);
    const auto again = give_second_chance(r, first, free_slots_here(first, options));
    CHECK(again.decided.chosen == std::vector<expert_id>{2, 1});
    CHECK(again.decided.weights[0] == Approx(0.625 / 0.5 * 0.2));
    CHECK(again.decided.weights[1] == 0.375f);
    CHECK(again.assigned.ledger.capacity == 0);
    CHECK(again.assigned.ledger.moved == 1);
}

TEST_CASE(
    "a second chance never exceeds a capacity, never repeats an expert, never goes to the "
    "full one again",
    "[assign]") {
    // MindFormers sends a token that was dropped at choice 1 to the same full expert at choice 2;
    // vLLM's uniform routing can give a token the same expert twice.
    std::int64_t moved = 0;
    for (std::uint32_t seed = 0; seed < 400; ++seed) {
        random_cases::generator g(seed);
        const std::size_t n = 1 + g.up_to(6), k = 1 + g.up_to(3);
        const routing r = any(g, n, g.up_to(15), k);
        const auto capacity = static_cast<std::int64_t>(g.up_to(5));
        const assign_options options{.capacity = capacity};
        const assignment first =
            g.chance(0.5) ? assign(r, options) : assign(r, batch_priority{}, options);
        const auto [decided, a] = give_second_chance(r, first, free_slots_here(first, options));
        INFO("seed " << seed);
        moved += a.ledger.moved;
        const auto load = count_choices(decided);
        std::vector<std::vector<char>> taken(n,
                                             std::vector<char>(static_cast<std::size_t>(capacity)));
        counts kept(n, 0);
        drop_ledger want{.moved = a.ledger.moved};
        for (std::size_t t = 0; t < r.token_count; ++t) {
            bool chose = false, got = false;
            for (std::size_t slot = 0; slot < k; ++slot) {
                const std::size_t i = t * k + slot;
                chose = chose || r.chosen[i] != no_expert;
                got = got || a.expert[i] != no_expert;
                want.not_chosen += r.chosen[i] == no_expert;
                if (a.expert[i] == no_expert) {
                    REQUIRE(decided.chosen[i] == r.chosen[i]);
                    (slot == 0 ? want.capacity : want.second_choice) += r.chosen[i] != no_expert;
                    continue;
                }
                REQUIRE(a.expert[i] == decided.chosen[i]);
                const auto e = static_cast<std::size_t>(a.expert[i]);
                ++kept[e];
                char& place = taken[e].at(static_cast<std::size_t>(a.position[i]));
                REQUIRE(place == 0);
                place = 1;
                if (first.expert[i] != no_expert) {
                    REQUIRE(a.expert[i] == first.expert[i]);
                    REQUIRE(decided.weights[i] == r.weights[i]);
                    continue;
                }
                for (std::size_t s = 0; s < k; ++s) {
                    REQUIRE(a.expert[i] != r.chosen[t * k + s]);
                    if (s != slot) REQUIRE(a.expert[i] != a.expert[t * k + s]);
                }
            }
            want.lost_tokens += chose && !got;
        }
        REQUIRE(kept == a.kept);
        REQUIRE(a.ledger == want);
        for (std::size_t e = 0; e < n; ++e) {
            REQUIRE(a.kept[e] <= capacity);
            REQUIRE(a.kept[e] + a.dropped[e] == load[e]);
        }
        // Nobody was left out for whom there was room.
        for (std::size_t i = 0; i < a.expert.size(); ++i) {
            if (a.expert[i] != no_expert || r.chosen[i] == no_expert) continue;
            for (std::size_t e = 0; e < n; ++e) {
                bool had = a.kept[e] == capacity || r.probabilities[i / k * n + e] == 0;
                for (std::size_t s = 0; s < k; ++s)
                    had = had || decided.chosen[i / k * k + s] == static_cast<expert_id>(e) ||
                          r.chosen[i / k * k + s] == static_cast<expert_id>(e);
                REQUIRE(had);
            }
        }
    }
    CHECK(moved > 300);
}

TEST_CASE("with room for all and experts to spare, a second chance drops nothing", "[assign]") {
    random_cases::generator g(5);
    routing r{40, 1, 8, std::vector<expert_id>(40, 2), std::vector<float>(40, 0.5f), {}};
    for (std::size_t i = 0; i < 320; ++i)
        r.probabilities.push_back(static_cast<float>(1 + g.up_to(99)) / 800.0f);
    const assign_options options{.capacity = 5};
    const assignment first = assign(r, options);
    CHECK(first.dropped_count() == 35);
    const auto again = give_second_chance(r, first, free_slots_here(first, options));
    CHECK(again.assigned.kept == counts(8, 5));
    CHECK(again.assigned.ledger == drop_ledger{.moved = 35});
}

TEST_CASE("over ranks, shares of the free slots never overlap, and the plans are valid",
          "[assign]") {
    std::int64_t moved = 0;
    for (std::uint32_t seed = 0; seed < 100; ++seed) {
        random_cases::generator g(seed + 500);
        const std::size_t ranks = 1 + g.up_to(5), k = 1 + g.up_to(2);
        const auto nodes = random_cases::any_topology(g, ranks);
        const auto placement = random_cases::any_placement(g, ranks);
        const std::size_t n = placement.expert_count();
        const auto capacity = static_cast<std::int64_t>(g.up_to(12));
        std::vector<routing> decided;
        counts total(n, 0), before(n, 0), kept(n, 0);
        for (std::size_t r = 0; r < ranks; ++r) {
            decided.push_back(any(g, n, g.up_to(10), k));
            const auto load = count_choices(decided[r]);
            for (std::size_t e = 0; e < n; ++e) total[e] += load[e];
        }
        std::vector<std::vector<char>> taken(n,
                                             std::vector<char>(static_cast<std::size_t>(capacity)));
        std::vector<assignment> assigned;
        const bool by_position = g.chance(0.5);
        counts free(n, 0);
        for (std::size_t r = 0; r < ranks; ++r) {
            const assign_options options{.capacity = capacity, .before = before, .total = total};
            const assignment first = by_position ? assign(decided[r], options)
                                                 : assign(decided[r], drop_by_weight{}, options);
            const auto slots = free_slots_of_rank(options, n, static_cast<rank_id>(r), ranks);
            for (std::size_t e = 0; e < n; ++e) free[e] += slots.count[e];
            assigned.push_back(give_second_chance(decided[r], first, slots).assigned);
            const assignment& a = assigned.back();
            moved += a.ledger.moved;
            for (std::size_t i = 0; i < a.expert.size(); ++i) {
                if (a.expert[i] == no_expert) continue;
                char& place = taken[static_cast<std::size_t>(a.expert[i])].at(
                    static_cast<std::size_t>(a.position[i]));
                REQUIRE(place == 0);
                place = 1;
            }
            const auto load = count_choices(decided[r]);
            for (std::size_t e = 0; e < n; ++e) before[e] += load[e];
        }
        for (std::size_t e = 0; e < n; ++e)
            REQUIRE(free[e] == std::max<std::int64_t>(capacity - total[e], 0));
        REQUIRE_NOTHROW(validate(plan_all(direct{}, nodes, placement, assigned)));
    }
    CHECK(moved > 50);
}

TEST_CASE("a second chance refuses what does not fit", "[assign]") {
    routing r{2, 1, 2, {0, 0}, {1.0f, 1.0f}, {0.5f, 0.5f, 0.5f, 0.5f}};
    const assign_options options{.capacity = 1};
    const assignment a = assign(r, options);
    const free_slots slots = free_slots_here(a, options);
    CHECK_THROWS_WITH(free_slots_here(a, {}),
                      Catch::Contains("free_slots: capacity: expected one, or one an expert"));
    CHECK_THROWS_AS(free_slots_of_rank(options, 2, 0, 1), argument_error);
    const counts total{1, 1};
    CHECK_THROWS_AS(free_slots_of_rank({.capacity = 1, .total = total}, 2, 3, 3), argument_error);
    CHECK_THROWS_AS(give_second_chance(r, a, {counts{0}, counts{1}}), argument_error);
    CHECK_THROWS_AS(give_second_chance(r, assignment{}, slots), argument_error);
    r.probabilities[2] = std::numeric_limits<float>::quiet_NaN();
    CHECK_THROWS_WITH(give_second_chance(r, a, slots, 3),
                      Catch::Contains("probabilities of token 1 on rank 3"));
    r.probabilities.clear();
    CHECK_THROWS_AS(give_second_chance(r, a, slots), argument_error);
}
