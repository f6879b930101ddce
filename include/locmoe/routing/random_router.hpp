#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>

#include "locmoe/core/error.hpp"
#include "locmoe/core/ids.hpp"
#include "locmoe/routing/detail/check.hpp"
#include "locmoe/routing/detail/random_bits.hpp"
#include "locmoe/routing/detail/unlearned_router.hpp"
#include "locmoe/routing/routing.hpp"
#include "locmoe/tensor/tensor_traits.hpp"

namespace locmoe::inline v0 {

/// k different experts for each token, drawn uniformly anew at each step, weights 1 / k: what a
/// learned router has to beat. (vLLM's uniform routing may draw one expert twice.)
template <class Real = float>
requires std::floating_point<Real>
class random_router : public detail::unlearned_router<Real> {
  public:
    /// Throws argument_error unless 1 <= k <= n. Seed, step and token fix the draw, on any layout
    /// of ranks.
    random_router(std::size_t experts, std::size_t k, std::uint64_t seed)
        : experts_(experts), k_(k), seed_(seed) {
        if (k == 0 || k > experts)
            detail::throw_argument("random_router", "k", detail::concat("1 to n = ", experts),
                                   detail::concat(k));
    }

    std::size_t expert_count() const noexcept { return experts_; }  ///< n

    /// Of the tokens only the number counts. Throws argument_error where topology, placement and
    /// rank do not fit together, or there are not n experts.
    template <class Tensor>
    basic_routing<Real> route(const Tensor& tokens, const route_context& where) const {
        const std::size_t rows = view_of(tokens).rows;
        detail::check_context("route", experts_, where);
        auto decided = this->even_routing(rows, k_, experts_);
        for (std::size_t t = 0; t < rows; ++t) {
            const detail::token_random random(seed_, where.step, where.first_token + t);
            expert_id* chosen = decided.chosen.data() + t * k_;
            // Floyd's sample of k among n: slot s draws from the first n - k + s + 1 experts, and a
            // second draw of one gives the last of these, which no slot before it could draw.
            for (std::size_t s = 0; s < k_; ++s) {
                const std::size_t last = experts_ - k_ + s;
                chosen[s] = static_cast<expert_id>(random.below(last + 1, s));
                for (std::size_t before = 0; before < s; ++before)
                    if (chosen[before] == chosen[s]) {
                        chosen[s] = static_cast<expert_id>(last);
                        break;
                    }
            }
        }
        return decided;
    }

  private:
    std::size_t experts_;
    std::size_t k_;
    std::uint64_t seed_;
};

}  // namespace locmoe
