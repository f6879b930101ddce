#pragma once

#include <cmath>
#include <cstddef>
#include <type_traits>
#include <vector>

#include "locmoe/core/error.hpp"
#include "locmoe/core/ids.hpp"
#include "locmoe/core/matrix_view.hpp"
#include "locmoe/routing/detail/check.hpp"

namespace locmoe {

/// Logits `[T, n]` become probabilities, in place, row by row. The row's maximum is taken off
/// first, so that any finite logits do; adding one number to a whole row changes nothing.
template <class Real>
void softmax_rows(matrix_view<Real> logits) {
    for (std::size_t t = 0; t < logits.rows; ++t) {
        const auto row = logits.row(t);
        if (row.empty()) continue;
        Real highest = row[0];
        for (const Real z : row) highest = z > highest ? z : highest;
        Real sum = 0;
        for (Real& z : row) {
            z = std::exp(z - highest);
            sum += z;
        }
        for (Real& z : row) z /= sum;
    }
}

/// d loss / d probabilities `[T, n]` becomes d loss / d logits, in place:
/// p_i (g_i - sum_j p_j g_j). Throws argument_error where the shapes differ.
template <class Real>
void softmax_backward(std::type_identity_t<matrix_view<const Real>> probabilities,
                      matrix_view<Real> gradient) {
    detail::check_shape("softmax_backward", "gradient", gradient, probabilities.rows,
                        probabilities.cols);
    for (std::size_t t = 0; t < gradient.rows; ++t) {
        const auto p = probabilities.row(t);
        const auto g = gradient.row(t);
        Real mean = 0;
        for (std::size_t i = 0; i < p.size(); ++i) mean += p[i] * g[i];
        for (std::size_t i = 0; i < p.size(); ++i) g[i] = p[i] * (g[i] - mean);
    }
}

/// Where each row of logits `[T, n]` is largest, the lowest expert id among equals. Throws
/// argument_error where a logit is NaN or infinite, naming the token and `rank`.
template <class Real>
std::vector<expert_id> top1(matrix_view<Real> logits, rank_id rank = no_rank) {
    using detail::concat;
    if (logits.rows != 0 && logits.cols == 0)
        detail::throw_argument("route", "logits", "at least one column", "none", rank);
    std::vector<expert_id> chosen(logits.rows);
    for (std::size_t t = 0; t < logits.rows; ++t) {
        const auto row = logits.row(t);
        std::size_t best = 0;
        for (std::size_t i = 0; i < row.size(); ++i) {
            const auto z = row[i];
            if (!(z - z == 0))
                detail::throw_argument("route", concat("logits of token ", t), "finite numbers",
                                       z != z ? "nan" : z > 0 ? "inf" : "-inf", rank);
            if (z > row[best]) best = i;
        }
        chosen[t] = static_cast<expert_id>(best);
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
        for (std::size_t i = 0; i < row.size(); ++i) mean[i] += static_cast<double>(row[i]);
    }
    for (double& p : mean)
        if (probabilities.rows != 0) p /= static_cast<double>(probabilities.rows);
    return mean;
}

}  // namespace locmoe
