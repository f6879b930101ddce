#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace locmoe::inline v0 {

/// What became of choices that got no slot, by cause, and of slots that got no token. Counts of one
/// rank's batch; they merge by sums.
struct drop_ledger {
    std::int64_t capacity = 0;       ///< first choices whose expert was full
    std::int64_t second_choice = 0;  ///< second and later choices whose expert was full
    std::int64_t not_chosen = 0;     ///< slots without an expert: masked, or a second one not taken
    std::int64_t moved = 0;          ///< choices that a second chance gave to another expert
    std::int64_t lost_tokens = 0;    ///< tokens that chose and got no slot at all
    std::int64_t padding = 0;        ///< rows without a token, added to fill or align an expert's

    static constexpr std::size_t count = 6;  ///< counts in a ledger

    /// (token, slot) pairs that chose an expert and got none.
    std::int64_t dropped() const { return capacity + second_choice; }

    /// All six, in the order above, for a sum over ranks.
    std::array<std::int64_t, count> counts() const {
        return {capacity, second_choice, not_chosen, moved, lost_tokens, padding};
    }
    /// The way back from `counts`.
    static drop_ledger from_counts(std::span<const std::int64_t, count> c) {
        return {c[0], c[1], c[2], c[3], c[4], c[5]};
    }

    friend bool operator==(const drop_ledger&, const drop_ledger&) = default;
};

}  // namespace locmoe
