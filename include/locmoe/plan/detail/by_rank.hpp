#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "locmoe/core/ids.hpp"

namespace locmoe::inline v0::detail {

/// A `T` for each rank that was asked for, in the order of ranks. Each stays where it lies, through
/// later ranks and moves of the whole.
template <class T>
class by_rank {
  public:
    /// That of `rank`, and whether it is new: T{}.
    std::pair<T*, bool> at(rank_id rank) {
        const std::size_t place = first_from(rank);
        const bool fresh = place == entries_.size() || entries_[place].rank != rank;
        if (fresh)
            entries_.insert(entries_.begin() + static_cast<std::ptrdiff_t>(place),
                            entry{rank, std::vector<T>(1)});
        return {entries_[place].value.data(), fresh};
    }

    /// Calls `visit(rank, value)` for the ranks after `rank`, then for the others: each rank begins
    /// with its next one, so that they do not all send to rank 0 first.
    template <class Visit>
    void from_next(rank_id rank, Visit&& visit) {
        visit_from_next(*this, rank, visit);
    }
    template <class Visit>
    void from_next(rank_id rank, Visit&& visit) const {
        visit_from_next(*this, rank, visit);
    }

  private:
    struct entry {
        rank_id rank;
        std::vector<T> value;  // one, on the heap
    };

    std::size_t first_from(rank_id rank) const {
        if (entries_.empty() || entries_.back().rank < rank) return entries_.size();
        std::size_t low = 0, high = entries_.size();
        while (low < high) {
            const std::size_t middle = (low + high) / 2;
            if (entries_[middle].rank < rank)
                low = middle + 1;
            else
                high = middle;
        }
        return low;
    }

    template <class Self, class Visit>
    static void visit_from_next(Self& self, rank_id rank, Visit&& visit) {
        const std::size_t count = self.entries_.size();
        const std::size_t next = self.first_from(rank + 1);
        for (std::size_t i = 0; i < count; ++i) {
            auto& [peer, value] = self.entries_[(next + i) % count];
            visit(peer, value[0]);
        }
    }

    std::vector<entry> entries_;
};

}  // namespace locmoe::detail
