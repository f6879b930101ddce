#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

#include "matrix.hpp"

namespace trainer {

/// Stands in the targets where a row's prediction does not count.
inline constexpr std::int32_t no_target = -1;

/// The sum over the rows that count of -ln softmax(logits)[target], in nats. Turns the logits, in
/// place, into `scale` times their gradient.
template <class Scalar>
double cross_entropy(matrix_view<Scalar> logits, std::span<const std::int32_t> targets,
                     Scalar scale) {
    double total = 0;
    for (std::size_t t = 0; t < logits.rows; ++t) {
        Scalar* row = logits.row(t).data();
        if (targets[t] == no_target) {
            std::fill(row, row + logits.cols, Scalar(0));
            continue;
        }
        const auto target = static_cast<std::size_t>(targets[t]);
        const Scalar highest = *std::max_element(row, row + logits.cols);
        const Scalar aim = row[target] - highest;
        Scalar sum = 0;
        for (std::size_t j = 0; j < logits.cols; ++j) {
            row[j] = std::exp(row[j] - highest);
            sum += row[j];
        }
        total += static_cast<double>(std::log(sum) - aim);
        const Scalar factor = scale / sum;
        for (std::size_t j = 0; j < logits.cols; ++j) row[j] *= factor;
        row[target] -= scale;
    }
    return total;
}

}  // namespace trainer
