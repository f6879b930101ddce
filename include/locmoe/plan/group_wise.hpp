#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "locmoe/core/error.hpp"
#include "locmoe/plan/detail/kept_pairs.hpp"
#include "locmoe/plan/detail/plan_head.hpp"
#include "locmoe/plan/strategy.hpp"
#include "locmoe/plan/transpose.hpp"
#include "locmoe/topology/rank_groups.hpp"

namespace locmoe::inline v0 {

namespace detail {
class group_wise_planner;
}

/// For tokens that the g ranks of a tensor-parallel group hold alike, and experts whose weights are
/// split over the ranks of a group (the group-wise exchange of LocMoE). Where each rank sent its
/// rows to its counterpart, a node would send all of them g times. Here each sends its share, the
/// tokens [i T / g, (i + 1) T / g) of rank i of the group, once to each other group that wants
/// them, to the rank of its own index there, and an all-gather inside that group completes the rows
/// on every rank: 1/g of the inter-node rows. Rows for the own group's experts never travel.
///
/// Combine is the way back: a reduce-scatter inside the expert's group adds up what its ranks made
/// of a row (tensor-parallel partial outputs), the sums go home, and an all-gather in the group of
/// the tokens gives all results to each of its ranks, the same bits on all of them.
///
/// Groups are those of `rank_groups`; an expert belongs to the group of its rank. All ranks of a
/// group pass the same assignment, or planning throws plan_error, naming two that do not; that they
/// pass the same tokens and weights is up to the caller.
///
/// Gradients: those of tokens and results are alike on all ranks of a group, as tokens and results
/// are; those of expert rows are partial, as outputs are, and dispatch_backward adds them up (so
/// the expert's input needs no all-reduce of its own). Each rank gets the whole gradient of a
/// weight.
struct group_wise {
    std::size_t group_size;  ///< g; divides the ranks of every node, else argument_error

    /// With the size: "group_wise, groups of 4".
    std::string name() const { return detail::concat("group_wise, groups of ", group_size); }
    /// Makes the planner, of two rounds: to other groups, then inside the own one.
    detail::group_wise_planner planner(const plan_request& request) const;
};

namespace detail {

/// Two rounds: each rank announces its share to the groups, and the own group's ranks compare
/// fingerprints of their assignments; then the ranks of a group tell each other what came in.
class group_wise_planner {
  public:
    static constexpr std::size_t rounds = 2;

    group_wise_planner(const plan_request& request, const group_wise& strategy)
        : request_(request),
          strategy_(strategy.name()),
          groups_(request.nodes, strategy.group_size),
          group_(groups_.group_of(request.rank)),
          me_(groups_.index_in_group(request.rank)),
          // In one order on all ranks of the group.
          kept_({groups_.ranks_of(group_).front(), request.nodes, request.placement,
                 request.assigned}),
          local_expert_(request.placement.expert_count(), nowhere),
          fingerprint_(fingerprint_of(request.assigned, strategy.group_size)),
          leaving_(groups_.group_count()),
          pieces_(groups_.group_count(), std::vector<piece>(strategy.group_size)) {
        for (std::size_t e = 0; e < local_expert_.size(); ++e)
            if (group_of(static_cast<expert_id>(e)) == group_) {
                local_expert_[e] = experts_.size();
                experts_.push_back(static_cast<expert_id>(e));
            }
        set_out();
    }

    std::vector<message> outgoing(std::size_t round) {
        std::vector<message> out;
        if (round == 0)
            for (std::size_t s = 0; s < leaving_.size(); ++s)
                if (!leaving_[s].words.empty())
                    out.push_back({groups_.ranks_of(s)[me_], leaving_[s].words});
        std::vector<std::int64_t> words;
        if (round == 0) words.push_back(fingerprint_);
        for (std::size_t s = 0; round == 1 && s < pieces_.size(); ++s)
            if (s != group_ && pieces_[s][me_].rows > 0) {
                words.push_back(-1 - static_cast<std::int64_t>(s));
                const auto& more = pieces_[s][me_].words;
                words.insert(words.end(), more.begin(), more.end());
            }
        for (const rank_id r : groups_.ranks_of(group_))
            if (r != request_.rank && !words.empty()) out.push_back({r, words});
        return out;
    }

    void incoming(std::size_t round, const std::vector<message>& received) {
        std::size_t compared = 1;
        for (const message& m : received) {
            const std::size_t from = groups_.group_of(m.peer);
            const std::size_t index = groups_.index_in_group(m.peer);
            if (round == 0 && from == group_) {
                if (m.words.size() != 1) misfit(m.peer);
                if (m.words[0] != fingerprint_)
                    throw plan_error(concat("locmoe: group_wise: ranks ", m.peer, " and ",
                                            request_.rank, " stand in one group of ",
                                            groups_.group_size(),
                                            " and hold different assignments"));
                ++compared;
            } else if (round == 0 && index == me_) {
                read(m.peer, m.words, pieces_[from][index]);
            } else if (round == 1 && from == group_) {
                read_forwarded(m, index);
            } else {
                misfit(m.peer);
            }
        }
        if (round == 0 && compared != groups_.group_size()) misfit(request_.rank);
    }

    exchange_plan finish() {
        flow dispatch = make_flow(row_kind::token, false);
        flow combine = bring_home(transpose(make_flow(row_kind::token, true)), row_kind::token);
        flow pair_dispatch = make_flow(row_kind::pair, false);
        flow pair_combine = bring_home(transpose(make_flow(row_kind::pair, true)), row_kind::pair);
        exchange_plan plan = plan_head(strategy_, request_, std::move(kept_));
        const auto members = groups_.ranks_of(group_);
        plan.group.assign(members.begin(), members.end());
        plan.experts = experts_;
        plan.expert_first = expert_first();
        plan.dispatch = std::move(dispatch);
        plan.combine = std::move(combine);
        plan.pair_dispatch = std::move(pair_dispatch);
        plan.pair_combine = std::move(pair_combine);
        return plan;
    }

  private:
    enum class row_kind { token, pair };
    static constexpr std::size_t nowhere = static_cast<std::size_t>(-1);

    /// One share's rows for one group, in the order of tokens and slots. Words are those of
    /// row_forwarder: a pair's expert times 2, plus 1 where it starts a new row.
    struct piece {
        std::vector<std::int64_t> words;
        row_index rows = 0;
        std::vector<row_index> own_tokens;  // [rows] and [words], where they start at this rank
        std::vector<row_index> own_pairs;

        row_index count(row_kind kind) const {
            return kind == row_kind::token ? rows : static_cast<row_index>(words.size());
        }
        const std::vector<row_index>& own(row_kind kind) const {
            return kind == row_kind::token ? own_tokens : own_pairs;
        }
        void add(expert_id expert, row_index token, row_index pair) {
            const bool new_row = own_tokens.empty() || own_tokens.back() != token;
            if (new_row) own_tokens.push_back(token);
            own_pairs.push_back(pair);
            rows += new_row ? 1 : 0;
            words.push_back(static_cast<std::int64_t>(expert) * 2 + (new_row ? 1 : 0));
        }
    };

    std::size_t group_of(expert_id e) const {
        return groups_.group_of(request_.placement.rank_of(e));
    }

    std::vector<std::size_t> shares_of_tokens() const {
        const std::size_t tokens = request_.assigned.token_count;
        const std::size_t parts = groups_.group_size();
        std::vector<std::size_t> shares(tokens);
        for (std::size_t j = 0; j < parts; ++j)
            for (std::size_t t = tokens * j / parts; t < tokens * (j + 1) / parts; ++t)
                shares[t] = j;
        return shares;
    }

    void set_out() {
        const std::vector<std::size_t> shares = shares_of_tokens();
        kept_.place(request_.assigned, [&](row_index token, expert_id e, row_index pair) {
            const std::size_t share = shares[static_cast<std::size_t>(token)];
            const std::size_t to = group_of(e);
            if (to == group_)
                pieces_[group_][share].add(e, token, pair);
            else if (share == me_)
                leaving_[to].add(e, token, pair);
        });
    }

    /// FNV-1a over all of the assignment that the ranks of a group must have alike.
    static std::int64_t fingerprint_of(const assignment& a, std::size_t group_size) {
        std::uint64_t print = 14695981039346656037u;
        const auto mix = [&](std::uint64_t word) { print = (print ^ word) * 1099511628211u; };
        mix(group_size);
        mix(a.token_count);
        mix(a.choice_count);
        for (const expert_id e : a.expert)
            mix(static_cast<std::uint64_t>(static_cast<std::int64_t>(e)));
        return static_cast<std::int64_t>(print);
    }

    void read(rank_id from, std::span<const std::int64_t> words, piece& p) const {
        for (std::size_t i = 0; i < words.size(); ++i) {
            const auto expert = static_cast<std::size_t>(words[i] >> 1);
            const bool new_row = (words[i] & 1) != 0;
            if (expert >= local_expert_.size() || local_expert_[expert] == nowhere ||
                (i == 0 && !new_row))
                misfit(from);
            p.rows += new_row ? 1 : 0;
        }
        p.words.assign(words.begin(), words.end());
    }

    void read_forwarded(const message& m, std::size_t index) {
        const std::span<const std::int64_t> words(m.words);
        for (std::size_t begin = 0; begin < words.size();) {
            const std::int64_t source = -1 - words[begin];
            if (source < 0 || source >= static_cast<std::int64_t>(pieces_.size())) misfit(m.peer);
            std::size_t end = begin + 1;
            while (end < words.size() && words[end] >= 0) ++end;
            read(m.peer, words.subspan(begin + 1, end - begin - 1),
                 pieces_[static_cast<std::size_t>(source)][index]);
            begin = end;
        }
    }

    std::vector<row_index> expert_first() const {
        std::vector<row_index> first(experts_.size() + 1, 0);
        for (const auto& shares : pieces_)
            for (const piece& p : shares)
                for (const std::int64_t word : p.words)
                    ++first[local_expert_[static_cast<std::size_t>(word >> 1)] + 1];
        for (std::size_t e = 0; e < experts_.size(); ++e) first[e + 1] += first[e];
        return first;
    }

    /// The flow to the experts. With `shares_only` it takes each row from the rank whose share it
    /// is in, even for the own group, where every rank has it: its transpose then adds up, at that
    /// one rank, all that the ranks of a group made of the row.
    flow make_flow(row_kind kind, bool shares_only) const {
        const std::size_t parts = groups_.group_size();
        const auto members = groups_.ranks_of(group_);
        flow moved;
        moved.source_rows = kind == row_kind::token
                                ? static_cast<row_index>(request_.assigned.token_count)
                                : static_cast<row_index>(kept_.experts.size());
        // Where the rows of a piece start in staging; nowhere: they are this rank's own.
        std::vector<std::vector<std::size_t>> staged(pieces_.size(),
                                                     std::vector<std::size_t>(parts, nowhere));
        const auto row = [&](std::size_t source, std::size_t share, row_index i) {
            const std::size_t first = staged[source][share];
            if (first == nowhere)
                return pieces_[source][share].own(kind)[static_cast<std::size_t>(i)];
            return moved.source_rows + static_cast<row_index>(first) + i;
        };
        const auto send = [&](phase& step, rank_id to, row_index rows) {
            if (rows > 0)
                step.sends.push_back({to, request_.nodes.tier(request_.rank, to),
                                      static_cast<row_index>(step.pack.from.size()), rows});
        };
        const auto receive = [&](phase& step, rank_id from, row_index rows) {
            if (rows > 0)
                step.receives.push_back({from, request_.nodes.tier(request_.rank, from),
                                         moved.staging_rows, rows});
        };
        const auto stage = [&](std::size_t source, std::size_t share) {
            staged[source][share] = static_cast<std::size_t>(moved.staging_rows);
            moved.staging_rows += pieces_[source][share].count(kind);
        };

        phase out;
        out.name = "shares to groups";
        for (std::size_t d = 1; d < pieces_.size(); ++d) {
            const std::size_t to = (group_ + d) % pieces_.size();
            const std::vector<row_index>& rows = leaving_[to].own(kind);
            send(out, groups_.ranks_of(to)[me_], static_cast<row_index>(rows.size()));
            out.pack.from.insert(out.pack.from.end(), rows.begin(), rows.end());
        }
        for (std::size_t d = 1; d < pieces_.size(); ++d) {
            const std::size_t s = (group_ + d) % pieces_.size();
            receive(out, groups_.ranks_of(s)[me_], pieces_[s][me_].count(kind));
            stage(s, me_);
        }

        phase gather;
        gather.name = "all-gather inside groups";
        const auto travels = [&](std::size_t s) { return s != group_ || shares_only; };
        const auto rows_of_share = [&](std::size_t share) {
            row_index rows = 0;
            for (std::size_t s = 0; s < pieces_.size(); ++s)
                if (travels(s)) rows += pieces_[s][share].count(kind);
            return rows;
        };
        gather.pack.from.reserve((parts - 1) * static_cast<std::size_t>(rows_of_share(me_)));
        for (std::size_t d = 1; d < parts; ++d) {
            send(gather, members[(me_ + d) % parts], rows_of_share(me_));
            for (std::size_t s = 0; s < pieces_.size(); ++s)
                for (row_index i = 0; travels(s) && i < pieces_[s][me_].count(kind); ++i) {
                    gather.pack.from.push_back(row(s, me_, i));
                    if (s != group_) gather.needs = 1;
                }
        }
        for (std::size_t d = 1; d < parts; ++d) {
            const std::size_t share = (me_ + d) % parts;
            receive(gather, members[share], rows_of_share(share));
            for (std::size_t s = 0; s < pieces_.size(); ++s)
                if (travels(s)) stage(s, share);
        }

        std::vector<row_index> next = expert_first();
        moved.deliver.from.resize(static_cast<std::size_t>(next.back()));
        for (std::size_t s = 0; s < pieces_.size(); ++s)
            for (std::size_t share = 0; share < parts; ++share) {
                row_index token_row = -1;
                row_index pair_row = 0;
                for (const std::int64_t word : pieces_[s][share].words) {
                    token_row += word & 1;
                    row_index& at = next[local_expert_[static_cast<std::size_t>(word >> 1)]];
                    moved.deliver.from[static_cast<std::size_t>(at++)] =
                        row(s, share, kind == row_kind::token ? token_row : pair_row++);
                }
            }
        moved.phases.push_back(std::move(out));
        moved.phases.push_back(std::move(gather));
        return moved;
    }

    /// `back` brings each rank the sums of its share; one phase more gives them to its whole group.
    flow bring_home(flow back, row_kind kind) const {
        const std::size_t parts = groups_.group_size();
        if (parts == 1) return back;
        // By row of the result: whose share it is in, or nowhere if nothing comes back for it.
        std::vector<std::size_t> share(back.deliver.rows(), nowhere);
        const std::vector<std::size_t> of_token = shares_of_tokens();
        for (std::size_t i = 0; i < kept_.experts.size(); ++i) {
            const std::size_t token =
                static_cast<std::size_t>(kept_.slots[i]) / request_.assigned.choice_count;
            share[kind == row_kind::token ? token : i] = of_token[token];
        }
        std::vector<row_index> rows_of_share(parts, 0);
        for (const std::size_t j : share)
            if (j != nowhere) ++rows_of_share[j];
        const auto add = [&](row_sums& sums, std::span<const row_index> sources) {
            for (const row_index r : sources) sums.from.push_back(r);
            sums.first.push_back(static_cast<row_index>(sums.from.size()));
        };

        const auto members = groups_.ranks_of(group_);
        phase home;
        home.name = "all-gather of results inside groups";
        home.pack.first.push_back(0);
        for (std::size_t d = 1; d < parts; ++d) {
            if (rows_of_share[me_] == 0) break;
            home.sends.push_back({members[(me_ + d) % parts], link_tier::intra_node,
                                  static_cast<row_index>(home.pack.rows()), rows_of_share[me_]});
            for (std::size_t i = 0; i < share.size(); ++i)
                if (share[i] == me_) add(home.pack, back.deliver.sources(i));
        }
        for (const row_index r : home.pack.from)
            if (r >= back.source_rows) home.needs = back.phases.size();
        std::vector<row_index> next(parts, 0);  // by share: its next row
        for (std::size_t j = 0; j < parts; ++j) {
            if (j == me_ || rows_of_share[j] == 0) continue;
            home.receives.push_back(
                {members[j], link_tier::intra_node, back.staging_rows, rows_of_share[j]});
            next[j] = back.source_rows + back.staging_rows;
            back.staging_rows += rows_of_share[j];
        }
        row_sums results;
        results.from.reserve(share.size());
        results.first.reserve(share.size() + 1);
        results.first.push_back(0);
        for (std::size_t i = 0; i < share.size(); ++i) {
            if (share[i] == me_) {
                add(results, back.deliver.sources(i));
            } else if (share[i] == nowhere) {
                add(results, {});
            } else {
                const row_index r = next[share[i]]++;
                add(results, {&r, 1});
            }
        }
        back.deliver = std::move(results);
        back.phases.push_back(std::move(home));
        return back;
    }

    [[noreturn]] void misfit(rank_id from) const {
        throw plan_error(concat("locmoe: group_wise: what rank ", from, " announced to rank ",
                                request_.rank,
                                " does not fit there: do all ranks hold the same topology, "
                                "expert_placement and group_size?"));
    }

    plan_request request_;
    std::string strategy_;
    rank_groups groups_;
    std::size_t group_;
    std::size_t me_;  // index in the group
    kept_pairs kept_;
    std::vector<expert_id> experts_;          // of the group, ascending
    std::vector<std::size_t> local_expert_;   // by expert: its place in experts_, or nowhere
    std::int64_t fingerprint_;
    std::vector<piece> leaving_;              // by group: of the own share
    std::vector<std::vector<piece>> pieces_;  // [groups, g]: by source and share, for this group
};

}  // namespace detail

inline detail::group_wise_planner group_wise::planner(const plan_request& request) const {
    return {request, *this};
}

}  // namespace locmoe
