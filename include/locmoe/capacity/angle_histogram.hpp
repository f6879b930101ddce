#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "locmoe/capacity/measure_delta.hpp"
#include "locmoe/core/element.hpp"
#include "locmoe/core/error.hpp"
#include "locmoe/core/ids.hpp"
#include "locmoe/core/matrix_view.hpp"
#include "locmoe/tensor/tensor_traits.hpp"

namespace locmoe::inline v0 {

/// How many (token, chosen expert) pairs stand at which angle theta to the expert's gating weight,
/// LocMoE's picture of a router: 0 to 180 degrees in equal bins, the last one closed. The sign
/// counts, unlike in delta = |cos theta|. Bins merge over batches and ranks by sums.
struct angle_histogram {
    std::vector<std::int64_t> bins;  ///< [bins]
    std::int64_t skipped_count = 0;  ///< pairs without an angle, as measure_delta skips them

    /// Nothing counted yet. Throws argument_error where there is no bin.
    explicit angle_histogram(std::size_t bin_count) : bins(bin_count, 0) {
        if (bin_count == 0) detail::throw_argument("angle_histogram", "bins", "at least 1", "0");
    }

    /// Degrees at which bin b begins.
    double first_degree(std::size_t bin) const {
        return 180.0 * static_cast<double>(bin) / static_cast<double>(bins.size());
    }

    /// Adds tokens `[T, d]` and the experts they chose, `[T, k]`, for a gate with weights `[n, d]`.
    /// Throws argument_error where shapes disagree or an expert is none of the n.
    template <class Tensor, class Weight>
    void add(const Tensor& tokens, matrix_view<Weight> weights, std::span<const expert_id> chosen) {
        using detail::concat;
        const auto x = view_of(tokens);
        if (x.rows != 0 && x.cols != weights.cols)
            detail::throw_argument("angle_histogram", "tokens",
                                   concat("d = ", weights.cols, " columns (the weights')"),
                                   concat(x.cols));
        add_choices(x, weights.rows, chosen, [&](const auto* row, std::size_t i) {
            const Weight* w = weights.row(i).data();
            return dot_and_norm{detail::dot_in_double(row, w, weights.cols),
                                detail::dot_in_double(w, w, weights.cols)};
        });
    }

    /// The same for the GrAP gate of `expert_count` experts, 1 to d, in O(d) a pair.
    template <class Tensor>
    void add_grap(const Tensor& tokens, std::size_t expert_count,
                  std::span<const expert_id> chosen) {
        using detail::concat;
        const auto x = view_of(tokens);
        if (expert_count == 0 || (x.rows != 0 && x.cols < expert_count))
            detail::throw_argument("angle_histogram", "expert_count", concat("1 to d = ", x.cols),
                                   concat(expert_count));
        add_choices(x, expert_count, chosen, [&](const auto* row, std::size_t i) {
            const detail::grap_segment s(i, expert_count, x.cols);
            return dot_and_norm{detail::row_sum<double>(row + s.first, s.length),
                                static_cast<double>(s.length)};
        });
    }

  private:
    struct dot_and_norm {
        double dot;
        double norm2;  // of the weight
    };

    template <class E, class Weigh>
    void add_choices(matrix_view<const E> x, std::size_t experts, std::span<const expert_id> chosen,
                     const Weigh& weigh) {
        using detail::concat;
        if (x.rows == 0 ? !chosen.empty() : chosen.size() % x.rows != 0)
            detail::throw_argument("angle_histogram", "chosen",
                                   concat("[T, k] choices, T = ", x.rows), concat(chosen.size()));
        const std::size_t k = x.rows == 0 ? 0 : chosen.size() / x.rows;
        for (std::size_t i = 0; i < chosen.size(); ++i) {
            const expert_id e = chosen[i];
            if (e == no_expert) continue;
            if (e < 0 || static_cast<std::size_t>(e) >= experts)
                detail::throw_argument("angle_histogram", concat("expert of token ", i / k),
                                       concat("0 to n - 1 with n = ", experts), concat(e));
            const E* row = x.row(i / k).data();
            const dot_and_norm w = weigh(row, static_cast<std::size_t>(e));
            count(w.dot / std::sqrt(w.norm2 * detail::dot_in_double(row, row, x.cols)));
        }
    }

    void count(double cosine) {
        constexpr double pi = 3.14159265358979323846;
        if (!(std::fabs(cosine) <= std::numeric_limits<double>::max())) {  // 0 / 0, NaN, infinite
            ++skipped_count;
            return;
        }
        const double bounded = cosine > 1 ? 1 : cosine < -1 ? -1 : cosine;  // rounding may pass 1
        const auto bin =
            static_cast<std::size_t>(std::acos(bounded) / pi * static_cast<double>(bins.size()));
        ++bins[bin < bins.size() ? bin : bins.size() - 1];
    }
};

}  // namespace locmoe
