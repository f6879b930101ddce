#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "locmoe/core/detail/merge_sort.hpp"
#include "locmoe/core/error.hpp"
#include "locmoe/plan/detail/check_flow.hpp"
#include "locmoe/plan/detail/exact_combine.hpp"
#include "locmoe/plan/exchange_plan.hpp"
#include "locmoe/plan/replay.hpp"

namespace locmoe::inline v0 {

namespace detail {

/// A plan that says so brings each pair home by itself: combine goes the way of pair_combine, which
/// adds up nothing, and makes a token of its pairs in their order. In what order its messages are
/// posted is free. Holds for plans whose flows have been checked.
inline void check_exact_combine(const exchange_plan& plan) {
    if (!plan.exact_combine) return;
    const flow& one = plan.pair_combine;
    const flow& all = plan.combine;
    bool same = one.deliver.is_gather() && one.phases.size() == all.phases.size();
    for (std::size_t p = 0; same && p < one.phases.size(); ++p)
        same = one.phases[p].pack.is_gather() && one.phases[p].pack == all.phases[p].pack &&
               one.phases[p].sends == all.phases[p].sends &&
               one.phases[p].receives == all.phases[p].receives &&
               one.phases[p].needs == all.phases[p].needs;
    if (same) {
        const row_sums wanted = exact_combine(plan).deliver;
        for (std::size_t t = 0; same && t < plan.token_count; ++t) {
            const auto sum = all.deliver.sources(t);
            const auto pairs = wanted.sources(t);
            same = sum.size() == pairs.size();
            for (std::size_t i = 0; same && i < sum.size(); ++i) same = sum[i] == pairs[i];
        }
    }
    if (!same)
        refuse(plan, "combine", "does not bring each pair home by itself, as the plan says");
}

/// The two ends of every message name the same link.
inline void check_tiers(std::span<const exchange_plan> plans, flow exchange_plan::* which) {
    for (const exchange_plan& plan : plans)
        for (std::size_t p = 0; p < (plan.*which).phases.size(); ++p)
            for (const segment& in : (plan.*which).phases[p].receives)
                for (const segment& out : (plans.begin()[in.peer].*which).phases[p].sends)
                    if (out.peer == plan.rank && out.tier != in.tier)
                        refuse(plan, "all ranks",
                               concat("rows come from rank ", in.peer, " over a link that is ",
                                      tier_name(in.tier), " here and ", tier_name(out.tier),
                                      " there"));
}

/// Numbers that tell (rank, row) apart, for following rows through a flow: SplitMix64 (Steele, Lea,
/// Flood 2014) never gives one twice.
inline std::vector<std::vector<std::uint64_t>> tags(std::span<const exchange_plan> plans,
                                                    flow exchange_plan::* which,
                                                    std::uint64_t seed) {
    std::vector<std::vector<std::uint64_t>> all;
    for (const exchange_plan& plan : plans) {
        auto& own = all.emplace_back();
        for (row_index i = 0; i < (plan.*which).source_rows; ++i) {
            seed += 0x9e3779b97f4a7c15u;
            std::uint64_t z = seed;
            z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
            z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
            own.push_back(z ^ (z >> 31));
        }
    }
    return all;
}

inline std::uint64_t inner_product(const std::vector<std::vector<std::uint64_t>>& a,
                                   const std::vector<std::vector<std::uint64_t>>& b) {
    std::uint64_t sum = 0;
    for (std::size_t r = 0; r < a.size(); ++r)
        for (std::size_t i = 0; i < a[r].size(); ++i) sum += a[r][i] * b[r][i];
    return sum;
}

/// The ranks of a group hold the same tokens, pairs and experts.
inline void check_group(const exchange_plan& plan, std::span<const exchange_plan> plans) {
    for (const rank_id r : plan.group) {
        const exchange_plan& other = plans[static_cast<std::size_t>(r)];
        if (other.group != plan.group || other.token_count != plan.token_count ||
            other.choice_count != plan.choice_count || other.pair_slots != plan.pair_slots ||
            other.pair_experts != plan.pair_experts || other.experts != plan.experts ||
            other.expert_first != plan.expert_first)
            refuse(plan, "head", concat("rank ", r, " of its group has another group, other "
                                                    "pairs or other experts"));
    }
}

/// One number a row, made alike on all ranks of a group by its first one's.
inline void spread(std::span<const exchange_plan> plans,
                   std::vector<std::vector<std::uint64_t>>& numbers) {
    for (std::size_t r = 0; r < plans.size(); ++r)
        numbers[r] = numbers[static_cast<std::size_t>(plans[r].first_of_group())];
}

/// <a, b> for results `a` and inputs `b` that must both be alike over each group, counted once a
/// group. Throws plan_error where the results are not.
inline std::uint64_t inner_product_of_groups(std::span<const exchange_plan> plans,
                                             std::vector<std::vector<std::uint64_t>> a,
                                             const std::vector<std::vector<std::uint64_t>>& b) {
    for (std::size_t r = plans.size(); r-- > 0;) {
        const auto first = static_cast<std::size_t>(plans[r].first_of_group());
        if (a[r] != a[first])
            refuse(plans[r], "combine", concat("other results than on rank ", first,
                                               " of the same group"));
        if (first != r) a[r].clear();
    }
    return inner_product(a, b);
}

}  // namespace detail

/// Throws plan_error unless the plan keeps, by itself, the laws that one rank can check: segments
/// of a buffer never overlap, leave no gap and stay inside it; an order names each message once; a
/// phase reads only what has arrived by then; every flow starts and ends with the rows it should;
/// dispatch copies rows and adds none up; combine brings each pair home by itself where the plan
/// says so. Any numbers may stand in the plan; it takes no more memory than the plan itself.
inline void validate(const exchange_plan& plan) {
    using detail::concat;
    if (plan.rank < 0 || static_cast<std::size_t>(plan.rank) >= plan.rank_count)
        detail::refuse(plan, "head", concat("rank ", plan.rank, " of ", plan.rank_count));
    if (plan.pair_slots.size() != plan.pair_experts.size())
        detail::refuse(plan, "head", "pair_slots and pair_experts differ in length");
    constexpr auto most = static_cast<std::size_t>(std::numeric_limits<std::int64_t>::max());
    if (plan.token_count > most ||
        (plan.choice_count > 0 && plan.token_count > most / plan.choice_count))
        detail::refuse(plan, "head", concat(plan.token_count, " tokens of ", plan.choice_count,
                                            " choices"));
    const auto slots = static_cast<std::int64_t>(plan.token_count * plan.choice_count);
    std::vector<std::int64_t> listed = plan.pair_slots;
    detail::merge_sort(listed, [](std::int64_t a, std::int64_t b) { return a < b; });
    for (std::size_t i = 0; i < listed.size(); ++i)
        if (listed[i] < 0 || listed[i] >= slots || (i > 0 && listed[i] == listed[i - 1]))
            detail::refuse(plan, "head", concat("pair slot ", listed[i], " twice or outside T k"));
    if (plan.dropped_pairs < 0 ||
        plan.dropped_pairs > slots - static_cast<std::int64_t>(listed.size()))
        detail::refuse(plan, "head", concat(plan.dropped_pairs, " pairs dropped and ",
                                            listed.size(), " kept, of ", slots));
    if (plan.rows_per_source < 0)
        detail::refuse(plan, "head", concat("padded to ", plan.rows_per_source, " rows"));
    if (plan.expert_first.size() != plan.experts.size() + 1 || plan.expert_first.front() != 0)
        detail::refuse(plan, "head", "expert_first does not fit the experts");
    for (std::size_t e = 0; e < plan.experts.size(); ++e) {
        if (plan.expert_first[e + 1] < plan.expert_first[e])
            detail::refuse(plan, "head", "expert_first runs backwards");
        const auto rows = static_cast<std::size_t>(plan.expert_first[e + 1] - plan.expert_first[e]);
        if (plan.rows_per_source > 0 &&
            (rows % plan.rank_count != 0 ||
             rows / plan.rank_count != static_cast<std::size_t>(plan.rows_per_source)))
            detail::refuse(plan, "head",
                           concat("expert ", plan.experts[e], " has ", rows, " rows, expected ",
                                  plan.rows_per_source, " from each rank"));
        if (plan.experts[e] < 0 || (e > 0 && plan.experts[e] <= plan.experts[e - 1]))
            detail::refuse(plan, "head", "experts that do not ascend from 0");
    }
    bool in_group = plan.group.empty();
    for (std::size_t i = 0; i < plan.group.size(); ++i) {
        in_group = in_group || plan.group[i] == plan.rank;
        if (plan.group[i] < 0 || static_cast<std::size_t>(plan.group[i]) >= plan.rank_count ||
            (i > 0 && plan.group[i] <= plan.group[i - 1]))
            detail::refuse(plan, "head", concat("rank ", plan.group[i], " in its group"));
    }
    if (!in_group) detail::refuse(plan, "head", "not in its own group");
    const std::size_t rows = plan.expert_row_count();
    const std::size_t pairs = plan.pair_count();
    detail::check_flow(plan, "dispatch", plan.dispatch, plan.token_count, rows, true);
    detail::check_flow(plan, "combine", plan.combine, rows, plan.token_count, false);
    detail::check_flow(plan, "pair_dispatch", plan.pair_dispatch, pairs, rows, true);
    detail::check_flow(plan, "pair_combine", plan.pair_combine, rows, pairs, false);
    detail::check_exact_combine(plan);
}

/// Throws plan_error unless the plans of all ranks together keep every law: each by itself; every
/// send meets a receive of its size and link in its phase; each kept pair arrives exactly once, in
/// the rows of its expert, sorted by source rank, token and slot; a padded plan's other rows are
/// empty; every combine is the exact transpose of its dispatch. In a group, each rank gets every
/// row of its experts, and tokens and results, alike on all of them, count once. `plans[r]` is rank
/// r's.
inline void validate(std::span<const exchange_plan> plans) {
    using detail::concat;
    for (std::size_t r = 0; r < plans.size(); ++r) {
        validate(plans[r]);
        if (plans[r].rank != static_cast<rank_id>(r) || plans[r].rank_count != plans.size())
            detail::refuse(plans[r], "head", concat("stands as rank ", r, " of ", plans.size()));
        if (plans[r].rows_per_source != plans[0].rows_per_source)
            detail::refuse(plans[r], "head",
                           concat("padded to ", plans[r].rows_per_source, " rows, rank 0 to ",
                                  plans[0].rows_per_source));
        if (plans[r].exact_combine != plans[0].exact_combine)
            detail::refuse(plans[r], "head", "exact_combine is not as on rank 0");
    }
    for (const exchange_plan& plan : plans) detail::check_group(plan, plans);
    constexpr flow exchange_plan::* flows[] = {&exchange_plan::dispatch, &exchange_plan::combine,
                                               &exchange_plan::pair_dispatch,
                                               &exchange_plan::pair_combine};
    for (const auto which : flows) {
        std::size_t sent = 0;
        std::size_t received = 0;
        for (const exchange_plan& plan : plans) {
            if ((plan.*which).phases.size() != (plans[0].*which).phases.size())
                detail::refuse(plan, "head", "another number of phases than rank 0");
            for (std::size_t i = 0; i < (plan.*which).phases.size(); ++i) {
                const phase& p = (plan.*which).phases[i];
                sent += p.sends.size();
                received += p.receives.size();
                if ((p.window.messages == 0) !=
                    ((plans[0].*which).phases[i].window.messages == 0))
                    detail::refuse(plan, "head", concat("a window in phase ", i,
                                                        " where rank 0 has none, or none"));
            }
        }
        if (sent != received)
            detail::refuse(plans[0], "all ranks", concat(sent, " sends, ", received, " receives"));
        detail::check_tiers(plans, which);
    }

    // Law 1, by following a number for each token and each pair. The expected rows are placed anew
    // from the pair lists alone.
    auto token_tags = detail::tags(plans, &exchange_plan::dispatch, 1);
    auto pair_tags = detail::tags(plans, &exchange_plan::pair_dispatch, 2);
    detail::spread(plans, token_tags);
    detail::spread(plans, pair_tags);
    const auto got_tokens = replay<std::uint64_t>(plans, &exchange_plan::dispatch, token_tags);
    const auto got_pairs = replay<std::uint64_t>(plans, &exchange_plan::pair_dispatch, pair_tags);
    struct wanted {
        std::size_t source;
        std::size_t token;
        std::uint64_t token_tag;  // 0 in an empty row, as in its pair's
        std::uint64_t pair_tag;
    };
    std::vector<expert_id> all_held;
    for (const exchange_plan& plan : plans)
        all_held.insert(all_held.end(), plan.experts.begin(), plan.experts.end());
    detail::merge_sort(all_held, [](expert_id a, expert_id b) { return a < b; });
    std::vector<expert_id> held;  // each once, ascending
    for (const expert_id e : all_held)
        if (held.empty() || held.back() != e) held.push_back(e);
    const auto place_of = [&](const exchange_plan& plan, expert_id e) {
        std::size_t at = 0;
        for (std::size_t end = held.size(); at < end;) {
            const std::size_t middle = at + (end - at) / 2;
            if (held[middle] < e)
                at = middle + 1;
            else
                end = middle;
        }
        if (at == held.size() || held[at] != e)
            detail::refuse(plan, "all ranks", concat("expert ", e, " stands on no rank"));
        return at;
    };
    std::vector<std::vector<wanted>> rows_of(held.size());
    for (std::size_t r = 0; r < plans.size(); ++r) {
        const exchange_plan& plan = plans[r];
        if (plan.first_of_group() != plan.rank) continue;
        std::vector<std::pair<std::int64_t, std::size_t>> by_slot;
        for (std::size_t i = 0; i < plan.pair_count(); ++i)
            by_slot.emplace_back(plan.pair_slots[i], i);
        detail::merge_sort(by_slot, [](const auto& a, const auto& b) { return a < b; });
        for (const auto& [slot, pair] : by_slot) {
            const std::size_t token = static_cast<std::size_t>(slot) / plan.choice_count;
            rows_of[place_of(plan, plan.pair_experts[pair])].push_back(
                {r, token, token_tags[r][token], pair_tags[r][pair]});
        }
        if (plan.rows_per_source == 0) continue;
        const std::size_t block_end = (r + 1) * static_cast<std::size_t>(plan.rows_per_source);
        for (std::size_t e = 0; e < rows_of.size(); ++e) {
            if (rows_of[e].size() > block_end)
                detail::refuse(plan, "head",
                               concat("more pairs for expert ", held[e],
                                      " than its padded rows hold"));
            rows_of[e].resize(block_end, {r, SIZE_MAX, 0, 0});
        }
    }
    std::vector<rank_id> placed(held.size(), no_rank);  // the first of the expert's group
    for (const exchange_plan& plan : plans) {
        const auto at = static_cast<std::size_t>(plan.rank);
        for (std::size_t i = 0; i < plan.experts.size(); ++i) {
            const expert_id e = plan.experts[i];
            const std::size_t place = place_of(plan, e);
            rank_id& holder = placed[place];
            if (holder != no_rank && holder != plan.first_of_group())
                detail::refuse(plan, "head", concat("expert ", e, " on two ranks"));
            holder = plan.first_of_group();
            const auto& rows = rows_of[place];
            if (static_cast<row_index>(rows.size()) !=
                plan.expert_first[i + 1] - plan.expert_first[i])
                detail::refuse(plan, "dispatch", concat("expert ", e, " has another number of rows "
                                                                      "than tokens chose it"));
            for (std::size_t n = 0; n < rows.size(); ++n) {
                const std::size_t row = static_cast<std::size_t>(plan.expert_first[i]) + n;
                const wanted& w = rows[n];
                if (got_tokens[at][row] != w.token_tag || got_pairs[at][row] != w.pair_tag)
                    detail::refuse(plan, "dispatch",
                                   concat("row ", row, " of expert ", e, " is not ",
                                          w.token == SIZE_MAX ? std::string("an empty row")
                                                              : concat("token ", w.token),
                                          " of rank ", w.source));
            }
        }
    }

    // Law 4: <A x, y> = <x, A^T y>, in arithmetic modulo 2^64, for random x and y: a wrong, missing
    // or doubled entry escapes with a chance of about 2^-63.
    const auto row_tags = detail::tags(plans, &exchange_plan::combine, 3);
    const auto token_sums = replay<std::uint64_t>(plans, &exchange_plan::combine, row_tags);
    const auto pair_sums = replay<std::uint64_t>(plans, &exchange_plan::pair_combine, row_tags);
    if (detail::inner_product(got_tokens, row_tags) !=
        detail::inner_product_of_groups(plans, token_sums, token_tags))
        detail::refuse(plans[0], "all ranks", "combine is not the transpose of dispatch");
    if (detail::inner_product(got_pairs, row_tags) !=
        detail::inner_product_of_groups(plans, pair_sums, pair_tags))
        detail::refuse(plans[0], "all ranks", "pair_combine is not the transpose of pair_dispatch");
}

}  // namespace locmoe
