#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "locmoe/core/error.hpp"
#include "locmoe/core/ids.hpp"
#include "locmoe/routing/detail/check.hpp"
#include "locmoe/routing/detail/loss_check.hpp"
#include "locmoe/routing/routing.hpp"

namespace locmoe::inline v0 {

/// How strong locality is at most, and which imbalance weakens it.
struct adaptive_mu_options {
    double mu = 0.01;  ///< >= 0; what is left where nothing stands against locality

    /// The largest load over the mean load up to which mu stays whole, and from which on it is 0;
    /// 1 <= balance_from < balance_to. Between them it falls on a line. Not tuned; the paper's
    /// switch router at 64N, which left 7 of 16 experts idle, stands at 16 / 9 or more.
    double balance_from = 1.5;
    double balance_to = 3;  ///< above balance_from
};

/// What one node asks of its own experts in one batch.
struct local_demand {
    std::int64_t pairs = 0;  ///< (token, slot) pairs of all the node's ranks: T k
    std::optional<std::int64_t> capacity = std::nullopt;  ///< slots of one expert; none: dropless
};

/// The weight of the locality loss on `where.rank`'s node in this batch:
/// mu min(1, local capacity / pairs), local capacity the slots of the node's own experts, so that a
/// node asks for no more locality than it has room for, and 0 where it holds no expert: the case at
/// which LocMoE fell behind the hash router (16 experts on 32 nodes). It falls to 0 where `load`
/// `[n]`, of all ranks, is out of balance. Hand the result to `locality_loss`. It takes no
/// gradient. Throws argument_error where an option is out of its range, a count is negative or
/// shapes differ.
inline double adaptive_mu(const adaptive_mu_options& options, const local_demand& demand,
                          std::span<const std::int64_t> load, const route_context& where) {
    using detail::concat;
    detail::check_coefficient("adaptive_mu", "mu", options.mu);
    if (!(options.balance_from >= 1 && options.balance_from < options.balance_to))
        detail::throw_argument("adaptive_mu", "balance_from",
                               concat("1 to balance_to = ", options.balance_to),
                               concat(options.balance_from), where.rank);
    if (demand.pairs < 0 || demand.capacity.value_or(0) < 0)
        detail::throw_argument("adaptive_mu", "demand", "counts >= 0", "a negative one",
                               where.rank);
    detail::check_context("adaptive_mu", load.size(), where);

    std::int64_t local_experts = 0;
    for (const rank_id r : where.nodes.ranks_of(where.nodes.node_of(where.rank)))
        local_experts += static_cast<std::int64_t>(where.placement.experts_of(r).size());
    if (local_experts == 0) return 0;
    double mu = options.mu;
    if (demand.capacity) {
        const double room =
            static_cast<double>(local_experts) * static_cast<double>(*demand.capacity);
        const auto pairs = static_cast<double>(demand.pairs);
        if (room < pairs) mu *= room / pairs;
    }
    const double total = detail::total_load("adaptive_mu", load, load.size(), where.rank);
    if (total == 0) return mu;
    std::int64_t most = 0;
    for (const std::int64_t l : load) most = l > most ? l : most;
    const double imbalance = static_cast<double>(most) * static_cast<double>(load.size()) / total;
    if (imbalance >= options.balance_to) return 0;
    if (imbalance <= options.balance_from) return mu;
    return mu * (options.balance_to - imbalance) / (options.balance_to - options.balance_from);
}

}  // namespace locmoe
