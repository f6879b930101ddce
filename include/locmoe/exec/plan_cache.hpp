#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "locmoe/assign/assignment.hpp"
#include "locmoe/core/error.hpp"
#include "locmoe/exec/best_plan.hpp"
#include "locmoe/exec/detail/agreed.hpp"
#include "locmoe/exec/executor.hpp"
#include "locmoe/plan/choose.hpp"
#include "locmoe/plan/exchange_plan.hpp"

namespace locmoe::inline v0 {

/// How many plans are kept, and when a choice of strategy is made anew. The same on all ranks.
struct plan_cache_options {
    std::size_t entries = 4;  ///< at least 1

    /// A choice of strategy is used again while, on every rank, at most this fraction of the pairs
    /// would have to go to another rank to give the counts that it was made for.
    double drift = 0.1;
};

/// What became of the calls of `plan_cache::plan`.
struct plan_cache_counts {
    std::size_t plans_reused = 0;    ///< nothing was planned
    std::size_t choices_reused = 0;  ///< planned by the strategy of an earlier call
    std::size_t choices_made = 0;    ///< all strategies were priced, then planned
};

/// The best plans of a training, step by step; where nothing new has to be found out, at the cost
/// of two agreements, with nothing allocated. A plan is used again where every rank has assigned
/// the same as before (a recomputed forward pass, a layer that shares another's routing, a router
/// that does not learn). Else a choice of strategy is used again where every rank sends about the
/// same counts to the others as before. Else all strategies are priced. Entries that were used
/// longest ago make place.
///
/// `exchange` outlives it. All ranks build it and call `plan` together, with the same options.
template <class Executor, class Candidates>
class plan_cache {
  public:
    /// Collective. Throws argument_error where there is no entry or `drift` is not in 0 to 1,
    /// plan_error where the ranks' `cache` differ.
    plan_cache(Executor& exchange, plan_options options, Candidates from,
               plan_cache_options cache = {})
        : exchange_(&exchange),
          options_(std::move(options)),
          from_(std::move(from)),
          cache_(cache) {
        using detail::concat;
        const common_value same[] = {{"number of entries", cache.entries, true},
                                     {"drift", std::bit_cast<std::uint64_t>(cache.drift)}};
        detail::agreed(exchange.backend(), "plan_cache", same, [&] {
            if (cache.entries == 0)
                detail::throw_argument("plan_cache", "entries", "at least 1", "0",
                                       exchange.backend().rank());
            if (!(cache.drift >= 0 && cache.drift <= 1))
                detail::throw_argument("plan_cache", "drift", "0 to 1", concat(cache.drift),
                                       exchange.backend().rank());
        });
    }

    /// This rank's plan; it stays until as many other plans were made as there are entries.
    const exchange_plan& plan(const assignment& assigned) {
        detail::agreed(exchange_->backend(), "plan_cache::plan", [&] {
            check_request({exchange_->backend().rank(), exchange_->nodes(),
                           exchange_->placement(), assigned});
            count(assigned);
        });
        const auto same_plan = [&](const entry& e) { return same(e.assigned, assigned); };
        if (const std::size_t i = first(same_plan); i < kept_.size()) {
            ++counts_.plans_reused;
            to_front(i);
            return kept_.front().plan;
        }
        entry fresh;
        const auto same_choice = [&](const entry& e) { return near(e.counts, now_); };
        if (const std::size_t i = first(same_choice); i < kept_.size()) {
            ++counts_.choices_reused;
            fresh.choice = kept_[i].choice;
            fresh.counts = kept_[i].counts;  // of the choice: a slow drift does not go unnoticed
        } else {
            ++counts_.choices_made;
            fresh.choice = detail::choose_together(*exchange_, assigned, options_, from_);
            fresh.counts = now_;
        }
        fresh.assigned = assigned;
        fresh.plan = detail::plan_chosen(*exchange_, assigned, from_, fresh.choice);
        if (kept_.size() < cache_.entries)
            kept_.push_back(std::move(fresh));
        else
            kept_.back() = std::move(fresh);
        to_front(kept_.size() - 1);
        return kept_.front().plan;
    }

    /// What became of all calls so far: the same on all ranks.
    const plan_cache_counts& counts() const { return counts_; }

  private:
    struct entry {
        assignment assigned;
        std::vector<std::int64_t> counts;  // [P]: pairs of this rank for each rank
        chosen_strategy choice;
        exchange_plan plan;
    };

    void count(const assignment& assigned) {
        now_.assign(exchange_->nodes().rank_count(), 0);
        for (const expert_id e : assigned.expert)
            if (e != no_expert) ++now_[static_cast<std::size_t>(exchange_->placement().rank_of(e))];
    }

    /// The first entry that fits on all ranks, or as many as there are. In the sum of an agreement
    /// each entry has bits of its own, enough to count the ranks that it fits on.
    template <class Fits>
    std::size_t first(const Fits& fits) {
        auto& backend = exchange_->backend();
        const std::uint64_t ranks = backend.rank_count();
        const auto bits = static_cast<std::size_t>(std::bit_width(ranks));
        const std::size_t at_once = 64 / bits;
        for (std::size_t begin = 0; begin < kept_.size(); begin += at_once) {
            const std::size_t rest = kept_.size() - begin, count = rest < at_once ? rest : at_once;
            std::uint64_t here = 0;
            for (std::size_t i = 0; i < count; ++i)
                here |= std::uint64_t{fits(kept_[begin + i])} << i * bits;
            std::uint64_t everywhere = backend.agree({}, here);
            for (std::size_t i = 0; i < count; ++i, everywhere >>= bits)
                if ((everywhere & ((std::uint64_t{1} << bits) - 1)) == ranks) return begin + i;
        }
        return kept_.size();
    }

    static bool same(const assignment& a, const assignment& b) {
        return a.token_count == b.token_count && a.choice_count == b.choice_count &&
               a.expert == b.expert && a.dropped == b.dropped;
    }

    bool near(const std::vector<std::int64_t>& a, const std::vector<std::int64_t>& b) const {
        std::int64_t apart = 0;
        std::int64_t all = 0;
        for (std::size_t r = 0; r < a.size(); ++r) {
            apart += a[r] > b[r] ? a[r] - b[r] : 0;
            apart += b[r] > a[r] ? b[r] - a[r] : 0;
            all += a[r] + b[r];
        }
        return static_cast<double>(apart) <= cache_.drift * static_cast<double>(all);
    }

    void to_front(std::size_t i) {
        for (; i > 0; --i) std::swap(kept_[i], kept_[i - 1]);
    }

    Executor* exchange_;
    plan_options options_;
    Candidates from_;
    plan_cache_options cache_;
    std::vector<entry> kept_;        // the last used first
    std::vector<std::int64_t> now_;  // [P]: counts of the assignment that is asked for
    plan_cache_counts counts_;
};

}  // namespace locmoe
