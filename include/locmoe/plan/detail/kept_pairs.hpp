#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "locmoe/core/detail/reused.hpp"
#include "locmoe/plan/strategy.hpp"

namespace locmoe::inline v0::detail {

/// The kept pairs of one rank in the order of `exchange_plan::pair_slots`.
struct kept_pairs {
    std::vector<std::int64_t> slots;  ///< [K]: pair -> token k + slot, once `place` has been called
    std::vector<expert_id> experts;   ///< [K]
    std::vector<row_index> count;     ///< [n]: pairs of each expert
    std::size_t travelling = 0;       ///< pairs below this one go to other ranks

    explicit kept_pairs(const plan_request& request) {
        const std::size_t total = count_pairs(request.assigned);
        experts.resize(total);
        expert_id* to = experts.data();
        const auto set = [&](expert_id e) {
            for (row_index i = count[static_cast<std::size_t>(e)]; i > 0; --i) *to++ = e;
        };
        // Each rank begins with its next one, so that they do not all send to rank 0 first.
        const auto by_rank = request.placement.experts_by_rank();
        for (const expert_id e : by_rank)
            if (request.placement.rank_of(e) > request.rank) set(e);
        for (const expert_id e : by_rank)
            if (request.placement.rank_of(e) < request.rank) set(e);
        travelling = static_cast<std::size_t>(to - experts.data());
        for (const expert_id e : request.placement.experts_of(request.rank)) set(e);
    }

    /// Calls `each(token, expert, pair)` for every kept pair, in the order of tokens and slots.
    template <class Each>
    void place(const assignment& a, Each&& each) {
        slots.resize(experts.size());
        const auto next = reused<row_index, kept_pairs>(count.size());
        for (std::size_t i = 0; i < experts.size();) {
            const auto e = static_cast<std::size_t>(experts[i]);
            next[e] = static_cast<row_index>(i);
            i += static_cast<std::size_t>(count[e]);
        }
        std::int64_t* const slot_of = slots.data();
        row_index token = 0;
        std::size_t slot = 0;
        for (std::size_t i = 0; i < a.expert.size(); ++i) {
            if (const expert_id e = a.expert[i]; e != no_expert) {
                const row_index pair = next[static_cast<std::size_t>(e)]++;
                slot_of[pair] = static_cast<std::int64_t>(i);
                each(token, e, pair);
            }
            if (++slot == a.choice_count) {
                slot = 0;
                ++token;
            }
        }
    }

  private:
    /// Fills `count`, and adds it up. Two pairs in turn count in tables of their own, where they do
    /// not wait for each other, and those without an expert in a place of theirs.
    std::size_t count_pairs(const assignment& a) {
        const std::size_t n = a.expert_count, pairs = a.expert.size();
        const auto memory = reused<row_index, kept_pairs>(2 * (n + 1));
        row_index* const even = memory.data() + 1;
        row_index* const odd = even + n + 1;
        for (row_index& c : memory) c = 0;
        std::size_t i = 0;
        for (; i + 2 <= pairs; i += 2) {
            ++even[a.expert[i]];
            ++odd[a.expert[i + 1]];
        }
        if (i < pairs) ++even[a.expert[i]];
        count.resize(n);
        std::size_t total = 0;
        for (std::size_t e = 0; e < n; ++e) {
            count[e] = even[e] + odd[e];
            total += static_cast<std::size_t>(count[e]);
        }
        return total;
    }
};

}  // namespace locmoe::detail
