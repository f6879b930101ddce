#include "locmoe/assign/assignment.hpp"

#include <cstdint>
#include <vector>

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
    CHECK_THROWS_WITH(assign(simple({0, 5}, 1, 2)),
                      Catch::Contains("expert of token 1: expected 0 to 1"));
    routing r = simple({0, 1}, 1, 2);
    r.token_count = 3;
    CHECK_THROWS_AS(assign(r), argument_error);
}
