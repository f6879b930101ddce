#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "parameter.hpp"

namespace trainer {

/// Sequences of `length` bytes to rows: each row is the sum of a vector for its place, one for its
/// byte, and one for each of the bytes just before it, a table a distance. That is a short
/// convolution over the bytes at the price of look-ups; it hands the first layer what a trigram
/// model knows.
template <class Scalar>
struct embedding {
    static constexpr std::size_t symbols = 256;

    std::size_t length;
    std::size_t reach;            ///< bytes looked at, the row's own among them
    parameter<Scalar> bytes;      ///< [reach * 256, d]
    parameter<Scalar> positions;  ///< [length, d]

    embedding(const std::string& name, std::size_t sequence_length, std::size_t bytes_seen,
              std::size_t width, std::uint64_t seed)
        : length(sequence_length),
          reach(bytes_seen),
          bytes(parameter<Scalar>::normal(name + ".bytes", bytes_seen * symbols, width, 0.5, seed)),
          positions(
              parameter<Scalar>::normal(name + ".positions", sequence_length, width, 0.02, seed)) {}

    /// `ids` [T], whole sequences one after the other; y [T, d].
    void forward(std::span<const std::int32_t> ids, matrix_view<Scalar> y) const {
        for (std::size_t t = 0; t < y.rows; ++t) {
            const std::size_t place = t % length;
            const auto row = rows_of(y, t, 1);
            copy(rows_of(in(positions.value), place, 1), row);
            for (std::size_t back = 0; back < reach && back <= place; ++back)
                add(row, rows_of(in(bytes.value), entry(ids[t - back], back), 1));
        }
    }

    void backward(std::span<const std::int32_t> ids, matrix_view<const Scalar> grad_y) {
        for (std::size_t t = 0; t < grad_y.rows; ++t) {
            const std::size_t place = t % length;
            const auto row = rows_of(grad_y, t, 1);
            add(rows_of(out(positions.gradient), place, 1), row);
            for (std::size_t back = 0; back < reach && back <= place; ++back)
                add(rows_of(out(bytes.gradient), entry(ids[t - back], back), 1), row);
        }
    }

    void list(std::vector<parameter<Scalar>*>& to) {
        to.push_back(&bytes);
        to.push_back(&positions);
    }

  private:
    static std::size_t entry(std::int32_t id, std::size_t back) {
        return back * symbols + static_cast<std::size_t>(id);
    }
};

}  // namespace trainer
