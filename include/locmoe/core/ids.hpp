#pragma once

#include <cstddef>
#include <cstdint>

namespace locmoe::inline v0 {

/// A process of the job, 0 to P - 1. One rank drives one accelerator, or one thread stands for one.
using rank_id = std::int32_t;

/// A machine: the ranks on one node share its memory and its network card. 0 to N - 1.
using node_id = std::int32_t;

/// A feed-forward network behind the router, 0 to n - 1, numbered over all ranks.
using expert_id = std::int32_t;

/// As many ranks, nodes or experts as their ids can number.
inline constexpr std::size_t most_ids = 0x7fffffff;

/// Stands in a routing where a token made no choice (a masked token, a slot left empty).
inline constexpr expert_id no_expert = -1;

/// Stands in an error where no rank is involved.
inline constexpr rank_id no_rank = -1;

}  // namespace locmoe
