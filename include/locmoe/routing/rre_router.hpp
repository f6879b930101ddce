#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "locmoe/core/error.hpp"
#include "locmoe/core/ids.hpp"
#include "locmoe/routing/detail/check.hpp"
#include "locmoe/routing/detail/random_bits.hpp"
#include "locmoe/routing/detail/unlearned_router.hpp"
#include "locmoe/routing/expert_groups.hpp"
#include "locmoe/routing/routing.hpp"
#include "locmoe/tensor/tensor_traits.hpp"

namespace locmoe::inline v0 {

/// Random routed experts, the two-level router of PanGu-Sigma (arXiv 2303.10845, section 3.2.2; the
/// baseline that LocMoE was put into): a token's domain chooses a group of experts, and in it a
/// fixed random hash of the token's id chooses the expert. k = 1, weight 1, nothing learned.
template <class Real = float>
requires std::floating_point<Real>
class rre_router : public detail::unlearned_router<Real> {
  public:
    /// Domain d has the experts of group d.
    rre_router(expert_groups domains, std::uint64_t seed)
        : domains_(std::move(domains)), seed_(seed) {}

    std::size_t expert_count() const noexcept { return domains_.expert_count(); }  ///< n

    /// Throws argument_error unless there is a token id and a domain of a known group for each row.
    template <class Tensor>
    basic_routing<Real> route(const Tensor& tokens, const route_context& where) const {
        using detail::concat;
        const std::size_t rows = view_of(tokens).rows;
        detail::check_context("route", expert_count(), where);
        if (where.token_ids.size() != rows)
            detail::throw_argument("route", "where.token_ids", concat("T = ", rows, " ids"),
                                   concat(where.token_ids.size()), where.rank);
        auto decided = this->even_routing(rows, 1, expert_count());
        for (std::size_t t = 0; t < rows; ++t) {
            const auto group =
                domains_.experts_of(detail::domain_of(t, domains_.group_count(), where));
            const auto id = static_cast<std::uint64_t>(where.token_ids[t]);
            const std::uint64_t hash = detail::mix_bits(detail::mix_bits(seed_) + id);
            decided.chosen[t] = group[detail::scale_bits(hash, group.size())];
        }
        return decided;
    }

  private:
    expert_groups domains_;
    std::uint64_t seed_;
};

}  // namespace locmoe
