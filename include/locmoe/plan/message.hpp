#pragma once

#include <cstdint>
#include <vector>

#include "locmoe/core/ids.hpp"

namespace locmoe::inline v0 {

/// Metadata on its way to `peer`, or come from it: what ranks tell one another while they plan.
struct message {
    rank_id peer = 0;                 ///< 0 to P - 1; as sent the receiver, as received the sender
    std::vector<std::int64_t> words;  ///< what they mean is up to the planner
};

}  // namespace locmoe
