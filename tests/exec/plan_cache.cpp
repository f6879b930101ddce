#include "locmoe/exec/plan_cache.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "catch.hpp"
#include "locmoe/exec/in_process.hpp"
#include "locmoe/plan/validate.hpp"
#include "random_cases.hpp"

using namespace locmoe;

namespace {

constexpr std::size_t ranks = 4;
constexpr std::size_t experts = 8;
const topology nodes = topology::uniform(2, 2);
const expert_placement placement = expert_placement::blocked(experts, ranks);

/// Token t of a rank goes to expert (t + shift) mod 8; the first `moved` tokens go to expert 0.
assignment step(std::size_t tokens, std::size_t shift, std::size_t moved = 0) {
    routing decided;
    decided.token_count = tokens;
    decided.choice_count = 1;
    decided.expert_count = experts;
    decided.weights.assign(tokens, 1.0f);
    for (std::size_t t = 0; t < tokens; ++t)
        decided.chosen.push_back(
            t < moved ? 0 : static_cast<expert_id>((t + shift) % experts));
    return assign(decided);
}

/// Calls `use(cache, rank)` on every rank.
template <class Use>
void on_all_ranks(Use&& use, plan_cache_options options = {}) {
    run_in_process(ranks, [&](in_process_backend& backend) {
        executor exchange(backend, nodes, placement);
        plan_cache cache(exchange, plan_options{.row_bytes = 64, .costs = {}}, all_strategies(),
                         options);
        use(cache, static_cast<std::size_t>(backend.rank()));
    });
}

}  // namespace

TEST_CASE("a plan is used again where every rank has assigned the same", "[exec]") {
    std::vector<plan_cache_counts> counts(ranks);
    on_all_ranks([&](auto& cache, std::size_t rank) {
        for (const std::size_t shift : std::vector<std::size_t>{0, 1, 0, 1, 1}) {
            const assignment assigned = step(80, shift);
            const exchange_plan& plan = cache.plan(assigned);
            for (std::size_t i = 0; i < plan.pair_count(); ++i)
                if (plan.pair_experts[i] !=
                    assigned.expert[static_cast<std::size_t>(plan.pair_slots[i])])
                    throw plan_error("another assignment's plan");
        }
        counts[rank] = cache.counts();
    });
    for (const plan_cache_counts& c : counts) {
        CHECK(c.plans_reused == 3);
        CHECK(c.choices_reused == 1);  // another assignment with the same counts
        CHECK(c.choices_made == 1);
    }
}

TEST_CASE("one rank that assigns otherwise makes a new plan on all, and they fit", "[exec]") {
    std::vector<exchange_plan> plans(ranks);
    std::vector<plan_cache_counts> counts(ranks);
    on_all_ranks([&](auto& cache, std::size_t rank) {
        cache.plan(step(80, 0));
        plans[rank] = cache.plan(step(80, rank == 3 ? 5 : 0));
        counts[rank] = cache.counts();
    });
    CHECK_NOTHROW(validate(plans));
    for (const plan_cache_counts& c : counts) CHECK(c.plans_reused == 0);
}

TEST_CASE("a choice is made anew once the counts of one rank have drifted from those it was made for",
          "[exec]") {
    std::vector<plan_cache_counts> counts(ranks);
    on_all_ranks([&](auto& cache, std::size_t rank) {
        // Rank 2 moves 4 tokens more each step: at most 10 percent from the first, then beyond.
        for (std::size_t moved = 0; moved <= 16; moved += 4)
            cache.plan(step(80, 0, rank == 2 ? moved : 0));
        counts[rank] = cache.counts();
    });
    for (const plan_cache_counts& c : counts) {
        CHECK(c.choices_made == 2);
        CHECK(c.choices_reused == 3);
    }
}

TEST_CASE("the plan used longest ago makes place", "[exec]") {
    std::vector<plan_cache_counts> counts(ranks);
    on_all_ranks(
        [&](auto& cache, std::size_t rank) {
            for (const std::size_t shift : std::vector<std::size_t>{0, 1, 0, 2, 0, 1})
                cache.plan(step(80, shift));
            counts[rank] = cache.counts();
        },
        {.entries = 2});
    for (const plan_cache_counts& c : counts) CHECK(c.plans_reused == 2);
}

TEST_CASE("every plan is found again among more entries than one agreement has bits for", "[exec]") {
    constexpr std::size_t entries = 25;  // 3 bits for 4 ranks: 21 in 64 bits
    std::vector<plan_cache_counts> counts(ranks);
    on_all_ranks(
        [&](auto& cache, std::size_t rank) {
            for (int twice = 0; twice < 2; ++twice)
                for (std::size_t i = 0; i < entries; ++i)
                    if (cache.plan(step(8 + 8 * i, 0)).token_count != 8 + 8 * i)
                        throw plan_error("another assignment's plan");
            counts[rank] = cache.counts();
        },
        {.entries = entries, .drift = 0});
    for (const plan_cache_counts& c : counts) {
        CHECK(c.choices_made == entries);
        CHECK(c.plans_reused == entries);
    }
}

TEST_CASE("a plan_cache without entries or with an impossible drift is refused on all ranks",
          "[exec]") {
    CHECK_THROWS_AS(on_all_ranks([](auto&, std::size_t) {}, {.entries = 0}), error);
    CHECK_THROWS_AS(on_all_ranks([](auto&, std::size_t) {}, {.drift = 1.5}), error);
}
