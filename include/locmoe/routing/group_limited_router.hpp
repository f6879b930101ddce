#pragma once

#include <cstddef>
#include <span>
#include <utility>

#include "locmoe/routing/group_limited_choice.hpp"
#include "locmoe/routing/scored_router.hpp"
#include "locmoe/routing/weighting.hpp"

namespace locmoe::inline v0 {

/// How many experts a token gets, and in how many groups they may lie.
struct group_limited_options {
    std::size_t k = 6;       ///< experts a token, 1 to n
    std::size_t groups = 8;  ///< G, of neighbouring experts, 1 to n
    /// M, and what a group is worth to a token.
    group_limit limit = {.limit = 3, .score = group_score::best};
    weighting weights = {};            ///< the scores themselves by default
    std::span<const float> bias = {};  ///< [n], steers the choice alone; empty: none
    own_loss_options losses = {};      ///< the auxiliary loss alone by default
};

/// Group-limited top-k over any gate: a token's k experts lie in at most M of G groups of
/// neighbouring experts. The defaults are DeepSeek-V2's (arXiv 2405.04434, section 2.1.3:
/// device-limited routing): softmax, a group counts as its best expert, weights left as they are.
template <class Gate, class Score = softmax_score>
class group_limited_router : public scored_router<Gate, Score, group_limited_choice> {
  public:
    /// Throws argument_error unless 1 <= k <= n, 1 <= M and 1 <= G <= n.
    explicit group_limited_router(Gate gate, group_limited_options options = {})
        : scored_router<Gate, Score, group_limited_choice>(
              gate,
              group_limited_choice(options.k, options.weights,
                                   expert_groups::blocked(gate.expert_count(), options.groups),
                                   options.limit, options.bias),
              options.losses) {}
};

/// How many experts a token gets, and on how many nodes they may lie.
struct node_limited_options {
    std::size_t k = 8;  ///< experts a token, 1 to n
    /// M, and what a node is worth to a token.
    group_limit limit = {.limit = 4, .score = group_score::best_k_over_limit};
    weighting weights = {.renormalise = true};  ///< scores over their sum by default
    std::span<const float> bias = {};           ///< [n], steers the choice alone; empty: none
    own_loss_options losses = {};               ///< the auxiliary loss alone by default
};

/// Node-limited top-k over any gate: a token's k experts lie on at most M nodes, as topology and
/// placement have them, so that its row crosses the network at most M times. The defaults are
/// DeepSeek-V3's (arXiv 2412.19437, section 2.1.2): M = 4, a node counts as its best k / M experts.
/// Where M nodes hold fewer than k experts the last slots stay `no_expert`.
template <class Gate, class Score = sigmoid_score>
class node_limited_router : public scored_router<Gate, Score, node_limited_choice> {
  public:
    /// Throws argument_error unless 1 <= k <= n.
    explicit node_limited_router(Gate gate, node_limited_options options = {})
        : scored_router<Gate, Score, node_limited_choice>(
              std::move(gate),
              node_limited_choice(options.k, options.weights, options.limit, options.bias),
              options.losses) {}
};

}  // namespace locmoe
