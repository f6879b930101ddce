#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "locmoe/assign/assignment.hpp"
#include "locmoe/core/detail/first_few.hpp"
#include "locmoe/core/error.hpp"
#include "locmoe/core/ids.hpp"
#include "locmoe/routing/detail/random_bits.hpp"
#include "locmoe/routing/routing.hpp"

namespace locmoe::inline v0 {

/// Says which pairs an expert keeps where more chose it than it has slots: those of the highest
/// `priority(decided, token, slot)`, of equals the lowest token, then its lowest slot. `check` runs
/// first and throws argument_error, naming token and rank, where the routing lacks what the policy
/// ranks by or it is NaN. It knows nothing of capacities and other ranks.
template <class Policy, class Real = float>
concept drop_policy = requires(const Policy& policy, const basic_routing<Real>& decided,
                               std::size_t token, std::size_t slot, rank_id rank) {
    { policy.check(decided, rank) } -> std::same_as<void>;
    {
        policy.priority(decided, token, slot) < policy.priority(decided, token, slot)
        } -> std::convertible_to<bool>;
};

namespace detail {

template <class Real>
void check_scores(std::string_view name, const std::vector<Real>& scores, std::size_t want,
                  std::size_t each_token, rank_id rank) {
    if (scores.size() != want)
        throw_argument("assign", name, concat(want, " numbers to rank by"), concat(scores.size()),
                       rank);
    for (std::size_t i = 0; i < scores.size(); ++i)
        if (scores[i] != scores[i])
            throw_argument("assign", concat(name, " of token ", i / each_token), "numbers", "nan",
                           rank);
}

template <class Real>
void check_weights(const basic_routing<Real>& decided, rank_id rank) {
    check_scores("weights", decided.weights, decided.chosen.size(), decided.choice_count, rank);
}

template <class Real>
void check_probabilities(const basic_routing<Real>& decided, rank_id rank) {
    check_scores("probabilities", decided.probabilities, decided.token_count * decided.expert_count,
                 decided.expert_count, rank);
}

template <class Real>
Real probability_of(const basic_routing<Real>& decided, std::size_t token, std::size_t slot) {
    return decided.probabilities[token * decided.expert_count +
                                 static_cast<std::size_t>(decided.expert(token, slot))];
}

}  // namespace detail

/// The lowest tokens stay, with all their choices: Switch, HF, and for k = 1 Tutel, torchscale and
/// flaxformer too, which take `choices_in_turn` for more. `assign(decided, options)` is the same.
struct drop_by_position {
    template <class Real>
    void check(const basic_routing<Real>&, rank_id) const {}  ///< no numbers are looked at
    /// The same for all, so that the lowest tokens stay.
    template <class Real>
    int priority(const basic_routing<Real>&, std::size_t, std::size_t) const {
        return 0;
    }
};

/// Nothing is dropped: capacities are not looked at.
struct drop_none : drop_by_position {};

/// The highest weights stay, as the output is scaled by them (Megatron's "probs").
struct drop_by_weight {
    /// Throws argument_error unless there are T k weights, none of them NaN.
    template <class Real>
    void check(const basic_routing<Real>& decided, rank_id rank) const {
        detail::check_weights(decided, rank);
    }
    /// The weight of the pair.
    template <class Real>
    Real priority(const basic_routing<Real>& decided, std::size_t token, std::size_t slot) const {
        return decided.weights[token * decided.choice_count + slot];
    }
};

/// The highest probabilities stay, before any renormalisation over a token's choices (DeepSpeed's
/// "probs", LocMoE+'s expert choice by affinity). The routing must hold them.
struct drop_by_probability {
    /// Throws argument_error unless there are T n probabilities, none of them NaN.
    template <class Real>
    void check(const basic_routing<Real>& decided, rank_id rank) const {
        detail::check_probabilities(decided, rank);
    }
    /// The token's probability of the pair's expert.
    template <class Real>
    Real priority(const basic_routing<Real>& decided, std::size_t token, std::size_t slot) const {
        return detail::probability_of(decided, token, slot);
    }
};

/// Any of them stay, each as likely: DeepSpeed's random token selection. What a pair draws follows
/// from seed, step, its place in the global batch and its slot alone, on every machine and on any
/// layout of ranks.
struct drop_at_random {
    std::uint64_t seed = 0;         ///< fixes the draw, with step and place
    std::uint64_t step = 0;         ///< of the training, so that each draws anew
    std::uint64_t first_token = 0;  ///< place of token 0 in the global batch, as in route_context

    template <class Real>
    void check(const basic_routing<Real>&, rank_id) const {}  ///< no numbers are looked at
    /// 64 random bits of the pair.
    template <class Real>
    std::uint64_t priority(const basic_routing<Real>&, std::size_t token, std::size_t slot) const {
        return detail::token_random(seed, step, first_token + token).bits(slot);
    }
};

/// All first choices stay before any second one, each by position: GShard, Tutel, torchscale,
/// DeepSpeed's top-2. A token loses its second expert before another loses its first.
struct choices_in_turn {
    template <class Real>
    void check(const basic_routing<Real>&, rank_id) const {}  ///< no numbers are looked at
    /// The higher, the earlier the choice.
    template <class Real>
    std::int64_t priority(const basic_routing<Real>&, std::size_t, std::size_t slot) const {
        return -static_cast<std::int64_t>(slot);
    }
};

/// All first choices before any second one, and among equal choices the tokens whose best choice
/// has the highest probability (the highest weight where the routing holds none): Batch Prioritized
/// Routing of V-MoE (Riquelme et al. 2021, alg. 1), also Tutel's, flaxformer's and torchscale's.
struct batch_priority {
    /// What pairs are compared by.
    struct rank_of_pair {
        std::size_t slot;  ///< the lower one first
        double score;      ///< of equal slots the greater first: the token's best
        /// Whether `a` gets its slot after `b`.
        friend bool operator<(const rank_of_pair& a, const rank_of_pair& b) {
            return a.slot != b.slot ? a.slot > b.slot : a.score < b.score;
        }
    };

    /// Throws argument_error unless all probabilities are there, or where there are none all
    /// weights, none of them NaN.
    template <class Real>
    void check(const basic_routing<Real>& decided, rank_id rank) const {
        if (decided.probabilities.empty())
            detail::check_weights(decided, rank);
        else
            detail::check_probabilities(decided, rank);
    }
    /// The pair's slot, and the greatest probability (or weight) among its token's choices.
    template <class Real>
    rank_of_pair priority(const basic_routing<Real>& decided, std::size_t token,
                          std::size_t slot) const {
        double best = 0;
        bool any = false;
        for (std::size_t s = 0; s < decided.choice_count; ++s) {
            if (decided.expert(token, s) == no_expert) continue;
            const auto score = static_cast<double>(
                decided.probabilities.empty() ? decided.weights[token * decided.choice_count + s]
                                              : detail::probability_of(decided, token, s));
            if (!any || score > best) best = score;
            any = true;
        }
        return {slot, best};
    }
};

namespace detail {

/// [n]: the slots that this rank fills of each expert, and the position of the first.
struct quotas {
    std::vector<std::int64_t> first;
    std::vector<std::int64_t> count;

    quotas(const assign_options& options, const std::vector<std::int64_t>& load)
        : first(load.size(), 0), count(load) {
        const std::vector<std::int64_t> limit = limits(options, load.size());
        const bool over_ranks = !options.before.empty();
        if (over_ranks && options.total.empty())
            throw_argument("assign", "total", concat("n = ", load.size(), " counts beside before"),
                           "none", options.rank);
        for (std::size_t e = 0; e < load.size(); ++e) {
            if (!over_ranks) {
                count[e] = load[e] < limit[e] ? load[e] : limit[e];
                continue;
            }
            const std::int64_t before = options.before[e];
            const std::int64_t total = options.total[e];
            if (load[e] > total - before)
                throw_argument("assign", concat("total of expert ", e),
                               concat("at least ", before, " before and ", load[e], " here"),
                               concat(total), options.rank);
            first[e] = before;
            if (total <= limit[e]) continue;
            first[e] = share(limit[e], before, total, options.rank);
            count[e] = share(limit[e], before + load[e], total, options.rank) - first[e];
        }
    }

  private:
    // floor(capacity part / total), of capacity < total: over the ranks the differences add up to
    // the capacity exactly, and none is above its rank's own load.
    static std::int64_t share(std::int64_t capacity, std::int64_t part, std::int64_t total,
                              rank_id rank) {
        if (total > std::int64_t{0xffffffff})
            throw_argument("assign", "total", "fewer than 2^32 pairs an expert", concat(total),
                           rank);
        return static_cast<std::int64_t>(static_cast<std::uint64_t>(capacity) *
                                         static_cast<std::uint64_t>(part) /
                                         static_cast<std::uint64_t>(total));
    }
};

/// [T, k]: 1 where the policy drops a pair; empty where nothing is dropped at all. Selects among
/// the pairs of overfull experts alone, in linear time.
template <class Real, class Policy>
std::vector<char> choose_drops(const basic_routing<Real>& decided, const Policy& policy,
                               const std::vector<std::int64_t>& load,
                               const std::vector<std::int64_t>& count) {
    struct candidate {
        decltype(policy.priority(decided, std::size_t{}, std::size_t{})) priority;
        std::size_t pair;
    };
    std::vector<std::int64_t> begin(load.size() + 1, 0);
    for (std::size_t e = 0; e < load.size(); ++e)
        begin[e + 1] = begin[e] + (load[e] > count[e] ? load[e] : 0);
    if (begin.back() == 0) return {};

    std::vector<candidate> candidates(static_cast<std::size_t>(begin.back()));
    std::vector<std::int64_t> next(begin.begin(), begin.end() - 1);
    for (std::size_t t = 0; t < decided.token_count; ++t)
        for (std::size_t slot = 0; slot < decided.choice_count; ++slot) {
            const expert_id chosen = decided.expert(t, slot);
            if (chosen == no_expert) continue;
            const auto e = static_cast<std::size_t>(chosen);
            if (load[e] > count[e])
                candidates[static_cast<std::size_t>(next[e]++)] = {
                    policy.priority(decided, t, slot), t * decided.choice_count + slot};
        }
    std::vector<char> drop(decided.chosen.size(), 0);
    for (std::size_t e = 0; e < load.size(); ++e) {
        if (load[e] <= count[e]) continue;
        const auto kept = static_cast<std::size_t>(count[e]);
        const auto of_expert = std::span(candidates).subspan(
            static_cast<std::size_t>(begin[e]), static_cast<std::size_t>(load[e]));
        first_few(of_expert, kept, [](const candidate& a, const candidate& b) {
            if (b.priority < a.priority) return true;
            return a.priority < b.priority ? false : a.pair < b.pair;
        });
        for (const candidate& c : of_expert.subspan(kept)) drop[c.pair] = 1;
    }
    return drop;
}

}  // namespace detail

/// Gives slots by a policy. Kept pairs take an expert's positions in the order of tokens and slots,
/// whatever the policy, as the rows of a plan stand.
///
/// With `before` and `total` the capacity is the expert's over all ranks, and each rank has a quota
/// of it: floor(C (before + own) / total) - floor(C before / total). So the ranks drop in
/// proportion to what they send, fill the capacity to the last slot and never pass it, without a
/// further message; the policy chooses inside the quota, thus the best of each rank and not of all
/// ranks together. An expert with a capacity that total reaches may not be chosen 2^32 times.
/// Throws argument_error as `assign` by position does, where `total` is missing or too small, and
/// where the policy's `check` does.
template <class Real, drop_policy<Real> Policy>
assignment assign(const basic_routing<Real>& decided, const Policy& policy,
                  const assign_options& options = {}) {
    if constexpr (std::same_as<Policy, drop_by_position>) {
        return assign(decided, options);
    } else if constexpr (std::same_as<Policy, drop_none>) {
        detail::check_assign(decided, options);
        return assign(decided, assign_options{.before = options.before, .rank = options.rank});
    } else {
        detail::check_assign(decided, options);
        policy.check(decided, options.rank);
        std::vector<std::int64_t> load(decided.expert_count, 0);
        for (std::size_t i = 0; i < decided.chosen.size(); ++i)
            if (decided.chosen[i] != no_expert)
                ++load[detail::expert_index(decided, i, options.rank)];
        detail::quotas quota(options, load);
        const std::vector<char> drop = detail::choose_drops(decided, policy, load, quota.count);
        assignment assigned;
        detail::place_pairs(
            decided, quota.first, options.rank,
            [&](std::size_t i, std::size_t) { return drop.empty() || drop[i] == 0; }, assigned);
        return assigned;
    }
}

}  // namespace locmoe
