#pragma once

#include <cstddef>
#include <vector>

#include "locmoe/plan/flow.hpp"

namespace locmoe::inline v0::detail {

/// Staging rows are numbered as they come in while a plan is made; in a flow they stand phase by
/// phase. This takes the first numbers to the second. Each phase's rows came in together.
class phase_order {
  public:
    explicit phase_order(const flow& moved) : source_rows_(moved.source_rows) {
        row_index begin = moved.source_rows;
        for (const phase& p : moved.phases) {
            if (p.receives.empty()) continue;
            row_index rows = 0;
            for (const segment& s : p.receives) rows += s.rows;
            const row_index came_in = moved.source_rows + p.receives.front().first;
            pieces_.push_back({came_in, came_in + rows, begin - came_in});
            kept_ = kept_ && begin == came_in;
            begin += rows;
        }
    }

    /// The phases came in one after another: nothing moves.
    bool kept() const { return kept_; }

    row_index operator()(row_index row) const {
        if (row >= source_rows_)
            for (const piece& p : pieces_)
                if (row >= p.begin && row < p.end) return row + p.shift;
        return row;
    }

    void apply(flow& moved) const {
        for (phase& p : moved.phases) {
            for (row_index& r : p.pack.from) r = (*this)(r);
            for (segment& s : p.receives) s.first = (*this)(source_rows_ + s.first) - source_rows_;
        }
    }

  private:
    struct piece {
        row_index begin;
        row_index end;
        row_index shift;
    };

    row_index source_rows_;
    std::vector<piece> pieces_;
    bool kept_ = true;
};

}  // namespace locmoe::detail
