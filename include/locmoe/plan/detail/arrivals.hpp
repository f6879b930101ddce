#pragma once

#include <cstddef>
#include <map>
#include <utility>
#include <vector>

#include "locmoe/plan/flow.hpp"

namespace locmoe::detail {

/// A pair that has come to its expert's rank: which of the rank's experts wants it, and where it lies
/// in the row flow and in the pair flow.
struct arrival {
    std::size_t local_expert = 0;
    row_index row = 0;
    row_index pair = 0;
};

/// Everything that arrives at one rank, whatever the way and the order it came in, kept by the rank
/// that it started from. One source's arrivals are added in the order of its tokens and slots; where
/// they come on several ways, later tokens come on a way of a higher number.
class arrivals {
  public:
    std::vector<arrival>& from(rank_id source, std::size_t way = 0) {
        return by_source_[{source, way}];
    }

    /// Gives every row and pair its number by `rows` and `pairs`.
    template <class Rows, class Pairs>
    void renumber(const Rows& rows, const Pairs& pairs) {
        for (auto& [source, list] : by_source_)
            for (arrival& a : list) a = {a.local_expert, rows(a.row), pairs(a.pair)};
    }

    struct layout {
        std::vector<row_index> expert_first;
        row_sums rows;
        row_sums pairs;
    };

    /// Sorted by expert, then source, then the source's own order: a counting sort.
    layout sorted(std::size_t local_experts) const {
        layout out;
        out.expert_first.assign(local_experts + 1, 0);
        for (const auto& [source, list] : by_source_)
            for (const arrival& a : list) ++out.expert_first[a.local_expert + 1];
        for (std::size_t e = 0; e < local_experts; ++e)
            out.expert_first[e + 1] += out.expert_first[e];
        const auto total = static_cast<std::size_t>(out.expert_first.back());
        out.rows.from.resize(total);
        out.pairs.from.resize(total);
        std::vector<row_index> next(out.expert_first.begin(), out.expert_first.end() - 1);
        for (const auto& [source, list] : by_source_)
            for (const arrival& a : list) {
                const auto place = static_cast<std::size_t>(next[a.local_expert]++);
                out.rows.from[place] = a.row;
                out.pairs.from[place] = a.pair;
            }
        return out;
    }

  private:
    std::map<std::pair<rank_id, std::size_t>, std::vector<arrival>> by_source_;  // and way
};

}  // namespace locmoe::detail
