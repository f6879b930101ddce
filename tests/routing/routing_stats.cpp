#include "locmoe/routing/routing_stats.hpp"

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "locmoe/assign/assignment.hpp"
#include "locmoe/exec/all_reduce.hpp"
#include "locmoe/exec/in_process.hpp"

#include "catch.hpp"
#include "random_cases.hpp"

namespace {

using locmoe::drop_ledger;
using locmoe::no_expert;
using locmoe::routing_stats;
using counts = std::vector<std::int64_t>;

// Node 0: ranks 0 and 2, experts 0 and 3. Node 1: rank 1, experts 1 and 2.
const auto nodes = locmoe::topology::from_node_of_rank({0, 1, 0});
const auto placement = locmoe::expert_placement::from_rank_of_expert({0, 1, 1, 2}, 3);

locmoe::routing simple(std::vector<locmoe::expert_id> chosen, std::size_t k) {
    const std::size_t pairs = chosen.size();
    return {pairs / k, k, 4, std::move(chosen), std::vector<float>(pairs, 1.0f), {}};
}

}  // namespace

TEST_CASE("routing statistics count load, balance and locality") {
    routing_stats s(4, 2);
    s.add(simple({0, 3, 1, no_expert, 0, 0}, 2), {0, nodes, placement});
    s.add(simple({1, 2, 3}, 1), {1, nodes, placement});
    CHECK(s.token_count() == 6);
    CHECK(s.pair_count() == 8);
    CHECK(counts(s.load().begin(), s.load().end()) == counts{3, 2, 1, 2});
    CHECK(s.load_max_over_mean() == Approx(1.5));
    double h = 0;
    for (const double f : {3.0 / 8, 2.0 / 8, 1.0 / 8, 2.0 / 8}) h -= f * std::log(f);
    CHECK(s.load_entropy() == Approx(h));
    CHECK(s.local_share(0) == Approx(4.0 / 5));
    CHECK(s.local_share(1) == Approx(2.0 / 3));
    CHECK(s.local_share() == Approx(6.0 / 8));
}

TEST_CASE("routing statistics of nothing are those of perfect balance, without a division by 0") {
    const routing_stats s(4, 2);
    CHECK(s.load_max_over_mean() == 1);
    CHECK(s.load_entropy() == 0);
    CHECK(s.token_entropy() == 0);
    CHECK(s.local_share() == 0);
    CHECK(s.local_share(1) == 0);
    CHECK(s.ledger() == drop_ledger{});
}

TEST_CASE("the ledgers of assignments add up") {
    routing_stats s(4, 2);
    const auto decided = simple({0, 1, 0, 1, 0, no_expert, 2, 1}, 2);
    s.add(locmoe::assign(decided, {.capacity = 1}).ledger);
    s.add(locmoe::assign(decided, {.capacity = 2}).ledger);
    s.add(drop_ledger{.padding = 5});
    const drop_ledger l = s.ledger();
    CHECK(l.capacity == 2 + 1);
    CHECK(l.second_choice == 2 + 1);
    CHECK(l.not_chosen == 2);
    CHECK(l.lost_tokens == 2 + 1);
    CHECK(l.padding == 5);
    CHECK(l.dropped() == 6);
}

TEST_CASE("a ledger goes through its flat form unchanged") {
    const drop_ledger l{1, 2, 3, 4, 5, 6};
    CHECK(drop_ledger::from_counts(l.counts()) == l);
    CHECK(l.counts() == std::array<std::int64_t, 6>{1, 2, 3, 4, 5, 6});
}

TEST_CASE("the tokens' entropy is the mean of theirs") {
    routing_stats s(4, 2);
    auto decided = simple({0, 1}, 1);
    decided.probabilities = {0.25f, 0.25f, 0.25f, 0.25f, 0, 1, 0, 0};
    s.add_entropy(decided);
    CHECK(s.token_entropy() == Approx(std::log(4.0) / 2));
    decided.probabilities.pop_back();
    CHECK_THROWS_AS(s.add_entropy(decided), locmoe::argument_error);
}

TEST_CASE("statistics merged over ranks are those of one that saw every rank") {
    const auto job = random_cases::job_on(5, 11);
    routing_stats whole(job.placement.expert_count(), job.nodes.node_count());
    for (std::size_t r = 0; r < 5; ++r) {
        whole.add(job.decided[r], {static_cast<locmoe::rank_id>(r), job.nodes, job.placement});
        whole.add(job.assigned[r].ledger);
        whole.sums()[0] += static_cast<double>(r + 1);
    }
    locmoe::run_in_process(5, [&](auto& backend) {
        const auto r = static_cast<std::size_t>(backend.rank());
        routing_stats own(job.placement.expert_count(), job.nodes.node_count());
        own.add(job.decided[r], {backend.rank(), job.nodes, job.placement});
        own.add(job.assigned[r].ledger);
        own.sums()[0] += static_cast<double>(r + 1);
        own.set_counts(backend.scan_counts(own.counts()).total);
        locmoe::all_reduce_sum(backend, own.sums());
        const bool same = counts(own.counts().begin(), own.counts().end()) ==
                              counts(whole.counts().begin(), whole.counts().end()) &&
                          own.sums()[0] == whole.sums()[0];
        if (!same) throw std::logic_error("merged statistics differ");
    });
    CHECK(whole.pair_count() > 0);
}

TEST_CASE("routing statistics print as text and as JSON") {
    routing_stats s(4, 2);
    s.add(simple({0, 3, 1, no_expert}, 2), {0, nodes, placement});
    s.add(drop_ledger{1, 2, 3, 4, 5, 6});
    CHECK(locmoe::describe(s) ==
          "routing of 2 tokens, 3 choices among 4 experts\n"
          "  load: largest over mean 1.333333, entropy 1.098612 of 1.386294 nats; 1 1 0 1\n"
          "  on their own node: 0.666667; by node 0.666667 0.000000\n"
          "  dropped: 3 (1 first choices, 2 later ones); not chosen 3, moved 4, tokens lost 5, "
          "padding rows 6\n");
    CHECK(locmoe::describe_json(s) ==
          R"({"tokens": 2, "choices": 3, "load": [1, 1, 0, 1], "load_max_over_mean": 1.333333, )"
          R"("load_entropy": 1.098612, "token_entropy": 0.000000, "local_share": 0.666667, )"
          R"("local_share_by_node": [0.666667, 0.000000], "drops": {"capacity": 1, )"
          R"("second_choice": 2, "not_chosen": 3, "moved": 4, "lost_tokens": 5, "padding": 6}})");
}

TEST_CASE("routing statistics refuse another job's routing") {
    routing_stats s(4, 2);
    auto decided = simple({0, 4}, 1);
    CHECK_THROWS_WITH(
        s.add(decided, {2, nodes, placement}),
        "locmoe: routing_stats: expert of token 1 on rank 2: expected 0 to n - 1 with "
        "n = 4, got 4");
    CHECK(s.token_count() == 0);
    CHECK(s.pair_count() == 0);
    decided.expert_count = 5;
    CHECK_THROWS_AS(s.add(decided, {0, nodes, placement}), locmoe::argument_error);
    CHECK_THROWS_AS(routing_stats(4, 3).add(simple({0}, 1), {0, nodes, placement}),
                    locmoe::argument_error);
    CHECK_THROWS_AS(s.set_counts(counts(3)), locmoe::argument_error);
}
