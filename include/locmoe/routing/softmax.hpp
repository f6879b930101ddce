#pragma once

#include <cstddef>
#include <span>
#include <type_traits>
#include <vector>

#include "locmoe/core/error.hpp"
#include "locmoe/core/ids.hpp"
#include "locmoe/core/matrix_view.hpp"
#include "locmoe/routing/detail/check.hpp"
#include "locmoe/routing/detail/row_exp.hpp"
#include "locmoe/routing/detail/row_math.hpp"
#include "locmoe/routing/detail/widest.hpp"
#include "locmoe/routing/top_k.hpp"

namespace locmoe::inline v0 {

namespace detail {

template <class Real>
[[gnu::always_inline]] inline void softmax_in_place(Real* row, std::size_t count) {
    const Real highest = row_max(row, count);
    const Real share = Real(1) / row_exp(row, Real(1), -highest, count);
    std::size_t j = 0;
    for (; j + sum_parts <= count; j += sum_parts)
        for (std::size_t p = 0; p < sum_parts; ++p) row[j + p] *= share;
    for (; j < count; ++j) row[j] *= share;
}

/// Adds `share` times a row to `sum` `[count]`.
template <class Real>
[[gnu::always_inline]] inline void add_row(double* sum, const Real* row, Real share,
                                           std::size_t count) {
    std::size_t j = 0;
    for (; j + sum_parts <= count; j += sum_parts)
        for (std::size_t p = 0; p < sum_parts; ++p)
            sum[j + p] += static_cast<double>(row[j + p] * share);
    for (; j < count; ++j) sum[j] += static_cast<double>(row[j] * share);
}

}  // namespace detail

/// One token's logits `[n]` become probabilities, in place. The maximum is taken off first, so that
/// any finite logits do, and minus infinity, with probability 0, where not all of them are; adding
/// one number to all changes nothing. In float within 1e-6 of itself: `detail::fast_exp`.
template <class Real>
void softmax_row(std::span<Real> row) {
    if (!row.empty()) detail::widest_fused<detail::softmax_in_place<Real>>(row.data(), row.size());
}

/// d loss / d probabilities `[n]` becomes d loss / d logits, in place: p_i (g_i - sum_j p_j g_j).
template <class Real>
void softmax_backward_row(std::span<const Real> probabilities, std::span<Real> gradient) {
    const std::size_t n = probabilities.size();
    const Real mean = detail::row_dot(probabilities.data(), gradient.data(), n);
    for (std::size_t i = 0; i < n; ++i) gradient[i] = probabilities[i] * (gradient[i] - mean);
}

/// `softmax_row` on each row of `[T, n]`.
template <class Real>
void softmax_rows(matrix_view<Real> logits) {
    for (std::size_t t = 0; t < logits.rows; ++t) softmax_row(logits.row(t));
}

/// `softmax_backward_row` on each row of `[T, n]`. Throws argument_error where the shapes differ.
template <class Real>
void softmax_backward(std::type_identity_t<matrix_view<const Real>> probabilities,
                      matrix_view<Real> gradient) {
    detail::check_shape("softmax_backward", "gradient", gradient, probabilities.rows,
                        probabilities.cols);
    for (std::size_t t = 0; t < gradient.rows; ++t)
        softmax_backward_row<Real>(probabilities.row(t), gradient.row(t));
}

/// Where each row of logits `[T, n]` is largest, the lowest expert id among equals. Throws
/// argument_error where a logit is NaN or infinite, naming the token and `rank`.
template <class Real>
std::vector<expert_id> top1(matrix_view<Real> logits, rank_id rank = no_rank) {
    if (logits.rows != 0 && logits.cols == 0)
        detail::throw_argument("route", "logits", "at least one column", "none", rank);
    std::vector<expert_id> chosen(logits.rows);
    for (std::size_t t = 0; t < logits.rows; ++t) {
        const std::span<const Real> row = logits.row(t);
        detail::check_logits(row, t, rank);
        chosen[t] = top_1(row);
    }
    return chosen;
}

/// P_i, the mean of column i of probabilities `[T, n]`: what the routers' own losses are functions
/// of. Zero without tokens. Summed in double, since T is large.
template <class Real>
std::vector<double> mean_probabilities(matrix_view<Real> probabilities) {
    std::vector<double> mean(probabilities.cols, 0.0);
    for (std::size_t t = 0; t < probabilities.rows; ++t) {
        const auto row = probabilities.row(t);
        detail::widest<detail::add_row<std::remove_const_t<Real>>>(mean.data(), row.data(), Real(1),
                                                                   row.size());
    }
    for (double& p : mean)
        if (probabilities.rows != 0) p /= static_cast<double>(probabilities.rows);
    return mean;
}

}  // namespace locmoe
