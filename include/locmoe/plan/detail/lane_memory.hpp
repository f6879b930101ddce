#pragma once

#include <cstddef>
#include <vector>

#include "locmoe/core/ids.hpp"
#include "locmoe/plan/flow.hpp"

namespace locmoe::inline v0::detail {

/// A pair in a lane. Without an expert, a sign that rows of another run follow: `row` is its
/// number.
struct lane_entry {
    row_index row;  // in the numbering of this rank's flows
    row_index pair;
    expert_id expert;
    bool new_row;
};

struct lane_chunk {
    static constexpr std::size_t size = 64;

    // Set to zero at once: that brings the memory near, cheaper than one entry here and one there.
    lane_entry entries[size] = {};
    lane_chunk* next = nullptr;
};

/// The memory of all lanes of a rank: chunks of what was sent are used again.
class lane_memory {
  public:
    lane_chunk* take() {
        if (unused_ == nullptr) return all_.emplace_back(1).data();
        lane_chunk* const chunk = unused_;
        unused_ = chunk->next;
        *chunk = lane_chunk{};
        return chunk;
    }

    void give_back(lane_chunk* first, lane_chunk* last) {
        last->next = unused_;
        unused_ = first;
    }

  private:
    std::vector<std::vector<lane_chunk>> all_;  // one each, so that it stays where it lies
    lane_chunk* unused_ = nullptr;
};

}  // namespace locmoe::detail
