#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "locmoe/plan/strategy.hpp"

namespace locmoe::inline v0::detail {

/// The kept pairs of one rank in the order of `exchange_plan::pair_slots`.
struct kept_pairs {
    std::vector<std::int64_t> slots;  ///< [K]: pair -> token k + slot, once `place` has been called
    std::vector<expert_id> experts;   ///< [K]
    std::vector<row_index> count;     ///< [n]: pairs of each expert
    std::size_t travelling = 0;       ///< pairs below this one go to other ranks

    explicit kept_pairs(const plan_request& request) {
        const assignment& a = request.assigned;
        count.assign(a.expert_count, 0);
        std::size_t total = 0;
        for (const expert_id e : a.expert)
            if (e != no_expert) {
                ++count[static_cast<std::size_t>(e)];
                ++total;
            }
        slots.resize(total);
        experts.reserve(total);
        next_.resize(a.expert_count);
        const auto set = [&](expert_id e) {
            const auto pairs = static_cast<std::size_t>(count[static_cast<std::size_t>(e)]);
            next_[static_cast<std::size_t>(e)] = static_cast<row_index>(experts.size());
            experts.insert(experts.end(), pairs, e);
        };
        // Each rank begins with its next one, so that they do not all send to rank 0 first.
        const auto by_rank = request.placement.experts_by_rank();
        for (const expert_id e : by_rank)
            if (request.placement.rank_of(e) > request.rank) set(e);
        for (const expert_id e : by_rank)
            if (request.placement.rank_of(e) < request.rank) set(e);
        travelling = experts.size();
        for (const expert_id e : request.placement.experts_of(request.rank)) set(e);
    }

    /// Calls `each(token, expert, pair)` for every kept pair, in the order of tokens and slots.
    /// Once only.
    template <class Each>
    void place(const assignment& a, Each&& each) {
        std::size_t i = 0;
        for (std::size_t token = 0; token < a.token_count; ++token)
            for (std::size_t slot = 0; slot < a.choice_count; ++slot, ++i) {
                const expert_id e = a.expert[i];
                if (e == no_expert) continue;
                const row_index pair = next_[static_cast<std::size_t>(e)]++;
                slots[static_cast<std::size_t>(pair)] = static_cast<std::int64_t>(i);
                each(static_cast<row_index>(token), e, pair);
            }
    }

  private:
    std::vector<row_index> next_;  // by expert: its next pair
};

}  // namespace locmoe::detail
