#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "locmoe/core/detail/heap.hpp"
#include "locmoe/core/error.hpp"
#include "locmoe/routing/detail/check.hpp"
#include "locmoe/routing/detail/random_bits.hpp"
#include "locmoe/routing/router_policy.hpp"
#include "locmoe/routing/routing.hpp"
#include "locmoe/tensor/tensor_traits.hpp"

namespace locmoe::inline v0 {

/// Each vocabulary id has its expert for good (Hash Layers, Roller et al. 2021): k = 1, weight 1,
/// nothing learned, so no probabilities, no losses and no gradients. The tokens' numbers are not
/// looked at: `route_context::token_ids` says what they stand for.
template <class Real = float>
requires std::floating_point<Real>
class hash_router {
  public:
    using real = Real;  ///< of the weights, which are 1

    /// Id v goes to `expert_of_id[v]`, each 0 to `experts` - 1. Throws argument_error otherwise.
    static hash_router from_expert_of_id(std::vector<expert_id> expert_of_id, std::size_t experts) {
        return hash_router(std::move(expert_of_id), experts);
    }

    /// Each id to an expert by a hash of the id and the seed, the same on every machine.
    static hash_router random(std::size_t vocabulary, std::size_t experts, std::uint64_t seed) {
        std::vector<expert_id> expert_of_id(vocabulary);
        for (std::size_t v = 0; v < vocabulary; ++v)
            expert_of_id[v] = static_cast<expert_id>(
                detail::scale_bits(detail::mix_bits(detail::mix_bits(seed) + v), experts));
        return hash_router(std::move(expert_of_id), experts);
    }

    /// Greedily, the most frequent id first (of equals the lowest), each to the expert with the
    /// least frequency so far; of equals to the one with the fewest ids, then to the lowest. Ids
    /// that were never seen are so spread as well. Over the text that was counted, no two experts
    /// differ by more than the largest frequency. `frequencies` `[vocabulary]`, each >= 0.
    static hash_router balanced(std::span<const std::int64_t> frequencies, std::size_t experts) {
        detail::heap<frequent_id> ids;
        for (std::size_t v = 0; v < frequencies.size(); ++v) {
            if (frequencies[v] < 0)
                detail::throw_argument("hash_router", detail::concat("frequency of id ", v),
                                       "a count >= 0", detail::concat(frequencies[v]));
            ids.push({frequencies[v], v});
        }
        detail::heap<loaded_expert> by_load;
        for (std::size_t e = 0; e < experts; ++e) by_load.push({0, 0, e});
        std::vector<expert_id> expert_of_id(frequencies.size());
        for (; !ids.empty() && !by_load.empty(); ids.pop()) {
            loaded_expert least = by_load.top();
            by_load.pop();
            expert_of_id[ids.top().id] = static_cast<expert_id>(least.expert);
            least.load += ids.top().frequency;
            ++least.ids;
            by_load.push(least);
        }
        return hash_router(std::move(expert_of_id), experts);
    }

    std::size_t expert_count() const noexcept { return experts_; }  ///< n

    /// Throws argument_error unless there is one token id a row, each of the vocabulary, and the
    /// placement holds as many experts.
    template <class Tensor>
    basic_routing<Real> route(const Tensor& tokens, const route_context& where) const {
        using detail::concat;
        const std::size_t rows = view_of(tokens).rows;
        detail::check_context("route", experts_, where);
        if (where.token_ids.size() != rows)
            detail::throw_argument("route", "where.token_ids", concat("T = ", rows, " ids"),
                                   concat(where.token_ids.size()), where.rank);
        basic_routing<Real> decided;
        decided.token_count = rows;
        decided.choice_count = 1;
        decided.expert_count = experts_;
        decided.chosen.resize(rows);
        decided.weights.assign(rows, Real(1));
        for (std::size_t t = 0; t < rows; ++t) {
            const std::int32_t id = where.token_ids[t];
            if (id < 0 || static_cast<std::size_t>(id) >= expert_of_id_.size())
                detail::throw_argument("route", concat("id of token ", t),
                                       concat("0 to V - 1 with V = ", expert_of_id_.size()),
                                       concat(id), where.rank);
            decided.chosen[t] = expert_of_id_[static_cast<std::size_t>(id)];
        }
        return decided;
    }

    /// Zero: nothing is learned.
    router_losses<Real> losses(const basic_routing<Real>&, std::span<const std::int64_t>,
                               const route_context&) const {
        return {};
    }

    /// Adds nothing: neither tokens nor weights took part in the choice.
    template <class Tensor>
    void backward(const Tensor&, const basic_routing<Real>&, std::span<const std::int64_t>,
                  const route_context&, const router_gradients<Real>&) const {}

  private:
    hash_router(std::vector<expert_id> expert_of_id, std::size_t experts)
        : expert_of_id_(std::move(expert_of_id)), experts_(experts) {
        using detail::concat;
        if (experts == 0) detail::throw_argument("hash_router", "experts", "at least one", "none");
        for (std::size_t v = 0; v < expert_of_id_.size(); ++v)
            if (expert_of_id_[v] < 0 || static_cast<std::size_t>(expert_of_id_[v]) >= experts)
                detail::throw_argument("hash_router", concat("expert of id ", v),
                                       concat("0 to n - 1 with n = ", experts),
                                       concat(expert_of_id_[v]));
    }

    // "less" is what a heap serves last.
    struct frequent_id {
        std::int64_t frequency;
        std::size_t id;
        friend bool operator<(const frequent_id& a, const frequent_id& b) {
            return a.frequency != b.frequency ? a.frequency < b.frequency : a.id > b.id;
        }
    };
    struct loaded_expert {
        std::int64_t load;
        std::size_t ids;
        std::size_t expert;
        friend bool operator<(const loaded_expert& a, const loaded_expert& b) {
            if (a.load != b.load) return a.load > b.load;
            return a.ids != b.ids ? a.ids > b.ids : a.expert > b.expert;
        }
    };

    std::vector<expert_id> expert_of_id_;
    std::size_t experts_;
};

}  // namespace locmoe
