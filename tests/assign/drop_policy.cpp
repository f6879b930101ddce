#include "locmoe/assign/drop_policy.hpp"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "locmoe/plan/node_aggregated.hpp"
#include "locmoe/plan/plan_all.hpp"
#include "locmoe/plan/validate.hpp"

#include "catch.hpp"
#include "random_cases.hpp"

using namespace locmoe;

namespace {

using counts = std::vector<std::int64_t>;

// Random choices, with weights and probabilities among which few are equal.
routing scored(random_cases::generator& g, std::size_t experts, std::size_t tokens,
               std::size_t choices) {
    routing r = random_cases::any_routing(g, experts, tokens, choices);
    for (float& w : r.weights) w = static_cast<float>(g.up_to(1u << 24)) / 16777216.0f;
    for (std::size_t i = 0; i < tokens * experts; ++i)
        r.probabilities.push_back(static_cast<float>(g.up_to(1u << 24)) / 16777216.0f);
    return r;
}

// Every policy, with what it is called.
template <class Visit>
void each_policy(const Visit& visit) {
    visit("position", drop_by_position{});
    visit("weight", drop_by_weight{});
    visit("probability", drop_by_probability{});
    visit("random", drop_at_random{.seed = 7});
    visit("choices in turn", choices_in_turn{});
    visit("batch priority", batch_priority{});
}

// Which pairs stay if each expert sorts all its pairs by `first(a, b)`, equal ones by number.
template <class First>
std::vector<expert_id> sorted_choice(const routing& r, std::int64_t capacity, const First& first) {
    std::vector<expert_id> kept(r.chosen.size(), no_expert);
    for (std::size_t e = 0; e < r.expert_count; ++e) {
        std::vector<std::size_t> pairs;
        for (std::size_t i = 0; i < r.chosen.size(); ++i)
            if (r.chosen[i] == static_cast<expert_id>(e)) pairs.push_back(i);
        std::stable_sort(pairs.begin(), pairs.end(), first);
        for (std::size_t j = 0; j < pairs.size() && static_cast<std::int64_t>(j) < capacity; ++j)
            kept[pairs[j]] = static_cast<expert_id>(e);
    }
    return kept;
}

struct no_priority {
    void check(const routing&, rank_id) const {}
};
struct no_check {
    int priority(const routing&, std::size_t, std::size_t) const { return 0; }
};
struct no_order {
    struct anything {};
    void check(const routing&, rank_id) const {}
    anything priority(const routing&, std::size_t, std::size_t) const { return {}; }
};
struct latest_first {  // the least that a user has to write
    void check(const routing&, rank_id) const {}
    std::size_t priority(const routing&, std::size_t token, std::size_t) const { return token; }
};

}  // namespace

TEST_CASE("a drop policy has a check and a priority that orders", "[assign]") {
    each_policy([](const char*, auto policy) { STATIC_REQUIRE(drop_policy<decltype(policy)>); });
    STATIC_REQUIRE(drop_policy<drop_none>);
    STATIC_REQUIRE(drop_policy<latest_first>);
    STATIC_REQUIRE(drop_policy<drop_by_weight, double>);
    STATIC_REQUIRE(!drop_policy<no_priority>);
    STATIC_REQUIRE(!drop_policy<no_check>);
    STATIC_REQUIRE(!drop_policy<no_order>);
    STATIC_REQUIRE(!drop_policy<int>);
    const routing r{4, 1, 1, {0, 0, 0, 0}, std::vector<float>(4, 1.0f), {}};
    CHECK(assign(r, latest_first{}, {.capacity = 1}).position == counts{-1, -1, -1, 0});
}

TEST_CASE("every policy keeps what fits, drops the rest and numbers rows in token order",
          "[assign]") {
    for (std::uint32_t seed = 0; seed < 200; ++seed) {
        random_cases::generator g(seed);
        const std::size_t experts = 1 + g.up_to(6);
        const routing r = scored(g, experts, g.up_to(20), 1 + g.up_to(3));
        const auto capacity = static_cast<std::int64_t>(g.up_to(7));
        const auto load = count_choices(r);
        each_policy([&](const char* name, auto policy) {
            INFO("seed " << seed << ", " << name);
            const assignment a = assign(r, policy, {.capacity = capacity});
            counts next(experts, 0);
            for (std::size_t e = 0; e < experts; ++e) {
                REQUIRE(a.kept[e] == std::min(load[e], capacity));
                REQUIRE(a.kept[e] + a.dropped[e] == load[e]);
            }
            for (std::size_t i = 0; i < a.expert.size(); ++i) {
                if (a.expert[i] == no_expert) {
                    REQUIRE(a.position[i] == -1);
                    continue;
                }
                REQUIRE(a.expert[i] == r.chosen[i]);
                REQUIRE(a.position[i] == next[static_cast<std::size_t>(a.expert[i])]++);
            }
            REQUIRE(next == a.kept);
            REQUIRE(a.ledger.dropped() == a.dropped_count());
        });
    }
}

TEST_CASE("each policy keeps what sorting all pairs of an expert by its rule would keep",
          "[assign]") {
    for (std::uint32_t seed = 0; seed < 200; ++seed) {
        random_cases::generator g(seed + 1000);
        const std::size_t k = 1 + g.up_to(3);
        routing r = scored(g, 1 + g.up_to(6), g.up_to(20), k);
        if (g.chance(0.3))  // ties
            for (float& w : r.weights) w = static_cast<float>(g.up_to(2));
        if (g.chance(0.3))
            for (float& p : r.probabilities) p = static_cast<float>(g.up_to(2));
        const auto capacity = static_cast<std::int64_t>(g.up_to(7));
        const auto probability = [&](std::size_t i) {
            return r.probabilities[i / k * r.expert_count + static_cast<std::size_t>(r.chosen[i])];
        };
        const auto best = [&](std::size_t token) {
            float most = -1;
            for (std::size_t i = token * k; i < (token + 1) * k; ++i)
                if (r.chosen[i] != no_expert) most = std::max(most, probability(i));
            return most;
        };
        const assign_options options{.capacity = capacity};
        INFO("seed " << seed);
        REQUIRE(assign(r, options).expert ==
                sorted_choice(r, capacity, [](std::size_t, std::size_t) { return false; }));
        REQUIRE(assign(r, drop_by_position{}, options).position == assign(r, options).position);
        REQUIRE(assign(r, drop_by_weight{}, options).expert ==
                sorted_choice(r, capacity, [&](std::size_t a, std::size_t b) {
                    return r.weights[a] > r.weights[b];
                }));
        REQUIRE(assign(r, drop_by_probability{}, options).expert ==
                sorted_choice(r, capacity, [&](std::size_t a, std::size_t b) {
                    return probability(a) > probability(b);
                }));
        REQUIRE(assign(r, choices_in_turn{}, options).expert ==
                sorted_choice(r, capacity,
                              [&](std::size_t a, std::size_t b) { return a % k < b % k; }));
        REQUIRE(assign(r, batch_priority{}, options).expert ==
                sorted_choice(r, capacity, [&](std::size_t a, std::size_t b) {
                    return a % k != b % k ? a % k < b % k : best(a / k) > best(b / k);
                }));
    }
}

TEST_CASE("equal scores go to the lowest tokens, where peers keep others", "[assign]") {
    // DeepSpeed and Megatron kept tokens 2,049 to 3,072 of these.
    routing r{4096,
              1,
              1,
              std::vector<expert_id>(4096, 0),
              std::vector<float>(4096, 0.5f),
              std::vector<float>(4096, 0.5f)};
    for (const auto& a : {assign(r, drop_by_weight{}, {.capacity = 1024}),
                          assign(r, drop_by_probability{}, {.capacity = 1024}),
                          assign(r, batch_priority{}, {.capacity = 1024})}) {
        CHECK(a.position[1023] == 1023);
        CHECK(std::all_of(a.position.begin() + 1024, a.position.end(),
                          [](std::int64_t p) { return p == -1; }));
    }
}

TEST_CASE("permuting tokens permutes what the score policies keep", "[assign]") {
    for (std::uint32_t seed = 0; seed < 100; ++seed) {
        random_cases::generator g(seed + 2000);
        const std::size_t k = 1 + g.up_to(2), n = 1 + g.up_to(5), tokens = 1 + g.up_to(15);
        routing r = scored(g, n, tokens, k);
        std::vector<std::size_t> order(tokens);
        std::iota(order.begin(), order.end(), std::size_t{0});
        for (std::size_t t = tokens; t > 1; --t) std::swap(order[t - 1], order[g.up_to(t - 1)]);
        routing permuted = r;
        for (std::size_t t = 0; t < tokens; ++t) {
            for (std::size_t s = 0; s < k; ++s) {
                permuted.chosen[t * k + s] = r.chosen[order[t] * k + s];
                permuted.weights[t * k + s] = r.weights[order[t] * k + s];
            }
            for (std::size_t e = 0; e < n; ++e)
                permuted.probabilities[t * n + e] = r.probabilities[order[t] * n + e];
        }
        const auto same = [&](auto policy) {
            const auto a = assign(r, policy, {.capacity = 3}).expert;
            const auto b = assign(permuted, policy, {.capacity = 3}).expert;
            for (std::size_t i = 0; i < b.size(); ++i)
                if (b[i] != a[order[i / k] * k + i % k]) return false;
            return true;
        };
        INFO("seed " << seed);
        REQUIRE(same(drop_by_weight{}));
        REQUIRE(same(drop_by_probability{}));
        REQUIRE(same(batch_priority{}));
        if (k == 1 && tokens > 8 && n == 1) REQUIRE(!same(drop_by_position{}));
    }
}

TEST_CASE("random drops are even, differ by seed and step, and follow the token over ranks",
          "[assign]") {
    const auto all_to_one = [](std::size_t tokens) {
        return routing{
            tokens, 1, 1, std::vector<expert_id>(tokens, 0), std::vector<float>(tokens, 1.0f), {}};
    };
    std::vector<int> kept(8, 0);
    for (std::uint64_t step = 0; step < 4000; ++step) {
        const auto a =
            assign(all_to_one(8), drop_at_random{.seed = 3, .step = step}, {.capacity = 2});
        for (std::size_t t = 0; t < 8; ++t) kept[t] += a.expert[t] != no_expert;
    }
    for (const int count : kept) CHECK(count == Approx(1000).margin(120));
    const auto with = [&](drop_at_random policy) {
        return assign(all_to_one(200), policy, {.capacity = 100}).expert;
    };
    CHECK(with({.seed = 1}) == with({.seed = 1}));
    CHECK(with({.seed = 1}) != with({.seed = 2}));
    CHECK(with({.seed = 1, .step = 1}) != with({.seed = 1, .step = 2}));
    const routing r = all_to_one(4);
    CHECK(drop_at_random{.seed = 1, .first_token = 0}.priority(r, 3, 0) ==
          drop_at_random{.seed = 1, .first_token = 3}.priority(r, 0, 0));
    CHECK(drop_at_random{.seed = 1}.priority(r, 0, 0) !=
          drop_at_random{.seed = 1}.priority(r, 0, 1));  // a token's choices draw apart
}

TEST_CASE("dropless stays dropless under every policy: the capacity is the largest load",
          "[assign]") {
    // Tutel, dropless with batch priority, made a capacity of 102 where the largest load was 146.
    random_cases::generator g(1);
    routing r = scored(g, 8, 300, 2);
    for (std::size_t i = 0; i < 146; ++i) r.chosen[2 * i] = 3;
    const auto load = count_choices(r);
    CHECK(*std::max_element(load.begin(), load.end()) >= 146);
    each_policy([&](const char* name, auto policy) {
        INFO(name);
        const assignment a = assign(r, policy);
        CHECK(a.kept == load);
        CHECK(a.ledger.dropped() == 0);
        CHECK(*std::max_element(a.position.begin(), a.position.end()) + 1 ==
              *std::max_element(load.begin(), load.end()));
    });
    CHECK(assign(r, drop_none{}, {.capacity = 1}).kept == load);
    CHECK(assign(r, {}).kept == load);  // no policy: options
}

TEST_CASE("all first choices come before any second one, counted from the right mask", "[assign]") {
    // Expert 0 is chosen first by tokens 1 and 2, second by 0 and 3; expert 1 the other way round.
    // Hetu counts second choices from behind the second choices instead.
    const routing r{4, 2, 2, {1, 0, 0, 1, 0, 1, 1, 0}, std::vector<float>(8, 1.0f), {}};
    const auto three = assign(r, choices_in_turn{}, {.capacity = 3});
    CHECK(three.expert == std::vector<expert_id>{1, 0, 0, 1, 0, no_expert, 1, no_expert});
    CHECK(three.ledger == drop_ledger{.second_choice = 2});
    const auto two = assign(r, choices_in_turn{}, {.capacity = 2});
    CHECK(two.expert ==
          std::vector<expert_id>{1, no_expert, 0, no_expert, 0, no_expert, 1, no_expert});
    CHECK(assign(r, drop_by_position{}, {.capacity = 2}).ledger.lost_tokens == 2);
    CHECK(two.ledger.lost_tokens == 0);
}

TEST_CASE("batch priority falls back to weights where there are no probabilities", "[assign]") {
    const routing r{3, 1, 1, {0, 0, 0}, {0.2f, 0.9f, 0.5f}, {}};
    CHECK(assign(r, batch_priority{}, {.capacity = 2}).position == counts{-1, 0, 1});
}

TEST_CASE("over ranks, quotas fill an expert to its capacity in proportion, never beyond",
          "[assign]") {
    for (std::uint32_t seed = 0; seed < 200; ++seed) {
        random_cases::generator g(seed + 3000);
        const std::size_t experts = 1 + g.up_to(5), ranks = 1 + g.up_to(6), k = 1 + g.up_to(2);
        const auto capacity = static_cast<std::int64_t>(g.up_to(20));
        std::vector<routing> decided;
        counts total(experts, 0);
        for (std::size_t r = 0; r < ranks; ++r) {
            decided.push_back(scored(g, experts, g.chance(0.2) ? 0 : g.up_to(12), k));
            const auto load = count_choices(decided[r]);
            for (std::size_t e = 0; e < experts; ++e) total[e] += load[e];
        }
        each_policy([&](const char* name, auto policy) {
            INFO("seed " << seed << ", " << name);
            counts before(experts, 0), kept(experts, 0);
            std::vector<std::vector<char>> taken(
                experts, std::vector<char>(static_cast<std::size_t>(capacity)));
            for (std::size_t r = 0; r < ranks; ++r) {
                const auto load = count_choices(decided[r]);
                const assignment a = assign(
                    decided[r], policy, {.capacity = capacity, .before = before, .total = total});
                for (std::size_t i = 0; i < a.expert.size(); ++i) {
                    if (a.expert[i] == no_expert) continue;
                    // .at(): a position never reaches the capacity
                    char& slot = taken[static_cast<std::size_t>(a.expert[i])].at(
                        static_cast<std::size_t>(a.position[i]));
                    REQUIRE(slot == 0);
                    slot = 1;
                }
                for (std::size_t e = 0; e < experts; ++e) {
                    kept[e] += a.kept[e];
                    const double fair = total[e] <= capacity
                                            ? static_cast<double>(load[e])
                                            : static_cast<double>(capacity * load[e]) /
                                                  static_cast<double>(total[e]);
                    if (std::string(name) != "position")
                        REQUIRE(std::abs(static_cast<double>(a.kept[e]) - fair) < 1);
                    before[e] += load[e];
                }
            }
            for (std::size_t e = 0; e < experts; ++e)
                REQUIRE(kept[e] == std::min(total[e], capacity));
        });
    }
}

TEST_CASE("inside its quota a rank keeps its own best, on one rank the best of all", "[assign]") {
    const routing r{4, 1, 1, {0, 0, 0, 0}, {0.1f, 0.4f, 0.3f, 0.2f}, {}};
    const counts none{0}, four{4}, eight{8};
    CHECK(assign(r, drop_by_weight{}, {.capacity = 2, .before = none, .total = four}).position ==
          counts{-1, 0, 1, -1});
    CHECK(assign(r, drop_by_weight{}, {.capacity = 2, .before = four, .total = eight}).position ==
          counts{-1, 1, -1, -1});
}

TEST_CASE("what any policy assigned makes valid plans", "[assign]") {
    for (std::uint32_t seed = 0; seed < 20; ++seed) {
        const auto job = random_cases::any_job(seed, 6);
        each_policy([&](const char* name, auto policy) {
            if (std::string(name) == "probability") return;  // the jobs have none
            INFO(job.text << ", " << name);
            std::vector<assignment> assigned;
            for (const routing& r : job.decided)
                assigned.push_back(assign(r, policy, {.capacity = 2}));
            const auto plans = plan_all(node_aggregated{}, job.nodes, job.placement, assigned);
            REQUIRE_NOTHROW(validate(plans));
        });
    }
}

TEST_CASE("a policy refuses scores that are NaN or missing, naming token and rank", "[assign]") {
    const float nan = std::numeric_limits<float>::quiet_NaN();
    routing r{
        3, 2, 2, {0, 1, 0, 1, 1, 0}, std::vector<float>(6, 0.5f), std::vector<float>(6, 0.5f)};
    r.weights[3] = nan;
    CHECK_THROWS_WITH(assign(r, drop_by_weight{}, {.rank = 4}),
                      "locmoe: assign: weights of token 1 on rank 4: expected numbers, got nan");
    CHECK_NOTHROW(assign(r, drop_by_probability{}));
    CHECK_NOTHROW(assign(r, batch_priority{}));
    r.probabilities[5] = nan;
    CHECK_THROWS_WITH(
        assign(r, drop_by_probability{}, {.rank = 0}),
        "locmoe: assign: probabilities of token 2 on rank 0: expected numbers, got nan");
    CHECK_THROWS_AS(assign(r, batch_priority{}), argument_error);
    r.probabilities.clear();
    CHECK_THROWS_AS(assign(r, drop_by_probability{}), argument_error);
    CHECK_THROWS_WITH(assign(r, batch_priority{}), Catch::Contains("weights of token 1"));
    r.weights.pop_back();
    CHECK_THROWS_AS(assign(r, drop_by_weight{}), argument_error);
}

TEST_CASE("quotas ask for a total that fits", "[assign]") {
    const routing r{2, 1, 1, {0, 0}, {1.0f, 1.0f}, {}};
    const counts before{3}, small{4}, five{5}, huge{std::int64_t{1} << 33};
    CHECK_THROWS_WITH(assign(r, drop_by_weight{}, {.capacity = 1, .before = before, .rank = 2}),
                      Catch::Contains("total on rank 2: expected n = 1 counts beside before"));
    CHECK_THROWS_WITH(
        assign(r, drop_by_weight{}, {.capacity = 1, .before = before, .total = small}),
        Catch::Contains("total of expert 0: expected at least 3 before and 2 here, got 4"));
    CHECK_NOTHROW(assign(r, drop_by_weight{}, {.capacity = 1, .before = before, .total = five}));
    CHECK_THROWS_WITH(assign(r, drop_by_weight{}, {.capacity = 1, .before = before, .total = huge}),
                      Catch::Contains("fewer than 2^32 pairs"));
}
