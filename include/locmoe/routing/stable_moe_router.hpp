#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "locmoe/core/error.hpp"
#include "locmoe/core/ids.hpp"
#include "locmoe/core/matrix_view.hpp"
#include "locmoe/routing/detail/row_math.hpp"
#include "locmoe/routing/scored_router.hpp"
#include "locmoe/routing/top_k.hpp"
#include "locmoe/routing/weighting.hpp"

namespace locmoe::inline v0 {

/// The expert of each vocabulary id, fixed for good.
class fixed_choice : public weighting {
  public:
    static constexpr choice_input input = choice_input::logits;  ///< only their number is read

    /// Expert of id v: `expert_of_id[v]`. `choose` checks what it meets.
    explicit fixed_choice(std::vector<expert_id> expert_of_id)
        : expert_of_id_(std::move(expert_of_id)) {}

    /// Id v to the expert whose centroid `[n, r]` has the largest dot product with its embedding
    /// `[V, r]`, of equals the lowest. Throws argument_error where the columns differ.
    template <class Real>
    static fixed_choice distilled(matrix_view<const Real> embeddings,
                                  matrix_view<const Real> centroids) {
        using detail::concat;
        if (embeddings.cols != centroids.cols || centroids.rows == 0)
            detail::throw_argument("fixed_choice", "centroids",
                                   concat("[n, ", embeddings.cols, "], n at least 1"),
                                   concat("[", centroids.rows, ", ", centroids.cols, "]"));
        std::vector<expert_id> expert_of_id(embeddings.rows);
        std::vector<Real> products(centroids.rows);
        for (std::size_t v = 0; v < embeddings.rows; ++v) {
            for (std::size_t e = 0; e < centroids.rows; ++e)
                products[e] = detail::row_dot(embeddings.row(v).data(), centroids.row(e).data(),
                                              embeddings.cols);
            expert_of_id[v] = top_1(std::span<const Real>(products));
        }
        return fixed_choice(std::move(expert_of_id));
    }

    std::size_t choice_count() const noexcept { return 1; }  ///< one expert a token

    /// Throws argument_error where `place.where.token_ids` has no id of the vocabulary for the
    /// token, or its expert is none of the n.
    template <class Real>
    void choose(std::span<const Real> logits, const token_place<Real>& place,
                std::span<expert_id> chosen) const {
        using detail::concat;
        const auto& ids = place.where.token_ids;
        if (place.token >= ids.size())
            detail::throw_argument("route", "where.token_ids",
                                   concat("an id for token ", place.token),
                                   concat(ids.size(), " ids"), place.where.rank);
        const std::int32_t id = ids[place.token];
        if (id < 0 || static_cast<std::size_t>(id) >= expert_of_id_.size())
            detail::throw_argument("route", concat("id of token ", place.token),
                                   concat("0 to V - 1 with V = ", expert_of_id_.size()), concat(id),
                                   place.where.rank);
        chosen[0] = expert_of_id_[static_cast<std::size_t>(id)];
        if (chosen[0] < 0 || static_cast<std::size_t>(chosen[0]) >= logits.size())
            detail::throw_argument("route", concat("expert of id ", id),
                                   concat("0 to n - 1 with n = ", logits.size()), concat(chosen[0]),
                                   place.where.rank);
    }

  private:
    std::vector<expert_id> expert_of_id_;
};

/// The second stage of StableMoE (Dai et al. 2022, section 3.3) over any gate: a router that was
/// distilled into the vocabulary in the first stage, and is frozen, chooses; the weight is the
/// sigmoid of the gate's logit of that expert, and is what still learns. `route` asks for
/// `where.token_ids`. No losses.
template <class Gate>
class stable_moe_router : public scored_router<Gate, sigmoid_score, fixed_choice> {
  public:
    /// `distilled` is what the first stage came to.
    stable_moe_router(Gate gate, fixed_choice distilled)
        : scored_router<Gate, sigmoid_score, fixed_choice>(std::move(gate), std::move(distilled),
                                                           {.auxiliary = {.alpha = 0}}) {}
};

}  // namespace locmoe
