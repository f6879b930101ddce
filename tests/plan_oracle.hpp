#pragma once

// What a plan does, found out the slow way: every row is followed as the list of the rows that were
// added up in it. It shares no code with replay and validate, which it is there to check.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "locmoe/core/error.hpp"
#include "locmoe/plan/exchange_plan.hpp"

namespace plan_oracle {

using locmoe::exchange_plan;
using locmoe::detail::concat;

/// Where a row started: the rank and the number of the row there.
using origin = std::pair<std::int64_t, std::int64_t>;
/// What was added up in a row, sorted.
using sum = std::vector<origin>;
using rows = std::vector<sum>;

inline std::size_t at(std::int64_t number) { return static_cast<std::size_t>(number); }

/// A plan that does not keep the laws, with the reason.
struct broken {
    std::string why;
};

/// `in_order`: what was added up is listed in its order, and sums are left to the end.
inline rows add_up(const rows& space, std::size_t arrived, const locmoe::row_sums& made,
                   bool in_order) {
    rows out(made.rows());
    for (std::size_t i = 0; i < out.size(); ++i) {
        const std::size_t begin = made.first.empty() ? i : at(made.first.at(i));
        const std::size_t end = made.first.empty() ? i + 1 : at(made.first.at(i + 1));
        for (std::size_t n = begin; n < end; ++n) {
            if (made.first.empty() && made.from.at(n) == locmoe::empty_row) continue;
            if (at(made.from.at(n)) >= arrived) throw broken{"a row is used before it is there"};
            const sum& more = space.at(at(made.from[n]));
            out[i].insert(out[i].end(), more.begin(), more.end());
            if (out[i].size() > 100'000) throw broken{"a sum without end"};
        }
        if (!in_order) std::sort(out[i].begin(), out[i].end());
    }
    return out;
}

/// Runs one flow of all plans, every row from `inputs[rank]` on, message by message. `in_order`: as
/// in add_up, and no row is a sum before it is delivered.
inline std::vector<rows> follow(std::span<const exchange_plan> plans,
                                locmoe::flow exchange_plan::* which,
                                const std::vector<rows>& inputs, bool in_order = false) {
    const auto flow_of = [&](std::size_t rank) -> const locmoe::flow& {
        return plans[rank].*which;
    };
    std::vector<rows> space(plans.size());
    std::vector<std::vector<std::size_t>> arrived(plans.size());  // [rank][phases before]
    for (std::size_t r = 0; r < plans.size(); ++r) {
        if (inputs[r].size() != at(flow_of(r).source_rows)) throw broken{"other source rows"};
        if (flow_of(r).phases.size() != flow_of(0).phases.size()) throw broken{"other phases"};
        space[r] = inputs[r];
        space[r].resize(inputs[r].size() + at(flow_of(r).staging_rows));
        arrived[r].push_back(inputs[r].size());
    }
    for (std::size_t p = 0; p < flow_of(0).phases.size(); ++p) {
        std::map<std::pair<std::size_t, std::size_t>, rows> on_the_way;
        std::set<std::size_t> windows;
        for (std::size_t r = 0; r < plans.size(); ++r) {
            const locmoe::phase& step = flow_of(r).phases[p];
            windows.insert(step.window.messages == 0 ? 0 : 1);
            for (const auto& [order, count] :
                 {std::pair(step.send_order, step.sends.size()),
                  std::pair(step.receive_order, step.receives.size())})
                if (!order.empty() &&
                    (order.size() != count ||
                     std::set<std::size_t>(order.begin(), order.end()).size() != count ||
                     *std::max_element(order.begin(), order.end()) >= count))
                    throw broken{"an order that is none"};
            const rows packed = add_up(space[r], arrived[r].at(step.needs), step.pack, in_order);
            for (const sum& s : packed)
                if (in_order && s.size() > 1) throw broken{"a sum on the way"};
            std::vector<int> taken(packed.size(), 0);
            for (const locmoe::segment& s : step.sends) {
                if (at(s.peer) == r || s.tier == locmoe::link_tier::self)
                    throw broken{"a message to oneself"};
                rows message;
                for (std::int64_t i = 0; i < s.rows; ++i) {
                    message.push_back(packed.at(at(s.first + i)));
                    ++taken[at(s.first + i)];
                }
                const std::pair way(r, at(s.peer));
                if (message.empty() || !on_the_way.emplace(way, message).second)
                    throw broken{"an empty message or two"};
            }
            for (const int times : taken)
                if (times != 1) throw broken{"a packed row not sent once"};
        }
        if (windows.size() != 1) throw broken{"a window on some ranks"};
        for (std::size_t r = 0; r < plans.size(); ++r) {
            std::size_t end = arrived[r].back();
            for (const locmoe::segment& s : flow_of(r).phases[p].receives) {
                const auto found = on_the_way.find({at(s.peer), r});
                if (found == on_the_way.end() || found->second.size() != at(s.rows))
                    throw broken{"a receive without its send"};
                const std::size_t first = inputs[r].size() + at(s.first);
                if (first != end) throw broken{"staging with a gap or an overlap"};
                for (std::size_t i = 0; i < found->second.size(); ++i)
                    space[r].at(first + i) = found->second[i];
                end += found->second.size();
                for (const locmoe::segment& sent : flow_of(at(s.peer)).phases[p].sends)
                    if (at(sent.peer) == r && sent.tier != s.tier)
                        throw broken{"a message over two kinds of link"};
                on_the_way.erase(found);
            }
            arrived[r].push_back(end);
        }
        if (!on_the_way.empty()) throw broken{"a send without its receive"};
    }
    std::vector<rows> out;
    for (std::size_t r = 0; r < plans.size(); ++r) {
        if (arrived[r].back() != space[r].size()) throw broken{"staging that nothing fills"};
        out.push_back(add_up(space[r], space[r].size(), flow_of(r).deliver, in_order));
    }
    return out;
}

/// A pair of the tokens of `source`, and where its row must lie.
struct placed_pair {
    std::size_t source, slot, pair;
    std::vector<std::pair<std::size_t, std::size_t>> places;  // rank and row, in all of a group
};

/// Every pair of the plans' own lists, placed by the order that exchange_plan documents.
inline std::vector<placed_pair> place(std::span<const exchange_plan> plans) {
    std::vector<placed_pair> all;
    std::map<locmoe::expert_id, std::size_t> holder;  // the first of its group
    for (std::size_t r = 0; r < plans.size(); ++r) {
        const exchange_plan& plan = plans[r];
        const std::size_t first = plan.group.empty() ? r : at(plan.group[0]);
        for (const locmoe::expert_id e : plan.experts)
            if (holder.try_emplace(e, first).first->second != first)
                throw broken{"an expert on two ranks"};
        if (first != r) continue;
        for (std::size_t i = 0; i < plan.pair_slots.size(); ++i)
            all.push_back({r, at(plan.pair_slots[i]), i, {}});
    }
    for (std::size_t r = 0; r < plans.size(); ++r) {
        const exchange_plan& plan = plans[r];
        std::size_t row = 0;
        for (std::size_t e = 0; e < plan.experts.size(); ++e) {
            if (at(plan.expert_first.at(e)) != row) throw broken{"expert rows that do not add up"};
            for (std::size_t source = 0; source < plans.size(); ++source) {
                std::vector<placed_pair*> from_there;
                for (placed_pair& p : all)
                    if (p.source == source && plans[source].pair_experts[p.pair] == plan.experts[e])
                        from_there.push_back(&p);
                std::sort(from_there.begin(), from_there.end(),
                          [](const auto* a, const auto* b) { return a->slot < b->slot; });
                const std::size_t block_end = row + at(plan.rows_per_source);
                for (placed_pair* p : from_there) p->places.push_back({r, row++});
                if (plan.rows_per_source == 0) continue;
                if (row > block_end) throw broken{"more rows than the padded block holds"};
                row = block_end;
            }
        }
        if (at(plan.expert_first.back()) != row) throw broken{"expert rows that do not add up"};
    }
    for (const placed_pair& p : all)
        if (p.places.empty()) throw broken{"a pair at an expert that is nowhere"};
    return all;
}

/// Each row of the flow's sources as itself; in a group, all under its first rank's name.
inline std::vector<rows> sources(std::span<const exchange_plan> plans,
                                 locmoe::flow exchange_plan::* which, bool of_groups) {
    std::vector<rows> all;
    for (std::size_t r = 0; r < plans.size(); ++r) {
        const bool named = of_groups && !plans[r].group.empty();
        const std::int64_t name = named ? plans[r].group[0] : static_cast<std::int64_t>(r);
        auto& own = all.emplace_back();
        for (std::int64_t i = 0; i < (plans[r].*which).source_rows; ++i)
            own.push_back({{name, i}});
    }
    return all;
}

/// The law that the plans break, by following every row; empty where they keep them all.
inline std::string broken_law(std::span<const exchange_plan> plans) {
    try {
        const auto pairs = place(plans);
        std::vector<rows> tokens_at;
        std::vector<rows> pairs_at;
        std::vector<rows> token_sums;
        std::vector<rows> pair_sums;
        for (const exchange_plan& plan : plans) {
            tokens_at.emplace_back(at(plan.expert_first.back()));
            pairs_at.emplace_back(at(plan.expert_first.back()));
            token_sums.emplace_back(plan.token_count);
            pair_sums.emplace_back(plan.pair_slots.size());
        }
        for (const placed_pair& p : pairs) {
            const exchange_plan& plan = plans[p.source];
            if (p.slot >= plan.token_count * plan.choice_count) throw broken{"a slot beyond T k"};
            const std::size_t token = p.slot / plan.choice_count;
            const auto name = static_cast<std::int64_t>(p.source);
            const auto members = plan.group.empty() ? std::vector<locmoe::rank_id>{plan.rank}
                                                    : plan.group;
            for (const auto& [rank, row] : p.places) {
                tokens_at[rank][row].push_back({name, static_cast<std::int64_t>(token)});
                pairs_at[rank][row].push_back({name, static_cast<std::int64_t>(p.pair)});
                for (const locmoe::rank_id m : members) {
                    const origin made{static_cast<std::int64_t>(rank),
                                      static_cast<std::int64_t>(row)};
                    token_sums[at(m)].at(token).push_back(made);
                    pair_sums[at(m)].at(p.pair).push_back(made);
                }
            }
        }
        for (auto* all : {&token_sums, &pair_sums})
            for (rows& of_rank : *all)
                for (sum& s : of_rank) std::sort(s.begin(), s.end());
        std::vector<rows> sums_in_order;  // of each pair by itself
        bool each_by_itself = false;
        for (const exchange_plan& plan : plans) {
            each_by_itself = each_by_itself || plan.exact_combine;
            auto& own = sums_in_order.emplace_back(plan.token_count);
            for (std::size_t i = 0; i < plan.pair_slots.size(); ++i)
                for (const origin& made : pair_sums[at(plan.rank)][i])
                    own[at(plan.pair_slots[i]) / plan.choice_count].push_back(made);
        }
        const auto check = [&](locmoe::flow exchange_plan::* which, bool of_groups,
                               const std::vector<rows>& expected, const char* name) {
            if (follow(plans, which, sources(plans, which, of_groups)) != expected)
                throw broken{concat(name, " does not do what its pairs ask for")};
        };
        check(&exchange_plan::dispatch, true, tokens_at, "dispatch");
        check(&exchange_plan::pair_dispatch, true, pairs_at, "pair_dispatch");
        check(&exchange_plan::combine, false, token_sums, "combine");
        check(&exchange_plan::pair_combine, false, pair_sums, "pair_combine");
        const auto combine = &exchange_plan::combine;
        if (each_by_itself &&
            follow(plans, combine, sources(plans, combine, false), true) != sums_in_order)
            throw broken{"combine does not bring each pair home by itself"};
    } catch (const broken& b) {
        return b.why;
    } catch (const std::out_of_range&) {
        return "a row outside its buffer";
    }
    return {};
}

}  // namespace plan_oracle
