#include "locmoe/assign/assignment.hpp"

#include <cstdint>
#include <limits>
#include <vector>

#include "locmoe/exec/thread_team.hpp"

#include "catch.hpp"
#include "random_cases.hpp"

using namespace locmoe;

namespace {

routing simple(std::vector<expert_id> chosen, std::size_t choices, std::size_t experts) {
    routing r;
    r.token_count = chosen.size() / choices;
    r.choice_count = choices;
    r.expert_count = experts;
    r.weights.assign(chosen.size(), 1.0f);
    r.chosen = std::move(chosen);
    return r;
}

}  // namespace

TEST_CASE("positions count up in token order and drops begin at the capacity", "[assign]") {
    const assignment a = assign(simple({1, 0, 1, 1, 0, 1}, 1, 2), {.capacity = 3});
    CHECK(a.position == std::vector<std::int64_t>{0, 0, 1, 2, 1, -1});
    CHECK(a.expert == std::vector<expert_id>{1, 0, 1, 1, 0, no_expert});
    CHECK(a.kept == std::vector<std::int64_t>{2, 3});
    CHECK(a.dropped == std::vector<std::int64_t>{0, 1});
    CHECK(a.dropped_count() == 1);
}

TEST_CASE("every choice is kept or counted as dropped, on every random job", "[assign]") {
    for (std::uint32_t seed = 0; seed < 500; ++seed) {
        const auto job = random_cases::any_job(seed);
        INFO(job.text);
        for (std::size_t r = 0; r < job.decided.size(); ++r) {
            const auto load = count_choices(job.decided[r]);
            const assignment& a = job.assigned[r];
            for (std::size_t e = 0; e < load.size(); ++e)
                REQUIRE(a.kept[e] + a.dropped[e] == load[e]);
            std::int64_t kept = 0;
            for (std::size_t i = 0; i < a.expert.size(); ++i) {
                REQUIRE((a.expert[i] == no_expert) == (a.position[i] == -1));
                REQUIRE((a.expert[i] == no_expert || a.expert[i] == job.decided[r].chosen[i]));
                kept += a.expert[i] != no_expert;
            }
            REQUIRE(kept == a.kept_count());
        }
    }
}

TEST_CASE("with `before`, ranks fill an expert as one batch in rank order would", "[assign]") {
    for (std::uint32_t seed = 0; seed < 300; ++seed) {
        random_cases::generator g(seed);
        const std::size_t experts = 1 + g.up_to(6);
        const auto capacity = static_cast<std::int64_t>(g.up_to(8));
        std::vector<std::int64_t> before(experts, 0);
        routing whole = simple({}, 2, experts);
        std::vector<std::int64_t> positions;
        for (std::size_t rank = 0; rank < 4; ++rank) {
            const routing r = random_cases::any_routing(g, experts, g.up_to(7), 2);
            const assignment a = assign(r, {.capacity = capacity, .before = before});
            positions.insert(positions.end(), a.position.begin(), a.position.end());
            whole.chosen.insert(whole.chosen.end(), r.chosen.begin(), r.chosen.end());
            whole.token_count += r.token_count;
            const auto load = count_choices(r);
            for (std::size_t e = 0; e < experts; ++e) before[e] += load[e];
        }
        REQUIRE(assign(whole, {.capacity = capacity}).position == positions);
    }
}

TEST_CASE("capacity zero drops everything and dropless nothing", "[assign]") {
    const routing r = simple({0, 1, 1, no_expert}, 2, 2);
    CHECK(assign(r, {.capacity = 0}).dropped_count() == 3);
    CHECK(assign(r, {.capacity = 0}).kept_count() == 0);
    CHECK(assign(r).dropped_count() == 0);
    CHECK(assign(r).kept_count() == 3);
    CHECK(assign(simple({}, 1, 2), {.capacity = 1}).kept_count() == 0);
}

TEST_CASE("assign refuses what does not fit", "[assign]") {
    CHECK_THROWS_WITH(assign(simple({0}, 1, 1), {.capacity = -1}),
                      Catch::Contains("capacity: expected 0 or more, got -1"));
    const std::vector<std::int64_t> before{1, 2, 3};
    CHECK_THROWS_WITH(assign(simple({0}, 1, 2), {.before = before}),
                      Catch::Contains("before: expected n = 2 counts, got 3"));
    CHECK_THROWS_WITH(assign(simple({0, 2}, 1, 2)),
                      Catch::Contains("expert of token 1: expected 0 to 1"));
    routing r = simple({0, 1}, 1, 2);
    r.token_count = 3;
    CHECK_THROWS_AS(assign(r), argument_error);
}

TEST_CASE("each expert may have a capacity of its own, over one rank or all", "[assign]") {
    const std::vector<std::int64_t> capacities{1, 3, 0};
    const routing r = simple({0, 1, 0, 1, 1, 2, 1, 0}, 2, 3);
    const assignment a = assign(r, {.capacities = capacities});
    CHECK(a.kept == std::vector<std::int64_t>{1, 3, 0});
    CHECK(a.dropped == std::vector<std::int64_t>{2, 1, 1});
    CHECK(a.position == std::vector<std::int64_t>{0, 0, -1, 1, 2, -1, -1, -1});
    const std::vector<std::int64_t> before{0, 2, 0};
    CHECK(assign(r, {.before = before, .capacities = capacities}).kept ==
          std::vector<std::int64_t>{1, 1, 0});
    CHECK(assign(r, {.capacities = std::vector<std::int64_t>(3, 2)}).position ==
          assign(r, {.capacity = 2}).position);
}

TEST_CASE("the ledger tells first choices, later ones, empty slots and lost tokens apart",
          "[assign]") {
    // Token 1 loses both choices, token 2 its second, token 3 its first; token 4 chose nothing.
    const routing r = simple({0, 1, 0, 1, 2, 0, 1, 2, no_expert, no_expert}, 2, 3);
    const assignment a = assign(r, {.capacities = std::vector<std::int64_t>{1, 1, 2}});
    CHECK(a.ledger ==
          drop_ledger{.capacity = 2, .second_choice = 2, .not_chosen = 2, .lost_tokens = 1});
    CHECK(assign(r).ledger == drop_ledger{.not_chosen = 2});
}

TEST_CASE("the ledger agrees with the pairs, on every random job", "[assign]") {
    for (std::uint32_t seed = 0; seed < 300; ++seed) {
        const auto job = random_cases::any_job(seed);
        INFO(job.text);
        for (std::size_t r = 0; r < job.decided.size(); ++r) {
            const assignment& a = job.assigned[r];
            drop_ledger want;
            for (std::size_t t = 0; t < a.token_count; ++t) {
                bool chose = false, kept = false;
                for (std::size_t slot = 0; slot < a.choice_count; ++slot) {
                    const std::size_t i = t * a.choice_count + slot;
                    const bool empty = job.decided[r].chosen[i] == no_expert;
                    const bool has = a.expert[i] != no_expert;
                    want.not_chosen += empty;
                    want.capacity += !empty && !has && slot == 0;
                    want.second_choice += !empty && !has && slot > 0;
                    chose = chose || !empty;
                    kept = kept || has;
                }
                want.lost_tokens += chose && !kept;
            }
            REQUIRE(a.ledger == want);
            REQUIRE(a.ledger.dropped() == a.dropped_count());
        }
    }
}

TEST_CASE("assign names the rank, and refuses capacities that do not fit", "[assign]") {
    const std::vector<std::int64_t> two{1, 2}, negative{1, -2, 3};
    CHECK_THROWS_WITH(assign(simple({0, 7}, 1, 3), {.rank = 5}),
                      Catch::Contains("expert of token 1 on rank 5"));
    CHECK_THROWS_WITH(assign(simple({0}, 1, 3), {.capacities = two}),
                      Catch::Contains("capacities: expected n = 3 counts, got 2"));
    CHECK_THROWS_WITH(assign(simple({0}, 1, 3), {.capacities = negative}),
                      Catch::Contains("capacities of expert 1: expected 0 or more, got -2"));
    CHECK_THROWS_WITH(assign(simple({0}, 1, 2), {.capacity = 1, .capacities = two}),
                      Catch::Contains("capacity: expected none where each expert has its own"));
}

TEST_CASE("without a limit pairs get the places that they get with one out of reach", "[assign]") {
    random_cases::generator g(4);
    for (const std::size_t n : {1u, 5u, 64u})
        for (const std::size_t tokens : {1u, 255u, 256u, 257u, 700u, 1024u})
            for (const std::size_t absent : {0u, 1u, 3u}) {
                std::vector<expert_id> chosen;
                for (std::size_t i = 0; i < tokens; ++i)
                    chosen.push_back(expert_id(g.up_to(n - 1)));
                for (std::size_t i = 0; i < absent; ++i) chosen[g.up_to(tokens - 1)] = no_expert;
                const routing decided = simple(chosen, 1, n);
                const assignment free = assign(decided);
                const assignment limited = assign(decided, {.capacity = 5000});
                CHECK(free.expert == limited.expert);
                CHECK(free.position == limited.position);
                CHECK(free.kept == limited.kept);
                CHECK(free.ledger == limited.ledger);
            }
}

TEST_CASE("without a limit no place of a block hides what is no expert", "[assign]") {
    const std::size_t n = 3;
    const expert_id wrong[] = {-2, 3, std::numeric_limits<expert_id>::max(),
                               std::numeric_limits<expert_id>::min()};
    for (std::size_t place = 0; place < 263; ++place)
        for (const expert_id e : wrong) {
            std::vector<expert_id> chosen(263, 2);
            chosen[place] = e;
            CHECK_THROWS_AS(assign(simple(chosen, 1, n)), argument_error);
        }
}

TEST_CASE("over several threads every pair gets the place that it gets from one", "[assign]") {
    const std::size_t tokens = 40001, k = 2, n = 7;
    random_cases::generator g(3);
    std::vector<expert_id> chosen;
    for (std::size_t i = 0; i < tokens * k; ++i) {
        const std::size_t e = g.up_to(n + 3);  // the last ones: none, or one that most choose
        chosen.push_back(e < n ? expert_id(e) : e == n ? no_expert : expert_id(2));
    }
    const routing decided = simple(chosen, k, n);
    const std::vector<std::int64_t> before{0, 5, 2000, 9000, 1, 2, 3};
    const std::vector<std::int64_t> own{0, 1, 2, 10, 500, 1700, 9000};
    const assign_options all[] = {{},
                                  {.capacity = 1500},
                                  {.capacity = 2500, .before = before},
                                  {.capacity = 0},
                                  {.before = before, .capacities = own}};
    for (const assign_options& options : all) {
        const assignment alone = assign(decided, options);
        for (const std::size_t width : {1u, 2u, 3u, 4u, 9u}) {
            thread_team team(width);
            assignment together;
            assign_into(decided, together, options, team);
            CHECK(together.expert == alone.expert);
            CHECK(together.position == alone.position);
            CHECK(together.kept == alone.kept);
            CHECK(together.dropped == alone.dropped);
            CHECK(together.ledger == alone.ledger);
        }
    }
    routing wrong = decided;
    wrong.chosen[70000] = expert_id(n);
    thread_team team(3);
    assignment together;
    CHECK_THROWS_AS(assign_into(wrong, together, {}, team), argument_error);
}
