#pragma once

#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "locmoe/core/error.hpp"
#include "locmoe/core/ids.hpp"

namespace locmoe::inline v0 {

/// Which rank holds which expert. Experts need not divide by ranks; a rank may hold none. Every
/// rank of a job must hold the same placement.
class expert_placement {
  public:
    /// Expert e on rank floor(e P / n): neighbours together, shares that differ by one at most, and
    /// where there are fewer experts than ranks, spread evenly over them. Throws argument_error
    /// where there is no rank or expert, or more than ids can number.
    static expert_placement blocked(std::size_t experts, std::size_t ranks) {
        check_counts(experts, ranks);
        std::vector<rank_id> rank_of(experts);
        for (std::size_t e = 0; e < experts; ++e)
            rank_of[e] = static_cast<rank_id>(e * ranks / experts);
        return from_rank_of_expert(std::move(rank_of), ranks);
    }

    /// Expert e on rank e mod P. Throws as `blocked` does.
    static expert_placement round_robin(std::size_t experts, std::size_t ranks) {
        check_counts(experts, ranks);
        std::vector<rank_id> rank_of(experts);
        for (std::size_t e = 0; e < experts; ++e) rank_of[e] = static_cast<rank_id>(e % ranks);
        return from_rank_of_expert(std::move(rank_of), ranks);
    }

    /// Expert e on `rank_of_expert[e]`, each 0 to `ranks` - 1. Throws argument_error otherwise, and
    /// where there is no expert at all.
    static expert_placement from_rank_of_expert(std::vector<rank_id> rank_of_expert,
                                                std::size_t ranks) {
        return expert_placement(std::move(rank_of_expert), ranks);
    }

    std::size_t expert_count() const noexcept { return rank_of_.size(); }  ///< n
    std::size_t rank_count() const noexcept { return first_.size() - 1; }  ///< P

    /// Not checked: `expert` is 0 to n - 1.
    rank_id rank_of(expert_id expert) const { return rank_of_[static_cast<std::size_t>(expert)]; }

    /// The experts of a rank, ascending.
    std::span<const expert_id> experts_of(rank_id rank) const {
        const auto r = static_cast<std::size_t>(rank);
        return {experts_.data() + first_[r], first_[r + 1] - first_[r]};
    }

    /// All experts, those of rank 0 first, then those of rank 1, ...
    std::span<const expert_id> experts_by_rank() const noexcept { return experts_; }

    /// Where `expert` stands among the experts of its rank, from 0.
    std::size_t local_index(expert_id expert) const {
        return local_index_[static_cast<std::size_t>(expert)];
    }

    friend bool operator==(const expert_placement& a, const expert_placement& b) {
        return a.rank_of_ == b.rank_of_ && a.first_ == b.first_;
    }

  private:
    static void check_counts(std::size_t experts, std::size_t ranks) {
        using detail::concat;
        const auto check = [](const char* name, std::size_t count) {
            if (count == 0)
                detail::throw_argument("expert_placement", name, "at least one", "none");
            if (count > most_ids)
                detail::throw_argument("expert_placement", name, concat("at most ", most_ids),
                                       concat(count));
        };
        check("ranks", ranks);
        check("experts", experts);
    }

    expert_placement(std::vector<rank_id> rank_of, std::size_t ranks)
        : rank_of_(std::move(rank_of)) {
        using detail::concat;
        check_counts(rank_of_.size(), ranks);
        first_.assign(ranks + 1, 0);
        for (std::size_t e = 0; e < rank_of_.size(); ++e) {
            const rank_id rank = rank_of_[e];
            if (rank < 0 || static_cast<std::size_t>(rank) >= ranks)
                detail::throw_argument("expert_placement", concat("rank of expert ", e),
                                       concat("0 to P - 1 with P = ", ranks), concat(rank));
            ++first_[static_cast<std::size_t>(rank) + 1];
        }
        for (std::size_t r = 0; r < ranks; ++r) first_[r + 1] += first_[r];
        std::vector<std::size_t> next(first_.begin(), first_.end() - 1);
        experts_.resize(rank_of_.size());
        local_index_.resize(rank_of_.size());
        for (std::size_t e = 0; e < rank_of_.size(); ++e) {
            const auto r = static_cast<std::size_t>(rank_of_[e]);
            local_index_[e] = next[r] - first_[r];
            experts_[next[r]++] = static_cast<expert_id>(e);
        }
    }

    std::vector<rank_id> rank_of_;
    std::vector<std::size_t> first_;  // rank -> its first place in experts_, and one end
    std::vector<expert_id> experts_;
    std::vector<std::size_t> local_index_;
};

}  // namespace locmoe
