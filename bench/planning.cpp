// What a plan costs: everything that one rank does from its assignment to the finished plan, in ns
// a pair (token, expert), beside a stable sort of the same pairs by expert, which is what a plan
// begins with where it is written by hand. Medians, this thread's own time.
//
// The cluster: 1,024 ranks, 8 a node; each token chooses 8 of 256 experts, each of which stands on
// 4 ranks, so that every rank gets about as many pairs as it sends. (Where each stands on one rank
// only, that rank gets four times as many: see the last rows, in ns a pair sent or received.) Rank
// 0 is timed; what the others tell it was recorded before. Rank l of node n routes like rank l of
// node 0 with all experts n nodes further on, so the planners of node 0 alone, 8 of 1,024, know
// what every rank would say. There is next to nothing to share here, a token's experts standing
// on 7.7 nodes: direct is the strategy for this job, and the one that 5 ms are asked of; the plans
// of the others hold the rows that they relay as well.
//
// Memory is as in training, where step buffers of tens of megabytes come and go: kept by the
// allocator from one plan to the next. The rows with fresh memory show a plan whose memory the
// system hands over anew, page by page.

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <numeric>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <time.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "locmoe/plan/direct.hpp"
#include "locmoe/plan/node_aggregated.hpp"
#include "locmoe/plan/node_balanced.hpp"
#include "locmoe/plan/store_and_forward.hpp"
#include "locmoe/plan/strategy.hpp"
#include "locmoe/plan/validate.hpp"

#include "rows.hpp"

using namespace locmoe;

namespace {

constexpr std::size_t nodes = 128, ranks_per_node = 8, ranks = nodes * ranks_per_node;
constexpr std::size_t choices = 8, logical_experts = 256, runs = 11;
constexpr double limit_ns = 5e6 / (32768 * choices);  // 5 ms for the job of 32,768 tokens

struct job {
    topology where = topology::uniform(nodes, ranks_per_node);
    expert_placement placement;
    std::vector<assignment> node_0;  // of the ranks of node 0

    /// `replicas` of each expert, and each token's choice of one at random.
    job(std::size_t tokens, std::size_t replicas)
        : placement(expert_placement::blocked(logical_experts * replicas, ranks)) {
        for (std::size_t r = 0; r < ranks_per_node; ++r) {
            std::mt19937 random(static_cast<std::uint32_t>(r + 1));
            routing decided{tokens, choices, placement.expert_count()};
            std::vector<std::size_t> all(logical_experts);
            std::iota(all.begin(), all.end(), std::size_t{0});
            for (std::size_t t = 0; t < tokens; ++t)
                for (std::size_t slot = 0; slot < choices; ++slot) {
                    std::swap(all[slot], all[slot + random() % (logical_experts - slot)]);
                    decided.chosen.push_back(static_cast<expert_id>(
                        all[slot] + logical_experts * (random() % replicas)));
                }
            decided.weights.assign(tokens * choices, 1.0f / choices);
            node_0.push_back(assign(decided));
        }
    }
    plan_request request(std::size_t rank) const {
        return {static_cast<rank_id>(rank), where, placement, node_0[rank]};
    }
};

/// What a rank `further` nodes on would say where a rank of node 0 says `words` of rows.
void move_on(std::vector<std::int64_t>& words, std::size_t further, std::size_t expert_count) {
    constexpr auto p = static_cast<std::int64_t>(ranks);
    const auto n = static_cast<std::int64_t>(expert_count);
    const auto steps = static_cast<std::int64_t>(further);
    for (std::int64_t& w : words) {
        if (w < 0) {  // a run: -1 - (source P + way)
            const std::int64_t source = (-1 - w) / p + steps * p / static_cast<std::int64_t>(nodes);
            w = -1 - (source % p * p + (-1 - w) % p);
        } else {  // 2 expert + 1 where a row starts
            const std::int64_t expert = (w >> 1) + steps * n / static_cast<std::int64_t>(nodes);
            w = expert % n * 2 + (w & 1);
        }
    }
}

/// What all other ranks tell rank 0 of the job, round by round.
template <exchange_strategy Strategy>
std::vector<std::vector<message>> told(const job& j, const Strategy& strategy) {
    std::vector<decltype(strategy.planner(j.request(0)))> planners;
    planners.reserve(ranks_per_node);
    for (std::size_t r = 0; r < ranks_per_node; ++r)
        planners.push_back(strategy.planner(j.request(r)));
    std::vector<std::vector<message>> to_rank_0;
    for (std::size_t round = 0; round < planners[0].rounds; ++round) {
        std::vector<std::vector<message>> inbox(ranks_per_node);
        for (std::size_t r = 0; r < ranks_per_node; ++r)
            for (message& m : planners[r].outgoing(round)) {
                const auto to = static_cast<std::size_t>(m.peer);
                const std::size_t node = (nodes - to / ranks_per_node) % nodes;
                if (node != 0 && !std::same_as<Strategy, direct>)
                    move_on(m.words, node, j.placement.expert_count());
                inbox[to % ranks_per_node].push_back(
                    {static_cast<rank_id>(node * ranks_per_node + r), std::move(m.words)});
            }
        for (auto& messages : inbox)
            std::sort(messages.begin(), messages.end(),
                      [](const message& a, const message& b) { return a.peer < b.peer; });
        for (std::size_t r = 0; r < ranks_per_node; ++r) planners[r].incoming(round, inbox[r]);
        to_rank_0.push_back(std::move(inbox[0]));
    }
    return to_rank_0;
}

struct contestant {
    std::string name;
    std::size_t received;
    std::function<void()> run;
    std::vector<double> ns = {};
};

struct result {
    std::string name;
    double ns;  // a pair of rank 0's tokens
    std::size_t received;

    double ns_sent_or_received(std::size_t tokens) const {
        const auto sent = static_cast<double>(tokens * choices);
        return ns * sent / (sent + static_cast<double>(received));
    }
};

template <exchange_strategy Strategy>
contestant planning(const job& j, const Strategy& strategy, exchange_plan& plan) {
    const auto run = [&j, strategy, messages = told(j, strategy), &plan] {
        auto planner = strategy.planner(j.request(0));
        for (std::size_t round = 0; round < messages.size(); ++round) {
            planner.outgoing(round);
            planner.incoming(round, messages[round]);
        }
        plan = planner.finish();
    };
    run();
    validate(plan);
    return {std::string(strategy.name()), plan.expert_row_count(), run};
}

/// The pairs' numbers, sorted by expert.
contestant sorting(const assignment& a, std::vector<std::int64_t>& order) {
    return {"a stable sort by expert", 0, [&a, &order] {
                order.resize(a.expert.size());
                std::iota(order.begin(), order.end(), std::int64_t{0});
                std::stable_sort(order.begin(), order.end(), [&](std::int64_t x, std::int64_t y) {
                    return a.expert[static_cast<std::size_t>(x)] <
                           a.expert[static_cast<std::size_t>(y)];
                });
            }};
}

double cpu_ns() {
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

/// Median ns a pair of each strategy and, last, of the sort.
std::vector<result> measure(std::size_t tokens, std::size_t replicas, bool fresh_memory = false) {
    const job j(tokens, replicas);
    exchange_plan plan;  // each new plan takes the place of the last one, as in training
    std::vector<std::int64_t> order;
    std::vector<contestant> all{planning(j, direct{}, plan), planning(j, node_aggregated{}, plan),
                                planning(j, node_balanced{}, plan),
                                planning(j, store_and_forward{}, plan),
                                sorting(j.node_0[0], order)};
    for (std::size_t i = 0; i < runs; ++i)
        for (contestant& c : all) {
#ifdef __GLIBC__
            if (fresh_memory) {
                plan = {};
                order = {};
                malloc_trim(0);
            }
#endif
            const double start = cpu_ns();
            c.run();
            c.ns.push_back((cpu_ns() - start) / static_cast<double>(tokens * choices));
        }
    std::vector<result> medians;
    for (contestant& c : all) {
        std::sort(c.ns.begin(), c.ns.end());
        medians.push_back({c.name, c.ns[runs / 2], c.received});
    }
    return medians;
}

}  // namespace

int main(int argc, char** argv) {
    bench::report report("planning", argc, argv);
#ifdef __GLIBC__
    // What glibc comes to by itself where blocks of up to 32 MiB are freed.
    mallopt(M_MMAP_THRESHOLD, 32 << 20);
    mallopt(M_TRIM_THRESHOLD, 64 << 20);
#endif
    constexpr std::size_t replicas = ranks / logical_experts, job_tokens = 32768;
    std::vector<result> shortest, kept;
    for (const std::size_t tokens : {job_tokens / 4, job_tokens, job_tokens * 2}) {
        const auto times = measure(tokens, replicas);
        const result& sort = times.back();
        for (std::size_t i = 0; i + 1 < times.size(); ++i) {
            const auto& [name, ns, received] = times[i];
            const std::string text = name + ", " + std::to_string(tokens) + " tokens";
            report.add({text, ns, "ns/pair", sort.name, sort.ns, sort.ns / ns});
            if (tokens == job_tokens)
                report.add({text + ": 5 ms in all", ns, "ns/pair", "5 ms", limit_ns, limit_ns / ns,
                            i == 0 ? std::optional<double>(1) : std::nullopt});
            if (tokens > job_tokens)
                report.add({text + ": linear", ns, "ns/pair", "the same at 8192 tokens",
                            shortest[i].ns, shortest[i].ns / ns, 0.5});
        }
        if (shortest.empty()) shortest = times;
        if (tokens == job_tokens) kept = times;
    }
    const auto fresh = measure(job_tokens, replicas, true);
    for (std::size_t i = 0; i + 1 < kept.size(); ++i)
        report.add({fresh[i].name + ", 32768 tokens, fresh memory", fresh[i].ns, "ns/pair",
                    "the same with memory kept", kept[i].ns, kept[i].ns / fresh[i].ns});
    const auto popular = measure(job_tokens, 1);
    for (std::size_t i = 0; i + 1 < popular.size(); ++i) {
        // A pair sent or received, unlike above.
        const double ns = popular[i].ns_sent_or_received(job_tokens);
        const double rival = kept[i].ns_sent_or_received(job_tokens);
        report.add({popular[i].name + ", 32768 tokens, " + std::to_string(popular[i].received) +
                        " pairs in",
                    ns, "ns/pair", "as many pairs in as out", rival, rival / ns});
    }
    return report.finish();
}
