#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "locmoe/core/ids.hpp"
#include "locmoe/plan/message.hpp"

namespace locmoe::inline v0::detail {

/// Messages sorted by sender, turned so that the senders after `rank` come first. Combine sends
/// back in the order of what came in: so its messages, like dispatch's, do not all begin with rank
/// 0.
inline std::vector<message> from_next_rank(rank_id rank, std::vector<message> received) {
    std::size_t first = 0;
    while (first < received.size() && received[first].peer <= rank) ++first;
    std::vector<message> turned;
    turned.reserve(received.size());
    for (std::size_t i = 0; i < received.size(); ++i)
        turned.push_back(std::move(received[(first + i) % received.size()]));
    return turned;
}

}  // namespace locmoe::detail
