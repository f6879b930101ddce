#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "locmoe/plan/detail/by_rank.hpp"
#include "locmoe/plan/detail/exact_combine.hpp"
#include "locmoe/plan/detail/finish_plan.hpp"
#include "locmoe/plan/detail/lane_entries.hpp"
#include "locmoe/plan/detail/phase_order.hpp"
#include "locmoe/plan/strategy.hpp"
#include "locmoe/plan/transpose.hpp"

namespace locmoe::inline v0 {

/// One rank's share of a strategy whose rows travel over several ranks: it fills both flows phase
/// by phase, tells the next rank what comes to it, and makes the plan. The strategy only says of
/// each pair which lane it takes next: first of this rank's own pairs, then of those that came in.
///
/// Pairs of one token share a row for as long as they take the same lanes, and combine adds them up
/// where they parted. All that one phase brings is received together; a phase passes on what came
/// before it. Throws plan_error where a message does not fit, and where a lane was filled after its
/// phase left.
class row_forwarder {
  public:
    /// Rows for one rank in one phase.
    class lane {
        friend class row_forwarder;

        void add(std::int64_t run, row_index row, row_index pair, expert_id expert,
                 std::size_t needs) {
            std::uint32_t word = static_cast<std::uint32_t>(expert) * 2;
            if (row != last_row_) {
                if (run != last_run_) start_run(run);
                last_row_ = row;
                ++rows_;
                if (needs > needs_) needs_ = needs;
                ++word;
            }
            entries_.push(row, pair, word);
        }

        /// The run's number takes the places of row and pair.
        void start_run(std::int64_t run) {
            last_run_ = run;
            entries_.push(run >> 32, run & 0xffffffff, new_run);
        }

        bool empty() const { return entries_.empty(); }

        void clear() {
            entries_.clear();
            rows_ = needs_ = 0;
            last_row_ = -1;
        }

        static constexpr std::uint32_t new_run = 0xffffffff;  // twice no expert's number, plus 1

        detail::lane_entries entries_;
        row_index last_row_ = -1;
        std::int64_t last_run_ = 0;
        std::int64_t own_run_ = 0;
        std::size_t rows_ = 0;
        std::size_t needs_ = 0;
    };

    /// `strategy` names the plan, and errors; `phase_names` are those of its phases, in the order
    /// of posting.
    row_forwarder(std::string_view strategy, const plan_request& request,
                  const std::vector<std::string>& phase_names)
        : strategy_(strategy), request_(request), kept_(request), lanes_(phase_names.size()) {
        rows_.source_rows = static_cast<row_index>(request.assigned.token_count);
        pairs_.source_rows = static_cast<row_index>(kept_.experts.size());
        for (const std::string& name : phase_names) {
            rows_.phases.emplace_back().name = name;
            pairs_.phases.emplace_back().name = name;
        }
    }

    /// A move keeps the lanes where they are; a copy could not.
    row_forwarder(row_forwarder&&) = default;

    /// The lane to `rank` in phase `number`: valid as long as the forwarder. The own rank has none
    /// (nullptr: the pair stays). All rows from one rank to another must take the same way; where
    /// they take several, later tokens take a way of a higher number, `way` for own rows in this
    /// lane.
    lane* to(std::size_t number, rank_id rank, std::size_t way = 0) {
        if (rank == request_.rank) return nullptr;
        const auto [place, fresh] = lanes_[number].at(rank);
        lane& l = *place;
        l.own_run_ = run(request_.rank, way);
        if (fresh) l.last_run_ = run(request_.rank, 0);
        return &l;
    }

    /// Puts this rank's own pairs, token by token, into `next(expert, token)`. Once.
    template <class Next>
    void start(Next&& next) {
        if (started_)
            throw plan_error(
                concat("locmoe: ", strategy_, ": rank ", request_.rank, " started twice"));
        started_ = true;
        arrived_.from(request_.rank);
        // In two passes, since each of them writes to many places in turn: the pairs' numbers, then
        // the lanes.
        std::vector<row_index> pairs(kept_.experts.size());
        row_index* pair = pairs.data();
        kept_.place(request_.assigned,
                    [&](row_index, expert_id, row_index number) { *pair++ = number; });
        pair = pairs.data();
        const expert_id* chosen = request_.assigned.expert.data();
        for (row_index token = 0; token < rows_.source_rows; ++token)
            for (std::size_t slot = 0; slot < request_.assigned.choice_count; ++slot) {
                const expert_id expert = *chosen++;
                if (expert == no_expert) continue;
                if (lane* out = next(expert, token)) {
                    out->add(out->own_run_, token, *pair++, expert, 0);
                } else {
                    if (request_.placement.rank_of(expert) != request_.rank)
                        misfit(request_.rank, concat("expert ", expert));
                    arrived_.add(request_.placement.local_index(expert), token, *pair++);
                }
            }
    }

    /// Packs one phase. What comes back must reach those ranks, to be received there.
    std::vector<message> send(std::size_t number) {
        std::vector<message> out;
        phase& rows = rows_.phases[number];
        phase& pairs = pairs_.phases[number];
        std::size_t row_end = rows.pack.from.size();
        std::size_t pair_end = pairs.pack.from.size();
        std::size_t row_count = row_end;
        std::size_t most_pairs = pair_end;
        lanes_[number].from_next(request_.rank, [&](rank_id, const lane& l) {
            row_count += l.rows_;
            most_pairs += l.entries_.size();
        });
        rows.pack.from.resize(row_count);
        pairs.pack.from.resize(most_pairs);
        lanes_[number].from_next(request_.rank, [&](rank_id to, lane& l) {
            if (l.empty()) return;
            message& m = out.emplace_back();
            m.peer = to;
            m.words.resize(l.entries_.size());
            row_index* const row = rows.pack.from.data() + row_end;
            row_index at = -1;  // a new row moves it on
            row_index* pair = pairs.pack.from.data() + pair_end;
            const row_index* const first_pair = pair;
            // A pair's word is its expert times 2, plus 1 where it starts a new row. A negative
            // word says that another run starts; before the first one come the sender's own rows on
            // way 0.
            l.entries_.for_each([&, out_word = m.words.data()](const detail::lane_entry& e) mutable {
                const std::uint32_t word = e.word();
                if (word == lane::new_run) {
                    *out_word++ = -1 - (e.row() << 32 | e.pair());
                    return;
                }
                at += static_cast<row_index>(word & 1);
                row[at] = e.row();
                *pair++ = e.pair();
                *out_word++ = word;
            });
            row_end += l.rows_;
            pair_end += static_cast<std::size_t>(pair - first_pair);
            close(rows, to, static_cast<row_index>(l.rows_), l.needs_);
            close(pairs, to, pair - first_pair, l.needs_);
            l.clear();
        });
        pairs.pack.from.resize(pair_end);
        return out;
    }

    /// Takes in what `send` on rank `m.peer` announced for phase `number`, and puts each pair into
    /// `next(expert)`.
    template <class Next>
    void receive(std::size_t number, const message& m, Next&& next) {
        row_index row = rows_.source_rows + rows_.staging_rows - 1;
        row_index pair = pairs_.source_rows + pairs_.staging_rows;
        const row_index row_before = row;
        const row_index pair_before = pair;
        const std::int64_t runs = run(rank_count(), 0);
        std::int64_t from = run(m.peer, 0);
        bool source_told = false;  // to arrived_
        bool run_starts = true;
        for (const std::int64_t word : m.words) {
            if (word < 0) {
                from = -1 - word;
                if (from >= runs) misfit(m.peer, concat("rows of rank ", from / rank_count()));
                source_told = false;
                run_starts = true;
                continue;
            }
            const std::int64_t number_of_expert = word >> 1;
            if (number_of_expert >= static_cast<std::int64_t>(request_.placement.expert_count()))
                misfit(m.peer, concat("expert ", number_of_expert));
            const auto expert = static_cast<expert_id>(number_of_expert);
            if ((word & 1) != 0)
                ++row;
            else if (run_starts)
                misfit(m.peer, "a row with no start");
            run_starts = false;
            if (lane* out = next(expert)) {
                out->add(from, row, pair, expert, number + 1);
            } else {
                if (request_.placement.rank_of(expert) != request_.rank)
                    misfit(m.peer, concat("expert ", expert));
                if (!source_told)
                    arrived_.from(static_cast<rank_id>(from / rank_count()),
                                  static_cast<std::size_t>(from % rank_count()));
                source_told = true;
                arrived_.add(request_.placement.local_index(expert), row, pair);
            }
            ++pair;
        }
        came_in(rows_, number, m.peer, row - row_before);
        came_in(pairs_, number, m.peer, pair - pair_before);
    }

    /// The plan, once all phases have been sent and received. With `exact_combine` no partial sums
    /// are sent back: each pair's row comes home by itself and is added up there in the order of
    /// `direct`.
    exchange_plan finish(bool exact_combine = false) {
        for (std::size_t p = 0; p < lanes_.size(); ++p)
            lanes_[p].from_next(request_.rank, [&](rank_id to, const lane& l) {
                if (!l.empty())
                    throw plan_error(concat("locmoe: ", strategy_, ": rank ", request_.rank,
                                            " has rows for rank ", to, " in phase ", p,
                                            ", which has been sent"));
            });
        if (!started_)
            throw plan_error(
                concat("locmoe: ", strategy_, ": rank ", request_.rank, " has not started"));
        const detail::phase_order row_order(rows_);
        const detail::phase_order pair_order(pairs_);
        if (!row_order.kept()) {
            row_order.apply(rows_);
            pair_order.apply(pairs_);
            arrived_.renumber(row_order, pair_order);
        }
        exchange_plan plan =
            detail::finish_plan(strategy_, request_, std::move(kept_), std::move(arrived_),
                                std::move(rows_), std::move(pairs_));
        plan.exact_combine = exact_combine;
        plan.combine = exact_combine ? detail::exact_combine(plan) : transpose(plan.dispatch);
        return plan;
    }

  private:
    template <class... Parts>
    static std::string concat(const Parts&... parts) {
        return detail::concat(parts...);
    }

    std::int64_t rank_count() const {
        return static_cast<std::int64_t>(request_.nodes.rank_count());
    }

    /// Rows of one source on one way, as a number.
    std::int64_t run(std::int64_t source, std::size_t way) const {
        return source * rank_count() + static_cast<std::int64_t>(way);
    }

    void close(phase& p, rank_id to, row_index rows, std::size_t needs) const {
        const row_index first = p.sends.empty() ? 0 : p.sends.back().first + p.sends.back().rows;
        p.sends.push_back({to, request_.nodes.tier(request_.rank, to), first, rows});
        if (needs > p.needs) p.needs = needs;
    }

    void came_in(flow& moved, std::size_t number, rank_id from, row_index rows) const {
        if (rows == 0) return;
        moved.phases[number].receives.push_back(
            {from, request_.nodes.tier(request_.rank, from), moved.staging_rows, rows});
        moved.staging_rows += rows;
    }

    [[noreturn]] void misfit(rank_id from, std::string_view what) const {
        throw plan_error(concat("locmoe: ", strategy_, ": rank ", from, " announced ", what,
                                " to rank ", request_.rank,
                                ", which does not fit there: do all ranks hold the same topology "
                                "and expert_placement?"));
    }

    std::string strategy_;
    plan_request request_;
    detail::kept_pairs kept_;
    bool started_ = false;
    detail::arrivals arrived_;
    flow rows_;
    flow pairs_;
    std::vector<detail::by_rank<lane>> lanes_;  // [phases], by the rank that they go to
};

}  // namespace locmoe
