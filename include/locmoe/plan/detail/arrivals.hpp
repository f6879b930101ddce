#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "locmoe/core/detail/merge_sort.hpp"
#include "locmoe/core/ids.hpp"
#include "locmoe/plan/flow.hpp"

namespace locmoe::inline v0::detail {

/// Everything that arrives at one rank, whatever the way and the order it came in, kept by the rank
/// that it started from. One source's arrivals are added in the order of its tokens and slots;
/// where they come on several ways, later tokens come on a way of a higher number.
class arrivals {
  public:
    /// What is added from now on started from `source`.
    void from(rank_id source, std::size_t way = 0) {
        if (!runs_.empty()) runs_.back().end = blocks_.size();
        runs_.push_back({source, way, blocks_.size(), 0});
    }

    /// A pair that one of the rank's experts wants: where it lies in the row flow and in the pair
    /// flow.
    void add(std::size_t local_expert, row_index row, row_index pair) {
        const auto expert = static_cast<expert_id>(local_expert);
        if (blocks_.size() > runs_.back().begin) {
            block& last = blocks_.back();
            if (expert == last.local_expert && row == last.row + last.count &&
                pair == last.pair + last.count && last.count < most) {
                ++last.count;
                return;
            }
        }
        blocks_.push_back({expert, 1, row, pair});
    }

    /// The same for `count` pairs that lie one after the other in both flows.
    void add(std::size_t local_expert, row_index row, row_index pair, row_index count) {
        for (row_index done = 0; done < count;) {
            const row_index now = count - done < most ? count - done : most;
            blocks_.push_back({static_cast<expert_id>(local_expert),
                               static_cast<std::uint32_t>(now), row + done, pair + done});
            done += now;
        }
    }

    /// Gives every row and pair its number by `rows` and `pairs`, which leave together what came in
    /// together.
    template <class Rows, class Pairs>
    void renumber(const Rows& rows, const Pairs& pairs) {
        for (block& b : blocks_) {
            b.row = rows(b.row);
            b.pair = pairs(b.pair);
        }
    }

    struct layout {
        std::vector<row_index> expert_first;
        row_sums rows;
        row_sums pairs;
    };

    /// Sorted by expert, then source, then the source's own order: a counting sort.
    layout sorted(std::size_t local_experts) {
        if (!runs_.empty()) runs_.back().end = blocks_.size();
        merge_sort(runs_, [](const run& a, const run& b) {
            if (a.source != b.source) return a.source < b.source;
            return a.way != b.way ? a.way < b.way : a.begin < b.begin;
        });
        layout out;
        out.expert_first.assign(local_experts + 1, 0);
        for (const block& b : blocks_)
            out.expert_first[static_cast<std::size_t>(b.local_expert) + 1] += b.count;
        for (std::size_t e = 0; e < local_experts; ++e)
            out.expert_first[e + 1] += out.expert_first[e];
        const auto total = static_cast<std::size_t>(out.expert_first.back());
        out.rows.from.resize(total);
        out.pairs.from.resize(total);
        std::vector<row_index> next(out.expert_first.begin(), out.expert_first.end() - 1);
        for (const run& r : runs_)
            for (std::size_t i = r.begin; i < r.end; ++i) {
                const block& b = blocks_[i];
                row_index& place = next[static_cast<std::size_t>(b.local_expert)];
                row_index* row = out.rows.from.data() + place;
                row_index* pair = out.pairs.from.data() + place;
                place += b.count;
                for (row_index n = 0; n < b.count; ++n) {
                    row[n] = b.row + n;
                    pair[n] = b.pair + n;
                }
            }
        return out;
    }

  private:
    static constexpr row_index most = std::numeric_limits<std::uint32_t>::max();

    /// Pairs for one expert that lie one after the other in both flows.
    struct block {
        expert_id local_expert;
        std::uint32_t count;
        row_index row;
        row_index pair;
    };

    /// Blocks that started from one rank and came one way.
    struct run {
        rank_id source;
        std::size_t way;
        std::size_t begin;
        std::size_t end;
    };

    std::vector<block> blocks_;
    std::vector<run> runs_;
};

}  // namespace locmoe::detail
