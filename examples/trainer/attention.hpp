#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "linear.hpp"

namespace trainer {

/// Causal self-attention with several heads over sequences of `length` rows: `[T, d]` to `[T, d]`.
/// Head h subtracts 2^(-8 (h + 1) / H) times the distance from its scores (ALiBi, arXiv
/// 2108.12409), so that near rows count from the first step on. Queries, keys and values have no
/// bias: one on the keys would change no share.
template <class Scalar>
struct attention {
    std::size_t length;
    std::size_t heads;
    parameter<Scalar> project_in;  ///< [d, 3 d]: queries, keys, values
    linear<Scalar> project_out;    ///< d to d

    attention(const std::string& name, std::size_t sequence_length, std::size_t width,
              std::size_t head_count, double gain_out, std::uint64_t seed)
        : length(sequence_length),
          heads(head_count),
          project_in(parameter<Scalar>::normal(name + ".in", width, 3 * width,
                                               1 / std::sqrt(static_cast<double>(width)), seed)),
          project_out(name + ".out", width, width, gain_out, seed) {}

    void forward(matrix_view<const Scalar> x, matrix_view<Scalar> y) {
        const std::size_t width = x.cols, size = width / heads;
        multiply(plain(x), plain(in(project_in.value)), shaped(triple_, x.rows, 3 * width));
        const auto attended = shaped(attended_, x.rows, width);
        const auto shares = shaped(shares_, x.rows * heads, length);
        for (std::size_t first = 0; first < x.rows; first += length)
            for (std::size_t h = 0; h < heads; ++h) {
                const auto p = rows_of(shares, first * heads + h * length, length);
                multiply(scale(size), plain(queries(first, h)), transposed(keys(first, h)),
                         Scalar(0), p);
                causal_softmax(p, h);
                multiply(plain(p), plain(values(first, h)),
                         block(attended, first, length, h * size, size));
            }
        project_out.forward(in(attended_), y);
    }

    /// With the x of the last forward pass; writes the gradient of x.
    void backward(matrix_view<const Scalar> x, matrix_view<const Scalar> grad_y,
                  matrix_view<Scalar> grad_x) {
        const std::size_t width = x.cols, size = width / heads;
        project_out.backward(in(attended_), grad_y, shaped(grad_attended_, x.rows, width));
        const auto grad_triple = shaped(grad_triple_, x.rows, 3 * width);
        const auto grad_p = shaped(grad_shares_, length, length);
        for (std::size_t first = 0; first < x.rows; first += length)
            for (std::size_t h = 0; h < heads; ++h) {
                const auto p = rows_of(in(shares_), first * heads + h * length, length);
                const auto grad = block(in(grad_attended_), first, length, h * size, size);
                multiply(transposed(p), plain(grad),
                         block(grad_triple, first, length, 2 * width + h * size, size));
                multiply(plain(grad), transposed(values(first, h)), grad_p);
                softmax_backward(p, grad_p);
                multiply(scale(size), plain(grad_p), plain(keys(first, h)), Scalar(0),
                         block(grad_triple, first, length, h * size, size));
                multiply(scale(size), transposed(grad_p), plain(queries(first, h)), Scalar(0),
                         block(grad_triple, first, length, width + h * size, size));
            }
        multiply_add(transposed(x), plain(in(grad_triple_)), out(project_in.gradient));
        multiply(plain(in(grad_triple_)), transposed(in(project_in.value)), grad_x);
    }

    void list(std::vector<parameter<Scalar>*>& to) {
        to.push_back(&project_in);
        project_out.list(to);
    }

  private:
    static Scalar scale(std::size_t size) {
        return Scalar(1) / std::sqrt(static_cast<Scalar>(size));
    }

    matrix_view<const Scalar> part(std::size_t first, std::size_t h, std::size_t which) const {
        const std::size_t width = triple_.shape(1) / 3, size = width / heads;
        return block(in(triple_), first, length, which * width + h * size, size);
    }
    matrix_view<const Scalar> queries(std::size_t first, std::size_t h) const {
        return part(first, h, 0);
    }
    matrix_view<const Scalar> keys(std::size_t first, std::size_t h) const {
        return part(first, h, 1);
    }
    matrix_view<const Scalar> values(std::size_t first, std::size_t h) const {
        return part(first, h, 2);
    }

    void causal_softmax(matrix_view<Scalar> p, std::size_t h) const {
        const auto slope = static_cast<Scalar>(
            std::exp2(-8.0 * static_cast<double>(h + 1) / static_cast<double>(heads)));
        for (std::size_t i = 0; i < length; ++i) {
            Scalar* row = p.row(i).data();
            Scalar highest = row[i], sum = 0;
            for (std::size_t j = 0; j <= i; ++j) {
                row[j] -= slope * static_cast<Scalar>(i - j);
                highest = std::max(highest, row[j]);
            }
            for (std::size_t j = 0; j <= i; ++j) {
                row[j] = std::exp(row[j] - highest);
                sum += row[j];
            }
            for (std::size_t j = 0; j <= i; ++j) row[j] /= sum;
            for (std::size_t j = i + 1; j < length; ++j) row[j] = 0;
        }
    }

    // In place, from the gradient of the shares to that of the scores.
    void softmax_backward(matrix_view<const Scalar> p, matrix_view<Scalar> grad) const {
        for (std::size_t i = 0; i < length; ++i) {
            const Scalar* share = p.row(i).data();
            Scalar* g = grad.row(i).data();
            Scalar mean = 0;
            for (std::size_t j = 0; j <= i; ++j) mean += share[j] * g[j];
            for (std::size_t j = 0; j < length; ++j) g[j] = share[j] * (g[j] - mean);
        }
    }

    matrix<Scalar> triple_;  // [T, 3 d]
    matrix<Scalar> shares_;  // [T * heads, length]: a block of [length, length] a sequence and head
    matrix<Scalar> attended_;  // [T, d]
    matrix<Scalar> grad_attended_, grad_triple_, grad_shares_;
};

}  // namespace trainer
