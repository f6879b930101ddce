#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <utility>

#include "locmoe/core/error.hpp"
#include "locmoe/core/ids.hpp"
#include "locmoe/routing/detail/best_groups.hpp"
#include "locmoe/routing/detail/row_math.hpp"
#include "locmoe/routing/detail/widest.hpp"
#include "locmoe/routing/expert_groups.hpp"
#include "locmoe/routing/scored_router.hpp"
#include "locmoe/routing/top_k.hpp"
#include "locmoe/routing/weighting.hpp"

namespace locmoe::inline v0 {

/// What a group of experts is worth to a token: the sum of its best scores, bias included.
enum class group_score : std::uint8_t {
    best,               ///< the one best: DeepSeek-V2; vLLM without a bias
    best_two,           ///< DeepSeek-V3, torchtitan, vLLM with a bias
    best_k_over_limit,  ///< k / M, at least one: Megatron
    all,                ///< Hetu
};

/// How the experts that a token may go to are narrowed down before the choice.
struct group_limit {
    std::size_t limit = 1;  ///< M, the groups a token may reach; as many as there are: no limit
    group_score score = group_score::best_two;  ///< what the best groups are told by
};

/// Bias steers the choice and nothing else: the k best of score plus bias, weighted by the scores
/// alone. First the M best groups (of equals the lowest), then the k best experts in them (of
/// equals the lowest): experts elsewhere count as minus infinity, never as 0, which a biased score
/// can fall below. Where M groups hold fewer than k experts the last slots stay `no_expert`.
class group_limited_choice : public weighting {
  public:
    /// Scores, to which the bias is added.
    static constexpr choice_input input = choice_input::scores;

    /// `bias` `[n]`, the caller's, who may change it between batches but not move it; empty: none.
    /// Throws argument_error unless there is one bias an expert and M is at least 1.
    group_limited_choice(std::size_t k, weighting weights, expert_groups groups, group_limit limit,
                         std::span<const float> bias = {})
        : weighting(weights), k_(k), groups_(std::move(groups)), limit_(limit), bias_(bias) {
        using detail::concat;
        if (limit.limit == 0)
            detail::throw_argument("group_limited_choice", "limit", "at least one group", "0");
        if (!bias.empty() && bias.size() != groups_.expert_count())
            detail::throw_argument("group_limited_choice", "bias",
                                   concat("n = ", groups_.expert_count(), " numbers"),
                                   concat(bias.size()));
    }

    std::size_t choice_count() const noexcept { return k_; }          ///< k
    const expert_groups& groups() const noexcept { return groups_; }  ///< as they were given

    /// Writes the k best experts in the token's M best groups.
    template <class Real>
    void choose(std::span<const Real> scores, const token_place<Real>& place,
                std::span<expert_id> chosen) const {
        const std::size_t n = scores.size(), count = groups_.group_count();
        const bool limited = limit_.limit < count;
        if (bias_.empty() && !limited) return top_k(scores, chosen);
        const std::span<Real> steered = place.scratch.first(n);
        detail::widest<detail::add_bias<Real>>(scores.data(), bias_.data(), bias_.size(),
                                               steered.data(), n);
        if (!limited) return top_k(std::span<const Real>(steered), chosen);
        const std::span<Real> value = place.scratch.subspan(n, n + detail::sum_parts);
        for (std::size_t g = 0; g < count; ++g)
            value[g] = value_of<Real>(groups_.experts_of(g), steered, place.scratch.last(n));
        const std::size_t left = detail::widest<detail::take_best_groups<Real>>(
            &groups_, limit_.limit, steered.data(), value.data(), place.experts.data());
        top_k(std::span<const Real>(steered.first(left)), chosen);
        for (expert_id& slot : chosen)
            if (slot != no_expert) slot = place.experts[static_cast<std::size_t>(slot)];
    }

  private:
    template <class Real>
    Real value_of(std::span<const expert_id> experts, std::span<const Real> steered,
                  std::span<Real> best) const {
        const std::size_t wanted = counted_experts();
        if (wanted <= 2) {  // without branches, for these are what nearly everybody uses
            Real first = -std::numeric_limits<Real>::infinity(), second = first;
            const auto add = [&](Real s) {
                const Real lesser = s < first ? s : first;
                first = s > first ? s : first;
                second = lesser > second ? lesser : second;
            };
            if (groups_.in_order())
                for (const Real s :
                     steered.subspan(static_cast<std::size_t>(experts[0]), experts.size()))
                    add(s);
            else
                for (const expert_id e : experts) add(steered[static_cast<std::size_t>(e)]);
            return wanted == 1 || experts.size() == 1 ? first : first + second;
        }
        std::size_t count = 0;
        for (const expert_id e : experts) {  // the best so far, largest first
            const Real s = steered[static_cast<std::size_t>(e)];
            if (count == wanted && !(s > best[count - 1])) continue;
            std::size_t place = count < wanted ? count++ : wanted - 1;
            for (; place > 0 && s > best[place - 1]; --place) best[place] = best[place - 1];
            best[place] = s;
        }
        Real sum = 0;
        for (std::size_t i = 0; i < count; ++i) sum += best[i];
        return sum;
    }

    std::size_t counted_experts() const {
        switch (limit_.score) {
            case group_score::best: return 1;
            case group_score::best_two: return 2;
            case group_score::best_k_over_limit: return k_ > limit_.limit ? k_ / limit_.limit : 1;
            case group_score::all: break;
        }
        return groups_.expert_count();
    }

    std::size_t k_;
    expert_groups groups_;
    group_limit limit_;
    std::span<const float> bias_;
};

/// The same with the nodes that hold experts as groups, from topology and placement, however
/// uneven: no token reaches more than M nodes (DeepSeek-V3, section 2.1.2, node-limited routing).
class node_limited_choice : public weighting {
  public:
    /// Scores, to which the bias is added.
    static constexpr choice_input input = choice_input::scores;

    /// The bias is checked by `at`, once the placement is known, and so is M.
    node_limited_choice(std::size_t k, weighting weights, group_limit limit,
                        std::span<const float> bias = {})
        : weighting(weights), k_(k), limit_(limit), bias_(bias) {}

    std::size_t choice_count() const noexcept { return k_; }  ///< k

    /// The choice with the groups of this context, whose placement has been checked. Throws
    /// argument_error unless there is one bias an expert, or none, and M is at least 1.
    group_limited_choice at(const route_context& where) const {
        return {k_, *this, expert_groups::by_node(where), limit_, bias_};
    }

  private:
    std::size_t k_;
    group_limit limit_;
    std::span<const float> bias_;
};

}  // namespace locmoe
