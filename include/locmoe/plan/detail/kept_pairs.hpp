#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "locmoe/plan/strategy.hpp"

namespace locmoe::detail {

/// The kept pairs of one rank in the order of `exchange_plan::pair_slots`.
struct kept_pairs {
    std::vector<std::int64_t> slots;    ///< [K]: pair -> token k + slot
    std::vector<expert_id> experts;     ///< [K]
    std::vector<row_index> pair_of;     ///< [T, k]: pair, or -1
    std::size_t travelling = 0;         ///< pairs below this one go to other ranks

    explicit kept_pairs(const plan_request& request) {
        const assignment& a = request.assigned;
        std::vector<row_index> next(a.expert_count + 1, 0);
        for (const expert_id e : a.expert)
            if (e != no_expert) ++next[static_cast<std::size_t>(e)];
        row_index total = 0;
        const auto place = [&](expert_id e) {
            row_index& n = next[static_cast<std::size_t>(e)];
            const row_index count = n;
            n = total;
            total += count;
        };
        // Each rank begins with its next one, so that they do not all send to rank 0 first.
        for (const expert_id e : request.placement.experts_by_rank())
            if (request.placement.rank_of(e) > request.rank) place(e);
        for (const expert_id e : request.placement.experts_by_rank())
            if (request.placement.rank_of(e) < request.rank) place(e);
        travelling = static_cast<std::size_t>(total);
        for (const expert_id e : request.placement.experts_of(request.rank)) place(e);

        slots.resize(static_cast<std::size_t>(total));
        experts.resize(static_cast<std::size_t>(total));
        pair_of.assign(a.expert.size(), -1);
        for (std::size_t i = 0; i < a.expert.size(); ++i) {
            const expert_id e = a.expert[i];
            if (e == no_expert) continue;
            const row_index pair = next[static_cast<std::size_t>(e)]++;
            slots[static_cast<std::size_t>(pair)] = static_cast<std::int64_t>(i);
            experts[static_cast<std::size_t>(pair)] = e;
            pair_of[i] = pair;
        }
    }

    row_index token(std::size_t pair, std::size_t choice_count) const {
        return slots[pair] / static_cast<std::int64_t>(choice_count);
    }
};

}  // namespace locmoe::detail
