#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "locmoe/plan/detail/exact_combine.hpp"
#include "locmoe/plan/detail/finish_plan.hpp"
#include "locmoe/plan/detail/once_counter.hpp"
#include "locmoe/plan/row_loads.hpp"
#include "locmoe/plan/strategy.hpp"

namespace locmoe::inline v0 {

namespace detail {
class direct_planner;
}

/// Every rank to every rank in one phase, one row for each kept pair: the plain All-to-All of
/// Tutel, DeepSpeed and Megatron. The least latency; a token whose k experts share a node crosses
/// the network k times.
struct direct {
    /// "direct": it has no options.
    std::string_view name() const { return "direct"; }
    /// Makes the planner, of one round: how many rows each expert is sent.
    detail::direct_planner planner(const plan_request& request) const;

    /// "a row a pair", which no other strategy here shares.
    std::string loads_name() const { return "a row a pair"; }
    /// Its messages inside nodes and between them travel side by side: priced as two phases.
    std::vector<phase_shape> phase_shapes(const topology& nodes) const {
        return {{"between nodes", link_tier::inter_node, 0, nodes.rank_count()},
                {"inside nodes", link_tier::intra_node, 0, detail::largest_node(nodes)}};
    }
    /// Adds a row for each pair whose expert is on another rank.
    void add_loads(const plan_request& request, row_loads& loads) const {
        std::vector<std::int64_t> rows(request.nodes.rank_count(), 0);
        detail::for_each_pair(request, [&](std::int64_t, rank_id to) {
            ++rows[static_cast<std::size_t>(to)];
        });
        for (std::size_t r = 0; r < rows.size(); ++r) {
            const auto to = static_cast<rank_id>(r);
            loads.add(request.nodes.same_node(request.rank, to) ? 1 : 0, request.rank, to, rows[r]);
        }
    }
    /// "": it fits every topology, so it can be the first of the candidates.
    std::string declines(const topology&) const { return {}; }
};

namespace detail {

/// One round: each rank tells every rank it sends to how many rows each of its experts gets: a
/// count for each, or, where that is shorter, -1 - expert and count for those that get any.
class direct_planner {
  public:
    static constexpr std::size_t rounds = 1;

    explicit direct_planner(const plan_request& request) : request_(request), kept_(request) {
        rows_.source_rows = static_cast<row_index>(request.assigned.token_count);
        pairs_.source_rows = static_cast<row_index>(kept_.experts.size());
        phase& rows = rows_.phases.emplace_back();
        phase& pairs = pairs_.phases.emplace_back();
        rows.name = pairs.name = "all to all";
        std::vector<row_index>& token_of = rows.pack.from;
        token_of.resize(kept_.experts.size());
        kept_.place(request.assigned, [&](row_index token, expert_id, row_index pair) {
            token_of[static_cast<std::size_t>(pair)] = token;
        });
        const auto first_own = token_of.begin() + static_cast<std::ptrdiff_t>(kept_.travelling);
        own_tokens_.assign(first_own, token_of.end());
        token_of.erase(first_own, token_of.end());
        arrived_.from(request.rank);
        for (std::size_t i = 0; i < own_tokens_.size(); ++i)
            arrived_.add(request.placement.local_index(kept_.experts[kept_.travelling + i]),
                         own_tokens_[i], static_cast<row_index>(kept_.travelling + i));
        pairs.pack.from.resize(kept_.travelling);
        for (std::size_t i = 0; i < kept_.travelling; ++i)
            pairs.pack.from[i] = static_cast<row_index>(i);
        for (std::size_t i = 0; i < kept_.travelling;) {
            const rank_id to = request.placement.rank_of(kept_.experts[i]);
            if (rows.sends.empty() || rows.sends.back().peer != to)
                rows.sends.push_back(
                    {to, request.nodes.tier(request.rank, to), static_cast<row_index>(i), 0});
            rows.sends.back().rows += count_of(kept_.experts[i]);
            i += rows_of(kept_.experts[i]);
        }
        pairs.sends = rows.sends;
    }

    std::vector<message> outgoing(std::size_t) {
        std::vector<message> out;
        for (const segment& s : rows_.phases[0].sends) {
            const auto begin = static_cast<std::size_t>(s.first);
            const auto end = begin + static_cast<std::size_t>(s.rows);
            message& m = out.emplace_back();
            m.peer = s.peer;
            for (std::size_t i = begin; i < end; i += rows_of(kept_.experts[i]))
                m.words.insert(m.words.end(), {-1 - kept_.experts[i], count_of(kept_.experts[i])});
            const auto theirs = request_.placement.experts_of(s.peer);
            if (m.words.size() < theirs.size()) continue;
            m.words.clear();
            for (const expert_id e : theirs) m.words.push_back(count_of(e));
        }
        return out;
    }

    void incoming(std::size_t, const std::vector<message>& received) {
        const std::size_t mine = request_.placement.experts_of(request_.rank).size();
        for (const message& m : received) {
            const row_index first = rows_.staging_rows;
            const bool for_all = m.words.size() == mine;
            arrived_.from(m.peer);
            for (std::size_t i = 0; i < m.words.size(); i += for_all ? 1 : 2) {
                if (!for_all && (i + 1 == m.words.size() || !stands_here(-1 - m.words[i])))
                    misfit(m);
                const row_index count = m.words[for_all ? i : i + 1];
                if (count < 0 || count > most_rows - rows_.staging_rows) misfit(m);
                arrived_.add(for_all ? i
                                     : request_.placement.local_index(
                                           static_cast<expert_id>(-1 - m.words[i])),
                             rows_.source_rows + rows_.staging_rows,
                             pairs_.source_rows + rows_.staging_rows, count);
                rows_.staging_rows += count;
            }
            if (rows_.staging_rows == first) misfit(m);
            const segment s{m.peer, request_.nodes.tier(request_.rank, m.peer), first,
                            rows_.staging_rows - first};
            for (flow* f : {&rows_, &pairs_}) f->phases[0].receives.push_back(s);
        }
        pairs_.staging_rows = rows_.staging_rows;
    }

    exchange_plan finish() {
        const std::size_t travelling = kept_.travelling;
        exchange_plan plan = finish_plan("direct", request_, std::move(kept_), std::move(arrived_),
                                         std::move(rows_), std::move(pairs_));
        const std::vector<row_index>& tokens = plan.dispatch.phases[0].pack.from;
        const expert_id* chosen = request_.assigned.expert.data();
        const auto pairs_of = [&](std::size_t) {
            row_index pairs = 0;
            for (std::size_t slot = 0; slot < plan.choice_count; ++slot)
                pairs += *chosen++ != no_expert;
            return pairs;
        };
        plan.combine = exact_combine(plan, pairs_of, [&](std::size_t pair) {
            return static_cast<std::size_t>(pair < travelling ? tokens[pair]
                                                              : own_tokens_[pair - travelling]);
        });
        row_sums& sums = plan.combine.deliver;
        bool gather = sums.from.size() == plan.token_count;
        for (std::size_t t = 0; gather && t < plan.token_count; ++t)
            gather = sums.first[t + 1] == sums.first[t] + 1;
        if (gather) sums.first = {};
        return plan;
    }

  private:
    /// Of all that comes in: no memory holds more, and sums of it do not overflow.
    static constexpr row_index most_rows = row_index{1} << 48;

    row_index count_of(expert_id e) const { return kept_.count[static_cast<std::size_t>(e)]; }
    std::size_t rows_of(expert_id e) const { return static_cast<std::size_t>(count_of(e)); }

    bool stands_here(std::int64_t expert) const {
        return expert >= 0 &&
               expert < static_cast<std::int64_t>(request_.placement.expert_count()) &&
               request_.placement.rank_of(static_cast<expert_id>(expert)) == request_.rank;
    }

    [[noreturn]] void misfit(const message& m) const {
        throw plan_error(concat("locmoe: direct: what rank ", m.peer, " told rank ", request_.rank,
                                " of its experts does not fit there: do all ranks hold the same "
                                "expert_placement?"));
    }

    plan_request request_;
    kept_pairs kept_;
    arrivals arrived_;
    flow rows_;
    flow pairs_;
    std::vector<row_index> own_tokens_;  // of the pairs that stay, the last ones
};

}  // namespace detail

inline detail::direct_planner direct::planner(const plan_request& request) const {
    return detail::direct_planner(request);
}

}  // namespace locmoe
