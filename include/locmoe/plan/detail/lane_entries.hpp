#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "locmoe/plan/flow.hpp"

namespace locmoe::inline v0::detail {

/// A pair in a lane, or a sign that rows of another run follow, in 16 bytes: what a plan costs is
/// the memory that it touches. Rows and pairs have 48 bits: no memory holds more.
struct lane_entry {
    std::uint64_t row_and_word;  // the word's upper 16 bits
    std::uint64_t pair_and_word;

    lane_entry() = default;
    lane_entry(row_index row, row_index pair, std::uint32_t word)
        : row_and_word(static_cast<std::uint64_t>(row) << 16 | word >> 16),
          pair_and_word(static_cast<std::uint64_t>(pair) << 16 | (word & 0xffff)) {}

    row_index row() const { return static_cast<row_index>(row_and_word >> 16); }
    row_index pair() const { return static_cast<row_index>(pair_and_word >> 16); }
    std::uint32_t word() const {
        return static_cast<std::uint32_t>((row_and_word & 0xffff) << 16 | (pair_and_word & 0xffff));
    }
};

/// The entries of one lane, in chunks that double up to a limit: longer ones are read back faster,
/// shorter ones are still near when they are filled.
class lane_entries {
  public:
    void push(row_index row, row_index pair, std::uint32_t word) {
        if (next_ == end_) grow();
        *next_++ = lane_entry(row, pair, word);
    }

    bool empty() const { return chunks_.empty(); }
    std::size_t size() const { return room_ - static_cast<std::size_t>(end_ - next_); }

    template <class Each>
    void for_each(Each&& each) const {
        for (std::size_t c = 0; c < chunks_.size(); ++c) {
            const lane_entry* const end =
                c + 1 == chunks_.size() ? next_ : chunks_[c].data() + chunks_[c].size();
            for (const lane_entry* e = chunks_[c].data(); e != end; ++e) each(*e);
        }
    }

    void clear() { *this = lane_entries(); }

  private:
    static constexpr std::size_t least = 64;
    static constexpr std::size_t most = 512;

    void grow() {
        const std::size_t size = room_ < least ? least : room_ < most ? room_ : most;
        // Set to zero at once: that brings the memory near, cheaper than an entry here and there.
        chunks_.emplace_back(size);
        next_ = chunks_.back().data();
        end_ = next_ + size;
        room_ += size;
    }

    lane_entry* next_ = nullptr;  // free, in the last chunk
    lane_entry* end_ = nullptr;
    std::size_t room_ = 0;  // of all chunks
    std::vector<std::vector<lane_entry>> chunks_;
};

}  // namespace locmoe::detail
