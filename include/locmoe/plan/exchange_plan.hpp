#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "locmoe/core/ids.hpp"
#include "locmoe/plan/cost_estimate.hpp"
#include "locmoe/plan/flow.hpp"
#include "locmoe/plan/traffic.hpp"

namespace locmoe::inline v0 {

/// One rank's share of an All-to-All, as plain data: it holds no tokens, no pointers and no
/// communicator, and may be copied, printed, checked and used for any number of tensors.
///
/// - `dispatch` takes token rows [T] to expert rows [R]; `combine` is its transpose.
/// - `pair_dispatch` takes one row for each kept (token, slot) pair [K] to the same expert rows;
///   `pair_combine` is its transpose. Gate weights and their gradients travel this way.
///
/// Expert rows are sorted by the rank's experts, then by the rank that the token came from, then by
/// token and slot: the same under every strategy. A padded plan has as many rows for each expert
/// and source, in blocks [expert][source][C]: first the kept pairs in the usual order, then empty
/// rows. Dispatch gives zeros there, and what the experts write there goes nowhere.
///
/// In a plan for a group, all its ranks hold the same tokens and pairs and get the same expert
/// rows, for experts that are split over them; tokens come from the group, not from one of its
/// ranks. Combine adds up what the ranks made of a row and gives each of them all of the group's
/// tokens: <A x, y> = <x, combine y> where x, alike over each group, is counted once a group.
struct exchange_plan {
    std::string strategy;          ///< `name()` of the strategy, with the order put on it
    rank_id rank = 0;              ///< whose share it is
    std::size_t rank_count = 0;    ///< P
    std::size_t token_count = 0;   ///< T, this rank's
    std::size_t choice_count = 0;  ///< k

    /// [K]: pair -> token k + slot. Pairs are sorted by the rank of their expert (from the next
    /// rank on, around to this rank itself), by expert, by token and slot; in a group as on its
    /// first.
    std::vector<std::int64_t> pair_slots;
    std::vector<expert_id> pair_experts;  ///< [K]

    std::vector<expert_id> experts;       ///< this rank's, ascending
    std::vector<row_index> expert_first;  ///< [experts + 1]: rows of experts[i] start here
    std::int64_t rows_per_source = 0;     ///< C of a padded plan; 0: not padded
    std::int64_t dropped_pairs = 0;       ///< pairs of this rank that found no room
    bool exact_combine = false;           ///< combine brings each pair home by itself

    /// The ranks, ascending, that hold the same tokens and, each a part of them, the same experts.
    /// Empty: this rank stands for itself.
    std::vector<rank_id> group;

    std::optional<plan_choice> choice;  ///< why this strategy; none where the caller named it

    flow dispatch;       ///< token rows [T] -> expert rows [R]
    flow combine;        ///< expert rows [R] -> token rows [T], the sum of each token's
    flow pair_dispatch;  ///< pair rows [K] -> expert rows [R]
    flow pair_combine;   ///< expert rows [R] -> pair rows [K]

    /// The rank that stands for the group where it is counted once.
    rank_id first_of_group() const { return group.empty() ? rank : group.front(); }

    /// K. In a group, that of each of its ranks: they hold the same pairs.
    std::size_t pair_count() const { return pair_slots.size(); }
    /// R, with the empty rows of a padded plan. Only of a plan that was made: not of
    /// `exchange_plan{}`.
    std::size_t expert_row_count() const { return static_cast<std::size_t>(expert_first.back()); }

    /// What this rank sends in one dispatch of rows of `row_bytes` bytes.
    locmoe::traffic traffic(std::size_t row_bytes) const {
        return count_traffic(dispatch, row_bytes);
    }

    friend bool operator==(const exchange_plan&, const exchange_plan&) = default;
};

}  // namespace locmoe
