#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "locmoe/capacity/delta_sketch.hpp"
#include "locmoe/core/element.hpp"
#include "locmoe/core/error.hpp"
#include "locmoe/core/ids.hpp"
#include "locmoe/core/matrix_view.hpp"
#include "locmoe/routing/detail/grap_segment.hpp"
#include "locmoe/routing/detail/row_math.hpp"
#include "locmoe/tensor/tensor_traits.hpp"

namespace locmoe::inline v0 {

/// |cos| between tokens and the gating weights of the experts that they chose: LocMoE's delta, from
/// data. Batches merge by plain sums, `min` and `max`, field by field. Ranks merge `sketch`, whose
/// counts a backend can sum. LocMoE takes `mean()` for its capacity, LocMoE+ takes `max`; one odd
/// token sets that, so that a high quantile of the sketch is the steadier choice.
struct delta_statistics {
    std::int64_t pair_count = 0;     ///< (token, chosen expert) pairs that have an angle
    std::int64_t skipped_count = 0;  ///< pairs without one, see measure_delta
    double sum = 0;                  ///< of |cos| over the pairs
    double min = std::numeric_limits<double>::infinity();   ///< infinite where there is no pair
    double max = -std::numeric_limits<double>::infinity();  ///< minus infinity likewise
    delta_sketch sketch = {};                               ///< of |cos| over the pairs

    /// NaN where there is no pair, which the capacity bounds refuse, as they do `min` and `max`.
    double mean() const {
        return pair_count == 0 ? std::numeric_limits<double>::quiet_NaN()
                               : sum / static_cast<double>(pair_count);
    }

    /// Adds what another batch showed.
    void merge(const delta_statistics& other) {
        pair_count += other.pair_count;
        skipped_count += other.skipped_count;
        sum += other.sum;
        min = other.min < min ? other.min : min;
        max = other.max > max ? other.max : max;
        sketch.merge(other.sketch);
    }
};

/// Which tokens to measure: `first`, `first + every`, and so on. Measuring all takes longer than
/// the GrAP gate, every 61st a twentieth of its time (bench/capacity.cpp). An `every` prime to the
/// length of a sequence, and a `first` that moves with the steps, keep it from seeing the same
/// positions for ever.
struct delta_sampling {
    std::size_t every = 1;  ///< at least 1
    std::size_t first = 0;  ///< the first token that is measured
};

namespace detail {

template <element A, element B>
double dot_in_double(const A* x, const B* y, std::size_t count) {
    double part[sum_parts] = {};
    std::size_t j = 0;
    for (; j + sum_parts <= count; j += sum_parts)
        for (std::size_t p = 0; p < sum_parts; ++p)
            part[p] += as_real<double>(x[j + p]) * as_real<double>(y[j + p]);
    double sum = 0;
    for (; j < count; ++j) sum += as_real<double>(x[j]) * as_real<double>(y[j]);
    for (const double p : part) sum += p;
    return sum;
}

/// Adds the pair whose inner product is `dot`, of vectors with these squared norms.
inline void add_pair(delta_statistics& stats, double dot, double token_norm2, double weight_norm2) {
    constexpr double most = std::numeric_limits<double>::max();
    const auto usable = [](double norm2) { return norm2 > 0 && norm2 <= most; };  // not NaN either
    if (!usable(token_norm2) || !usable(weight_norm2)) {
        ++stats.skipped_count;
        stats.sketch.skip();
        return;
    }
    const double cosine = std::fabs(dot) / (std::sqrt(token_norm2) * std::sqrt(weight_norm2));
    const double delta = cosine < 1 ? cosine : 1;  // rounding may pass 1
    ++stats.pair_count;
    stats.sum += delta;
    if (delta < stats.min) stats.min = delta;
    if (delta > stats.max) stats.max = delta;
    stats.sketch.record(delta);
}

/// Every choice but `no_expert`, given `dot(row, i)` and the squared norm of gating weight i.
template <class E, class Dot, class WeightNorm2>
delta_statistics delta_of_choices(const char* function, matrix_view<const E> tokens,
                                  std::size_t expert_count, std::span<const expert_id> chosen,
                                  const delta_sampling& sampling, const Dot& dot,
                                  const WeightNorm2& weight_norm2) {
    if (sampling.every == 0) throw_argument(function, "sampling.every", "at least 1", "0");
    if (tokens.rows == 0 ? !chosen.empty() : chosen.size() % tokens.rows != 0)
        throw_argument(function, "chosen", concat("[T, k] choices, T = ", tokens.rows),
                       concat(chosen.size()));
    delta_statistics stats;
    const std::size_t k = tokens.rows == 0 ? 0 : chosen.size() / tokens.rows;
    for (std::size_t t = sampling.first; t < tokens.rows && k != 0; t += sampling.every) {
        const E* row = tokens.row(t).data();
        const double token_norm2 = dot_in_double(row, row, tokens.cols);
        for (std::size_t slot = 0; slot < k; ++slot) {
            const expert_id e = chosen[t * k + slot];
            if (e == no_expert) continue;
            if (e < 0 || static_cast<std::size_t>(e) >= expert_count)
                throw_argument(function, concat("expert of token ", t, ", slot ", slot),
                               concat("0 to n - 1, n = ", expert_count, ", or no_expert (-1)"),
                               concat(e));
            const auto i = static_cast<std::size_t>(e);
            add_pair(stats, dot(row, i), token_norm2, weight_norm2(i));
        }
    }
    return stats;
}

}  // namespace detail

/// Measures delta for a dense gate: tokens `[T, d]`, gating weights `[n, d]`, and the experts
/// chosen, `[T, k]` as in routing::chosen. Sums are kept in double. Pairs without an angle are
/// skipped and counted: a token or gating weight of zeros, with a NaN or an infinity in it, or
/// whose squared norm leaves the range of a double. `no_expert` is no pair at all. No tokens give
/// no pairs. Throws argument_error where shapes disagree, an expert of a token that is measured is
/// none of the n, or `sampling.every` is zero.
template <class Tensor, element Weight>
delta_statistics measure_delta(const Tensor& tokens, matrix_view<const Weight> weights,
                               std::span<const expert_id> chosen,
                               const delta_sampling& sampling = {}) {
    const auto x = view_of(tokens);
    if (x.rows != 0 && x.cols != weights.cols)
        detail::throw_argument("measure_delta", "tokens",
                               detail::concat("d = ", weights.cols, " columns (the weights')"),
                               detail::concat(x.cols));

    std::vector<double> weight_norm2(weights.rows);
    for (std::size_t i = 0; i < weights.rows; ++i) {
        const Weight* w = weights.row(i).data();
        weight_norm2[i] = detail::dot_in_double(w, w, weights.cols);
    }
    return detail::delta_of_choices(
        "measure_delta", x, weights.rows, chosen, sampling,
        [&](const auto* row, std::size_t i) {
            return detail::dot_in_double(row, weights.row(i).data(), weights.cols);
        },
        [&](std::size_t i) { return weight_norm2[i]; });
}

/// The same with weights that may be written, as a trainer holds them.
template <class Tensor, element Weight>
delta_statistics measure_delta(const Tensor& tokens, matrix_view<Weight> weights,
                               std::span<const expert_id> chosen,
                               const delta_sampling& sampling = {}) {
    return measure_delta(tokens, matrix_view<const Weight>(weights), chosen, sampling);
}

/// Measures delta for the GrAP gate of n experts, without a weight matrix and in O(d) a token: the
/// cosine is the sum of the chosen expert's segment over sqrt(segment length) |x|. Skips, counts
/// and throws as measure_delta does; throws argument_error too where n is zero or more than d.
template <class Tensor>
delta_statistics measure_grap_delta(const Tensor& tokens, std::size_t expert_count,
                                    std::span<const expert_id> chosen,
                                    const delta_sampling& sampling = {}) {
    const auto x = view_of(tokens);
    if (expert_count == 0)
        detail::throw_argument("measure_grap_delta", "expert_count", "at least 1", "0");
    if (x.rows != 0 && x.cols < expert_count)
        detail::throw_argument(
            "measure_grap_delta", "tokens",
            detail::concat("at least n = ", expert_count, " columns, one a segment"),
            detail::concat(x.cols));

    const auto segment = [&](std::size_t i) {
        return detail::grap_segment(i, expert_count, x.cols);
    };
    return detail::delta_of_choices(
        "measure_grap_delta", x, expert_count, chosen, sampling,
        [&](const auto* row, std::size_t i) {
            return detail::row_sum<double>(row + segment(i).first, segment(i).length);
        },
        [&](std::size_t i) { return static_cast<double>(segment(i).length); });
}

}  // namespace locmoe
