#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "locmoe/core/ids.hpp"

namespace locmoe::inline v0 {

/// What a rank's `start` has put on the wire since the last `clear`: bytes and blocks per
/// destination, so that a plan's own count can be held against it. Metadata (`exchange_messages`,
/// `scan_counts`, `agree`) is not in it; a block that a transport cuts into chunks is one message.
class sent_traffic {
  public:
    /// Nothing sent yet to any of so many ranks.
    explicit sent_traffic(std::size_t ranks) : bytes_(ranks, 0), messages_(ranks, 0) {}

    /// Bytes of all blocks for that rank.
    std::int64_t bytes_to(rank_id rank) const { return bytes_[static_cast<std::size_t>(rank)]; }
    /// Blocks for that rank.
    std::int64_t messages_to(rank_id rank) const {
        return messages_[static_cast<std::size_t>(rank)];
    }

    /// Counts one block; for backends.
    void record(rank_id to, std::size_t bytes) {
        bytes_[static_cast<std::size_t>(to)] += static_cast<std::int64_t>(bytes);
        ++messages_[static_cast<std::size_t>(to)];
    }
    /// Begins anew, so that one exchange can be counted by itself.
    void clear() {
        bytes_.assign(bytes_.size(), 0);
        messages_.assign(messages_.size(), 0);
    }

  private:
    std::vector<std::int64_t> bytes_;
    std::vector<std::int64_t> messages_;
};

}  // namespace locmoe
