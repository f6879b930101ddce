#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "locmoe/plan/detail/exact_combine.hpp"
#include "locmoe/plan/detail/finish_plan.hpp"
#include "locmoe/plan/strategy.hpp"

namespace locmoe {

namespace detail {
class node_aggregated_planner;
}

/// A row travels once to each destination node, whatever number of experts it has there, and a relay
/// on that node copies it to their ranks (the two-phase exchange of LocMoE and Tutel's 2DH, with
/// DeepEP's de-duplication). Combine adds up at the relay: it sends as few inter-node rows.
///
/// Three phases: to the ranks of the own node; to a relay on each other node; from the relays to the
/// experts' ranks. The relay of rank r on a node of m ranks is its rank number `local_index(r) mod m`,
/// so even nodes talk rail to rail and uneven ones share the load. Asks nothing of the node sizes.
struct node_aggregated {
    /// Combine without partial sums: each pair's row comes back by itself and they are summed at the
    /// source in the order of `direct`, to the same bits, for more inter-node rows.
    bool exact_combine = false;

    std::string_view name() const {
        return exact_combine ? "node_aggregated, exact combine" : "node_aggregated";
    }
    detail::node_aggregated_planner planner(const plan_request& request) const;
};

namespace detail {

/// A row's pairs as it travels: one word each, the expert and whether the pair starts a new row.
struct pair_word {
    static std::int64_t make(expert_id expert, bool new_row) {
        return static_cast<std::int64_t>(expert) * 2 + (new_row ? 1 : 0);
    }
    static expert_id expert(std::int64_t word) { return static_cast<expert_id>(word >> 1); }
    static bool new_row(std::int64_t word) { return (word & 1) != 0; }
};

/// Rows on their way to one rank, in the numbering of this rank's flows.
struct parcel {
    std::vector<row_index> rows;
    std::vector<row_index> pairs;
    std::vector<std::int64_t> words;  ///< [pairs]

    void add(row_index row, row_index pair, expert_id expert, bool new_row) {
        if (new_row) rows.push_back(row);
        pairs.push_back(pair);
        words.push_back(pair_word::make(expert, new_row));
    }
};

/// Two rounds: sources describe their rows to the ranks of their node and to the relays; the relays
/// describe them to the experts' ranks, source by source.
class node_aggregated_planner {
  public:
    static constexpr std::size_t rounds = 2;

    node_aggregated_planner(const plan_request& request, bool exact)
        : request_(request), exact_(exact), kept_(request) {
        rows_.source_rows = static_cast<row_index>(request.assigned.token_count);
        pairs_.source_rows = static_cast<row_index>(kept_.slots.size());
        for (const char* name : {"own node", "to relays", "relays to experts"}) {
            rows_.phases.emplace_back().name = name;
            pairs_.phases.emplace_back().name = name;
        }
        rows_.phases[2].needs = pairs_.phases[2].needs = 2;
        onward_.resize(request.nodes.ranks_of(request.nodes.node_of(request.rank)).size());
        pack_own_rows();
    }

    std::vector<message> outgoing(std::size_t round) {
        std::vector<message> out;
        if (round == 0) {
            for (std::size_t phase = 0; phase < 2; ++phase)
                for (auto& [peer, rows] : parcels_[phase])
                    out.push_back({peer, std::move(rows.words)});
        } else {
            for (std::size_t i = 0; i < onward_.size(); ++i)
                if (!onward_[i].message.empty())
                    out.push_back({neighbour(i), std::move(onward_[i].message)});
        }
        return out;
    }

    void incoming(std::size_t round, const std::vector<message>& received) {
        if (round == 0) {
            for (const message& m : received)
                if (request_.nodes.same_node(m.peer, request_.rank)) take_own_node(m);
            for (const message& m : received)
                if (!request_.nodes.same_node(m.peer, request_.rank)) relay(m);
            for (std::size_t i = 0; i < onward_.size(); ++i)
                if (!onward_[i].message.empty()) append(2, neighbour(i), onward_[i].rows);
        } else {
            for (const message& m : received) take_relayed(m);
        }
    }

    exchange_plan finish() {
        for (std::size_t i = kept_.travelling; i < kept_.slots.size(); ++i)
            arrived_.from(request_.rank)
                .push_back({request_.placement.local_index(kept_.experts[i]),
                            kept_.token(i, request_.assigned.choice_count),
                            static_cast<row_index>(i)});
        exchange_plan plan = finish_plan(node_aggregated{exact_}.name(), request_,
                                         std::move(kept_), arrived_, std::move(rows_),
                                         std::move(pairs_));
        if (exact_) plan.combine = exact_combine(plan);
        return plan;
    }

  private:
    rank_id neighbour(std::size_t local_index) const {
        return request_.nodes.ranks_of(request_.nodes.node_of(request_.rank))[local_index];
    }

    rank_id relay_on(node_id node) const {
        const auto ranks = request_.nodes.ranks_of(node);
        return ranks[request_.nodes.local_index(request_.rank) % ranks.size()];
    }

    /// Phases 0 and 1: each token once to every rank of the own node that wants it, and once to the
    /// relay on every other node that does.
    void pack_own_rows() {
        const assignment& a = request_.assigned;
        const node_id home = request_.nodes.node_of(request_.rank);
        struct target {
            parcel* out = nullptr;
            row_index last_token = -1;
        };
        std::map<rank_id, target> targets;
        std::vector<target*> target_of(a.expert_count, nullptr);
        for (std::size_t e = 0; e < a.expert_count; ++e) {
            const auto expert = static_cast<expert_id>(e);
            const rank_id rank = request_.placement.rank_of(expert);
            if (a.kept[e] == 0 || rank == request_.rank) continue;
            const node_id node = request_.nodes.node_of(rank);
            const rank_id to = node == home ? rank : relay_on(node);
            target& t = targets[to];
            t.out = &parcels_[node == home ? 0 : 1][to];
            target_of[e] = &t;
        }
        for (std::size_t i = 0; i < a.expert.size(); ++i) {
            if (a.expert[i] == no_expert) continue;
            target* t = target_of[static_cast<std::size_t>(a.expert[i])];
            if (t == nullptr) continue;
            const auto token = static_cast<row_index>(i / a.choice_count);
            t->out->add(token, kept_.pair_of[i], a.expert[i], t->last_token != token);
            t->last_token = token;
        }
        for (std::size_t number = 0; number < 2; ++number)
            for (const auto& [to, out] : parcels_[number]) append(number, to, out);
    }

    void append(std::size_t number, rank_id to, const parcel& out) {
        append(rows_.phases[number], to, out.rows);
        append(pairs_.phases[number], to, out.pairs);
    }

    void append(phase& p, rank_id to, const std::vector<row_index>& rows) {
        p.sends.push_back({to, request_.nodes.tier(request_.rank, to),
                           static_cast<row_index>(p.pack.from.size()),
                           static_cast<row_index>(rows.size())});
        p.pack.from.insert(p.pack.from.end(), rows.begin(), rows.end());
    }

    /// Rows of a message as they come to lie in staging: calls `each(row, pair, expert, new_row)`.
    template <class Each>
    void receive(std::size_t number, rank_id from, std::span<const std::int64_t> words,
                 Each&& each) {
        const row_index rows_before = rows_.staging_rows;
        const row_index pairs_before = pairs_.staging_rows;
        if (!words.empty() && !pair_word::new_row(words.front())) misfit(from, "a row's start");
        for (const std::int64_t word : words) {
            const expert_id expert = pair_word::expert(word);
            if (word < 0 || static_cast<std::size_t>(expert) >= request_.placement.expert_count())
                misfit(from, concat("expert ", expert));
            if (pair_word::new_row(word)) ++rows_.staging_rows;
            each(rows_.source_rows + rows_.staging_rows - 1,
                 pairs_.source_rows + pairs_.staging_rows++, expert, pair_word::new_row(word));
        }
        grow(rows_.phases[number], from, rows_before, rows_.staging_rows);
        grow(pairs_.phases[number], from, pairs_before, pairs_.staging_rows);
    }

    /// One segment a peer and phase, though its rows may come in several pieces.
    void grow(phase& p, rank_id from, row_index begin, row_index end) {
        if (p.receives.empty() || p.receives.back().peer != from)
            p.receives.push_back(
                {from, request_.nodes.tier(request_.rank, from), begin, end - begin});
        else
            p.receives.back().rows += end - begin;
    }

    arrival arrive(rank_id from, row_index row, row_index pair, expert_id expert) const {
        if (request_.placement.rank_of(expert) != request_.rank)
            misfit(from, concat("expert ", expert));
        return {request_.placement.local_index(expert), row, pair};
    }

    void take_own_node(const message& m) {
        auto& list = arrived_.from(m.peer);
        receive(0, m.peer, m.words,
                [&](row_index row, row_index pair, expert_id expert, bool) {
                    list.push_back(arrive(m.peer, row, pair, expert));
                });
    }

    /// Sorts a remote source's rows by the rank on this node that wants them.
    void relay(const message& m) {
        for (onward& o : onward_) o.last_row = -1;
        receive(1, m.peer, m.words, [&](row_index row, row_index pair, expert_id expert, bool) {
            const rank_id to = request_.placement.rank_of(expert);
            if (!request_.nodes.same_node(to, request_.rank))
                misfit(m.peer, concat("expert ", expert));
            if (to == request_.rank) {
                arrived_.from(m.peer).push_back(arrive(m.peer, row, pair, expert));
                return;
            }
            onward& o = onward_[request_.nodes.local_index(to)];
            if (o.last_row < 0) {
                o.count_at = o.message.size() + 1;
                o.message.insert(o.message.end(), {m.peer, 0});
            }
            o.rows.add(row, pair, expert, o.last_row != row);
            o.last_row = row;
            o.message.push_back(o.rows.words.back());
            ++o.message[o.count_at];
        });
    }

    /// What a relay passes on: for each source its number, how many words, and those.
    void take_relayed(const message& m) {
        const std::span<const std::int64_t> words(m.words);
        for (std::size_t at = 0; at < words.size();) {
            const std::size_t left = words.size() - at;
            const std::int64_t source = words[at];
            if (left < 2 || source < 0 ||
                static_cast<std::size_t>(source) >= request_.nodes.rank_count())
                misfit(m.peer, concat("rows of rank ", source));
            const std::int64_t count = words[at + 1];
            if (count <= 0 || static_cast<std::size_t>(count) > left - 2)
                misfit(m.peer, concat(count, " pairs of rank ", source));
            const auto from = static_cast<rank_id>(source);
            auto& list = arrived_.from(from);
            receive(2, m.peer, words.subspan(at + 2, static_cast<std::size_t>(count)),
                    [&](row_index row, row_index pair, expert_id expert, bool) {
                        list.push_back(arrive(m.peer, row, pair, expert));
                    });
            at += 2 + static_cast<std::size_t>(count);
        }
    }

    [[noreturn]] void misfit(rank_id from, std::string_view what) const {
        throw plan_error(concat("locmoe: node_aggregated: rank ", from, " announced ", what,
                                " to rank ", request_.rank,
                                ", which does not fit there: do all ranks hold the same topology "
                                "and expert_placement?"));
    }

    plan_request request_;
    bool exact_;
    kept_pairs kept_;
    arrivals arrived_;
    flow rows_;
    flow pairs_;
    std::map<rank_id, parcel> parcels_[2];  // phases 0 and 1, by the rank they go to

    /// What this rank relays to one rank of its node in phase 2.
    struct onward {
        parcel rows;
        std::vector<std::int64_t> message;  // for each source: its rank, how many words, the words
        std::size_t count_at = 0;           // where the current source's count stands
        row_index last_row = -1;            // of the current source
    };
    std::vector<onward> onward_;  // by local index
};

}  // namespace detail

inline detail::node_aggregated_planner node_aggregated::planner(
    const plan_request& request) const {
    return detail::node_aggregated_planner(request, exact_combine);
}

}  // namespace locmoe
