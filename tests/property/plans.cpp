// The laws of every plan, over random jobs that shrink to the least one that breaks a law.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "property/small_jobs.hpp"

#include "locmoe/plan/replay.hpp"
#include "locmoe/plan/split.hpp"
#include "locmoe/plan/transpose.hpp"
#include "locmoe/plan/validate.hpp"
#include "plan_oracle.hpp"

using namespace locmoe;

namespace {

using counts = std::vector<std::vector<std::int64_t>>;

void keeps_laws(const std::vector<exchange_plan>& plans) {
    RC_LOG() << plans[0].strategy << '\n';
    validate(plans);
    const std::string law = plan_oracle::broken_law(plans);
    RC_LOG() << law << '\n';
    RC_ASSERT(law.empty());
}

/// The lists that say what a plan does are those of the job.
void is_of_job(const exchange_plan& plan, const small_job::job& j) {
    const auto rank = static_cast<std::size_t>(plan.rank);
    const assignment& a = j.drawn.assigned[rank];
    RC_ASSERT(plan.token_count == a.token_count);
    RC_ASSERT(plan.choice_count == a.choice_count);
    RC_ASSERT(plan.dropped_pairs == a.dropped_count());
    std::vector<expert_id> listed(a.expert.size(), no_expert);
    for (std::size_t i = 0; i < plan.pair_count(); ++i)
        listed.at(static_cast<std::size_t>(plan.pair_slots[i])) = plan.pair_experts[i];
    RC_ASSERT(listed == a.expert);
    std::vector<expert_id> experts;
    for (std::size_t e = 0; e < j.drawn.placement.expert_count(); ++e) {
        const auto holder = static_cast<std::size_t>(
            j.drawn.placement.rank_of(static_cast<expert_id>(e)));
        if (holder / j.group_size == rank / j.group_size)
            experts.push_back(static_cast<expert_id>(e));
    }
    RC_ASSERT(plan.experts == experts);
    for (const auto which : {&exchange_plan::dispatch, &exchange_plan::combine,
                             &exchange_plan::pair_dispatch, &exchange_plan::pair_combine})
        for (const phase& p : (plan.*which).phases)
            for (const auto* segments : {&p.sends, &p.receives})
                for (const segment& s : *segments)
                    RC_ASSERT(s.tier == j.drawn.nodes.tier(plan.rank, s.peer));
}

}  // namespace

TEST_CASE("properties of plans") {
    rc::prop("every pair travels to its expert and home, whatever the job and the strategy",
             [](const small_job::numbers& n) {
                 const auto j = small_job::make(n);
                 const auto plans = small_job::plans_of(j);
                 keeps_laws(plans);
                 for (const exchange_plan& plan : plans) is_of_job(plan, j);
             });

    rc::prop("nothing is lost or doubled between routing, assignment and plan",
             [](const small_job::numbers& n) {
                 const auto j = small_job::make(n);
                 const auto plans = small_job::plans_of(j);
                 std::int64_t rows = 0;
                 std::int64_t kept = 0;
                 for (std::size_t r = 0; r < plans.size(); ++r) {
                     const assignment& a = j.drawn.assigned[r];
                     const routing& decided = j.drawn.decided[r];
                     std::int64_t chosen = 0;
                     for (const expert_id e : decided.chosen) chosen += e != no_expert;
                     RC_ASSERT(a.kept_count() + a.dropped_count() == chosen);
                     kept += a.kept_count();
                     if (plans[r].rows_per_source == 0)
                         rows += static_cast<std::int64_t>(plans[r].expert_row_count());
                     for (std::size_t e = 0; n.capacity > 0 && e < a.kept.size(); ++e)
                         RC_ASSERT(a.kept[e] <= (n.capacity - 1) / 2);
                 }
                 if (plans[0].rows_per_source == 0) RC_ASSERT(rows == kept);
             });

    rc::prop("the transpose of the transpose is the flow", [](const small_job::numbers& n) {
        for (const exchange_plan& plan : small_job::plans_of(small_job::make(n))) {
            const flow twice = transpose(transpose(plan.pair_dispatch));
            RC_ASSERT(twice.phases.size() == plan.pair_dispatch.phases.size());
            for (std::size_t p = 0; p < twice.phases.size(); ++p) {
                const phase& was = plan.pair_dispatch.phases[p];
                RC_ASSERT(twice.phases[p].sends == was.sends);
                RC_ASSERT(twice.phases[p].receives == was.receives);
                RC_ASSERT(twice.phases[p].send_order == was.send_order);
            }
        }
    });

    rc::prop("a plan in chunks moves the same rows", [](const small_job::numbers& n) {
        auto j = small_job::make(n);
        const auto plans = small_job::plans_of(j);
        if (plans[0].rows_per_source > 0 || !plans[0].group.empty()) return;
        const std::size_t chunks = 1 + n.group_size % 4u;
        const auto pieces = split_all(plans, chunks);
        std::vector<std::size_t> pairs(plans.size(), 0);
        for (const auto& of_chunk : pieces) {
            keeps_laws(of_chunk);
            for (std::size_t r = 0; r < plans.size(); ++r) pairs[r] += of_chunk[r].pair_count();
        }
        for (std::size_t r = 0; r < plans.size(); ++r) RC_ASSERT(pairs[r] == plans[r].pair_count());
    });

    rc::prop("every strategy gives the experts the rows of direct", [](small_job::numbers n) {
        if (n.strategy % small_job::strategy_count == 9) n.strategy = 0;
        const auto j = small_job::make(n);
        const auto plans = small_job::plans_of(j);
        if (plans[0].rows_per_source > 0) return;
        n.strategy = 0;
        const auto flat = small_job::plans_of(small_job::make(n));
        for (std::size_t r = 0; r < plans.size(); ++r) {
            RC_ASSERT(plans[r].expert_first == flat[r].expert_first);
            RC_ASSERT(plans[r].pair_slots == flat[r].pair_slots);
            RC_ASSERT(plans[r].pair_experts == flat[r].pair_experts);
        }
    });

    rc::prop("permuting a rank's tokens permutes what comes back and nothing else",
             [](const small_job::numbers& n) {
                 if (n.capacity > 0) return;  // who is dropped hangs on the order
                 auto turned = n;
                 const std::size_t k = 1 + n.choices % 4u;
                 for (auto& chosen : turned.chosen) {
                     chosen.resize(chosen.size() / k * k);
                     for (std::size_t a = 0, b = chosen.size(); a + k < b; a += k)
                         for (std::size_t i = 0; i < k; ++i)
                             std::swap(chosen[a + i], chosen[(b -= i == 0 ? k : 0) + i]);
                 }
                 const auto there = small_job::plans_of(small_job::make(n));
                 const auto here = small_job::plans_of(small_job::make(turned));
                 // Rows are named by what their token is, so that both orders have the same names.
                 counts tokens;
                 for (const exchange_plan& plan : there) {
                     auto& own = tokens.emplace_back();
                     for (std::size_t t = 0; t < plan.token_count; ++t)
                         own.push_back(static_cast<std::int64_t>(1000 * plan.first_of_group()) +
                                       static_cast<std::int64_t>(t));
                 }
                 counts backwards = tokens;
                 for (auto& own : backwards) std::reverse(own.begin(), own.end());
                 const auto sorted_by_expert = [](const auto& plans, const counts& rows) {
                     counts all;
                     for (std::size_t r = 0; r < plans.size(); ++r)
                         for (std::size_t e = 0; e < plans[r].experts.size(); ++e) {
                             auto& own = all.emplace_back(
                                 rows[r].begin() + plans[r].expert_first[e],
                                 rows[r].begin() + plans[r].expert_first[e + 1]);
                             std::sort(own.begin(), own.end());
                         }
                     return all;
                 };
                 const auto first = replay(std::span(there), &exchange_plan::dispatch, tokens);
                 const auto second = replay(std::span(here), &exchange_plan::dispatch, backwards);
                 RC_ASSERT(sorted_by_expert(there, first) == sorted_by_expert(here, second));
                 auto home = replay(std::span(there), &exchange_plan::combine, first);
                 auto home_turned = replay(std::span(here), &exchange_plan::combine, second);
                 for (auto& own : home_turned) std::reverse(own.begin(), own.end());
                 RC_ASSERT(home == home_turned);
             });
}
