#pragma once

#include <cstddef>
#include <span>

#include "locmoe/core/ids.hpp"
#include "locmoe/core/matrix_view.hpp"
#include "locmoe/routing/detail/softmax_top_k.hpp"
#include "locmoe/routing/score_function.hpp"
#include "locmoe/routing/scored_router.hpp"
#include "locmoe/routing/top_k.hpp"
#include "locmoe/routing/weighting.hpp"

namespace locmoe::inline v0 {

/// The k largest logits, of equals the lowest expert. Every score function here grows with the
/// logit, so that these are the k best scores too, told apart even where the scores underflow.
class top_k_choice : public weighting {
  public:
    static constexpr choice_input input = choice_input::logits;  ///< told apart best

    /// The router checks that k is 1 to n.
    explicit top_k_choice(std::size_t k, weighting weights = {}) : weighting(weights), k_(k) {}

    std::size_t choice_count() const noexcept { return k_; }  ///< k

    /// Writes the k experts, the largest logit first.
    template <class Real>
    void choose(std::span<const Real> logits, const token_place<Real>&,
                std::span<expert_id> chosen) const {
        if (k_ == 1)
            chosen[0] = top_1(logits);
        else
            top_k(logits, chosen);
    }

    /// `choose` and the score on the first of some rows of finite logits `[B, n]`: on as many as
    /// can be done several at a time, whose number it returns. `soon`: memory to fetch meanwhile.
    std::size_t choose_rows(const softmax_score&, matrix_view<float> rows,
                            std::span<expert_id> chosen,
                            std::span<const std::byte> soon = {}) const {
        return detail::softmax_top_k(rows.data, rows.row_stride, rows.rows, rows.cols, k_,
                                     chosen.data(), soon);
    }

  private:
    std::size_t k_;
};

}  // namespace locmoe
