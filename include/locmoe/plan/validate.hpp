#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "locmoe/core/error.hpp"
#include "locmoe/plan/exchange_plan.hpp"
#include "locmoe/plan/replay.hpp"

namespace locmoe::inline v0 {

namespace detail {

[[noreturn]] inline void refuse(const exchange_plan& plan, std::string_view flow_name,
                                std::string_view what) {
    throw plan_error(concat("locmoe: validate: plan of rank ", plan.rank, ", ", flow_name, ": ",
                            what));
}

/// Segments cut [begin, begin + rows) without gap or overlap, in ascending order of rows; one a peer.
inline row_index check_segments(const exchange_plan& plan, std::string_view name,
                                const std::vector<segment>& segments, row_index begin) {
    std::vector<char> seen(plan.rank_count, 0);
    for (const segment& s : segments) {
        if (s.peer < 0 || static_cast<std::size_t>(s.peer) >= plan.rank_count)
            refuse(plan, name, concat("peer ", s.peer, " of ", plan.rank_count, " ranks"));
        if (s.peer == plan.rank) refuse(plan, name, "a message to itself");
        if (seen[static_cast<std::size_t>(s.peer)]++ != 0)
            refuse(plan, name, concat("two messages with rank ", s.peer, " in one phase"));
        if (s.rows <= 0) refuse(plan, name, concat("a message of ", s.rows, " rows"));
        if (s.first != begin)
            refuse(plan, name, concat("a segment at row ", s.first, ", expected ", begin));
        begin += s.rows;
    }
    return begin;
}

/// None, or each segment once.
inline void check_order(const exchange_plan& plan, std::string_view name,
                        const std::vector<std::size_t>& order, std::size_t segments) {
    if (order.empty()) return;
    if (order.size() != segments)
        refuse(plan, name, concat("an order of ", order.size(), " messages for ", segments));
    std::vector<char> seen(segments, 0);
    for (const std::size_t i : order)
        if (i >= segments || seen[i]++ != 0)
            refuse(plan, name, concat("message ", i, " of ", segments, " twice in its order, or not there"));
}

inline void check_sums(const exchange_plan& plan, std::string_view name, const row_sums& sums,
                       row_index available) {
    if (!sums.is_gather()) {
        row_index before = 0;
        if (sums.first.front() != 0) refuse(plan, name, "sums do not start at 0");
        for (const row_index f : sums.first) {
            if (f < before) refuse(plan, name, "sums run backwards");
            before = f;
        }
        if (before != static_cast<row_index>(sums.from.size()))
            refuse(plan, name, "sums do not end with their sources");
    }
    const bool may_be_empty = plan.rows_per_source > 0 && sums.is_gather();
    for (const row_index r : sums.from)
        if ((r < 0 && !(may_be_empty && r == empty_row)) || r >= available)
            refuse(plan, name, concat("row ", r, " of ", available, " that are there by then"));
}

inline void check_flow(const exchange_plan& plan, std::string_view name, const flow& moved,
                       std::size_t sources, std::size_t delivered) {
    if (moved.source_rows != static_cast<row_index>(sources))
        refuse(plan, name, concat("starts from ", moved.source_rows, " rows, expected ", sources));
    std::vector<row_index> staged{0};
    for (std::size_t p = 0; p < moved.phases.size(); ++p) {
        const phase& step = moved.phases[p];
        if (step.needs > p) refuse(plan, name, concat("phase ", p, " waits for a later one"));
        check_sums(plan, name, step.pack, moved.source_rows + staged[step.needs]);
        const row_index sent = check_segments(plan, name, step.sends, 0);
        if (sent != static_cast<row_index>(step.pack.rows()))
            refuse(plan, name, concat("phase ", p, " packs ", step.pack.rows(), " rows and sends ",
                                      sent));
        check_order(plan, name, step.send_order, step.sends.size());
        check_order(plan, name, step.receive_order, step.receives.size());
        staged.push_back(check_segments(plan, name, step.receives, staged.back()));
    }
    if (staged.back() != moved.staging_rows)
        refuse(plan, name, concat("receives ", staged.back(), " rows, staging holds ",
                                  moved.staging_rows));
    check_sums(plan, name, moved.deliver, moved.source_rows + moved.staging_rows);
    if (moved.deliver.rows() != delivered)
        refuse(plan, name, concat("delivers ", moved.deliver.rows(), " rows, expected ",
                                  delivered));
}

/// Numbers that tell (rank, row) apart, for following rows through a flow.
inline std::vector<std::vector<std::uint64_t>> tags(std::span<const exchange_plan> plans,
                                                    flow exchange_plan::* which,
                                                    std::uint64_t seed) {
    std::vector<std::vector<std::uint64_t>> all;
    for (const exchange_plan& plan : plans) {
        auto& own = all.emplace_back();
        for (row_index i = 0; i < (plan.*which).source_rows; ++i) {
            seed += 0x9e3779b97f4a7c15u;  // SplitMix64 (Steele, Lea, Flood 2014)
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

/// Throws plan_error unless the plan keeps, by itself, the laws that one rank can check: segments of
/// a buffer never overlap, leave no gap and stay inside it; an order names each message once; a phase
/// reads only what has arrived by then; every flow starts and ends with the rows it should.
inline void validate(const exchange_plan& plan) {
    using detail::concat;
    if (plan.rank < 0 || static_cast<std::size_t>(plan.rank) >= plan.rank_count)
        detail::refuse(plan, "head", concat("rank ", plan.rank, " of ", plan.rank_count));
    if (plan.pair_slots.size() != plan.pair_experts.size())
        detail::refuse(plan, "head", "pair_slots and pair_experts differ in length");
    std::vector<char> seen(plan.token_count * plan.choice_count, 0);
    for (const std::int64_t slot : plan.pair_slots)
        if (slot < 0 || static_cast<std::size_t>(slot) >= seen.size() ||
            seen[static_cast<std::size_t>(slot)]++ != 0)
            detail::refuse(plan, "head", concat("pair slot ", slot, " twice or outside T k"));
    if (plan.expert_first.size() != plan.experts.size() + 1 || plan.expert_first.front() != 0)
        detail::refuse(plan, "head", "expert_first does not fit the experts");
    for (std::size_t e = 0; e < plan.experts.size(); ++e)
        if (plan.expert_first[e + 1] < plan.expert_first[e])
            detail::refuse(plan, "head", "expert_first runs backwards");
        else if (plan.rows_per_source > 0 &&
                 plan.expert_first[e + 1] - plan.expert_first[e] !=
                     plan.rows_per_source * static_cast<row_index>(plan.rank_count))
            detail::refuse(plan, "head",
                           concat("expert ", plan.experts[e], " has ",
                                  plan.expert_first[e + 1] - plan.expert_first[e],
                                  " rows, expected ", plan.rows_per_source, " from each rank"));
    for (std::size_t e = 1; e < plan.experts.size(); ++e)
        if (plan.experts[e] <= plan.experts[e - 1])
            detail::refuse(plan, "head", "experts that do not ascend");
    bool in_group = plan.group.empty();
    for (std::size_t i = 0; i < plan.group.size(); ++i) {
        in_group = in_group || plan.group[i] == plan.rank;
        if (plan.group[i] < 0 || static_cast<std::size_t>(plan.group[i]) >= plan.rank_count ||
            (i > 0 && plan.group[i] <= plan.group[i - 1]))
            detail::refuse(plan, "head", concat("rank ", plan.group[i], " in its group"));
    }
    if (!in_group) detail::refuse(plan, "head", "not in its own group");
    const std::size_t rows = plan.expert_row_count();
    detail::check_flow(plan, "dispatch", plan.dispatch, plan.token_count, rows);
    detail::check_flow(plan, "combine", plan.combine, rows, plan.token_count);
    detail::check_flow(plan, "pair_dispatch", plan.pair_dispatch, plan.pair_count(), rows);
    detail::check_flow(plan, "pair_combine", plan.pair_combine, rows, plan.pair_count());
}

/// Throws plan_error unless the plans of all ranks together keep every law: each by itself; every
/// send meets a receive of its size in its phase; each kept pair arrives exactly once, in the rows of
/// its expert, sorted by source rank, token and slot; a padded plan's other rows are empty; every
/// combine is the exact transpose of its dispatch. In a group, each rank gets every row of its
/// experts, and tokens and results, alike on all of them, count once. `plans[r]` is rank r's.
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
    expert_id highest = -1;
    for (const exchange_plan& plan : plans)
        for (const expert_id e : plan.experts) highest = e > highest ? e : highest;
    std::vector<std::vector<wanted>> rows_of(static_cast<std::size_t>(highest + 1));
    for (std::size_t r = 0; r < plans.size(); ++r) {
        const exchange_plan& plan = plans[r];
        if (plan.first_of_group() != plan.rank) continue;
        std::vector<std::size_t> pair_of(plan.token_count * plan.choice_count, SIZE_MAX);
        for (std::size_t i = 0; i < plan.pair_count(); ++i)
            pair_of[static_cast<std::size_t>(plan.pair_slots[i])] = i;
        for (std::size_t slot = 0; slot < pair_of.size(); ++slot) {
            if (pair_of[slot] == SIZE_MAX) continue;
            const expert_id e = plan.pair_experts[pair_of[slot]];
            if (e < 0 || e > highest) detail::refuse(plan, "head", concat("expert ", e));
            const std::size_t token = slot / plan.choice_count;
            rows_of[static_cast<std::size_t>(e)].push_back(
                {r, token, token_tags[r][token], pair_tags[r][pair_of[slot]]});
        }
        if (plan.rows_per_source == 0) continue;
        const std::size_t block_end = (r + 1) * static_cast<std::size_t>(plan.rows_per_source);
        for (std::size_t e = 0; e < rows_of.size(); ++e) {
            if (rows_of[e].size() > block_end)
                detail::refuse(plan, "head",
                               concat("more pairs for expert ", e, " than its padded rows hold"));
            rows_of[e].resize(block_end, {r, SIZE_MAX, 0, 0});
        }
    }
    std::vector<rank_id> placed(rows_of.size(), no_rank);  // by expert: the first of its group
    for (const exchange_plan& plan : plans) {
        const auto at = static_cast<std::size_t>(plan.rank);
        for (std::size_t i = 0; i < plan.experts.size(); ++i) {
            const expert_id e = plan.experts[i];
            if (e < 0) detail::refuse(plan, "head", concat("expert ", e));
            rank_id& holder = placed[static_cast<std::size_t>(e)];
            if (holder != no_rank && holder != plan.first_of_group())
                detail::refuse(plan, "head", concat("expert ", e, " on two ranks"));
            holder = plan.first_of_group();
            const auto& rows = rows_of[static_cast<std::size_t>(e)];
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
    for (std::size_t e = 0; e < rows_of.size(); ++e)
        if (!rows_of[e].empty() && placed[e] == no_rank)
            detail::refuse(plans[0], "all ranks", concat("expert ", e, " stands on no rank"));

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
