#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "locmoe/plan/strategy.hpp"

namespace locmoe::inline v0::detail {

/// Counts tokens by place, each token once to a place. Tokens come in ascending order.
class once_counter {
  public:
    explicit once_counter(std::size_t places) : rows_(places, 0), last_token_(places, -1) {}

    void add(std::size_t place, std::int64_t token) {
        if (last_token_[place] == token) return;
        last_token_[place] = token;
        ++rows_[place];
    }
    std::int64_t rows(std::size_t place) const { return rows_[place]; }

  private:
    std::vector<std::int64_t> rows_;
    std::vector<std::int64_t> last_token_;
};

/// Calls `visit(token, rank)` for every kept pair of the request's rank, `rank` being its expert's.
template <class Visit>
void for_each_pair(const plan_request& request, Visit&& visit) {
    const assignment& a = request.assigned;
    std::size_t i = 0;
    for (std::size_t token = 0; token < a.token_count; ++token)
        for (std::size_t slot = 0; slot < a.choice_count; ++slot, ++i)
            if (a.expert[i] != no_expert)
                visit(static_cast<std::int64_t>(token), request.placement.rank_of(a.expert[i]));
}

inline std::size_t largest_node(const topology& nodes) {
    std::size_t most = 0;
    for (std::size_t n = 0; n < nodes.node_count(); ++n) {
        const std::size_t ranks = nodes.ranks_of(static_cast<node_id>(n)).size();
        most = ranks > most ? ranks : most;
    }
    return most;
}

inline std::size_t smallest_node(const topology& nodes) {
    std::size_t least = nodes.rank_count();
    for (std::size_t n = 0; n < nodes.node_count(); ++n) {
        const std::size_t ranks = nodes.ranks_of(static_cast<node_id>(n)).size();
        least = ranks < least ? ranks : least;
    }
    return least;
}

}  // namespace locmoe::detail
