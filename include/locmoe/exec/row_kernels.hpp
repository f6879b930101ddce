#pragma once

#include <concepts>
#include <cstddef>
#include <span>

#include "locmoe/core/token_rows.hpp"
#include "locmoe/plan/flow.hpp"

namespace locmoe::inline v0 {

/// The rows of a flow where they lie: the caller's rows first, then staging.
struct row_space {
    const_token_rows sources;  ///< rows 0 to sources.rows - 1
    const_token_rows staging;  ///< those after them

    /// Where row r of the flow begins; r is not `empty_row`, which is not checked.
    const std::byte* row(row_index r) const {
        const auto i = static_cast<std::size_t>(r);
        return i < sources.rows ? sources.row(i) : staging.row(i - sources.rows);
    }
};

/// A slice of `row_sums`: its rows [begin, end).
struct row_range {
    std::size_t begin = 0;  ///< the first row
    std::size_t end = 0;    ///< behind the last row
};

/// Moves and adds up rows in one rank's memory. All rows of one call have one element type and
/// width.
///
/// - `gather` copies the one source of each row, and zeros for an `empty_row`; it sees bytes alone.
/// - `sum` adds up each row's sources in their order, in `sum_type_t` of the element, and rounds
///   once; a source below `weights.size()` is multiplied by its weight first. No source gives
///   zeros.
/// - `scale` gives weights[i] * in[i]; `dot` gives the inner product of two rows each.
///
/// `to` never overlaps what is read, but `scale` may work in place.
template <class Kernels>
concept row_kernels =
    requires(const Kernels& kernels, const row_space& space, const row_sums& rows, row_range range,
             const_token_rows in, token_rows to, std::span<const float> weights32,
             std::span<const double> weights64, std::span<float> dots32,
             std::span<double> dots64) {
        { kernels.gather(space, rows, range, to) } -> std::same_as<void>;
        { kernels.sum(space, rows, range, weights32, to) } -> std::same_as<void>;
        { kernels.sum(space, rows, range, weights64, to) } -> std::same_as<void>;
        { kernels.scale(in, weights32, to) } -> std::same_as<void>;
        { kernels.scale(in, weights64, to) } -> std::same_as<void>;
        { kernels.dot(in, in, dots32) } -> std::same_as<void>;
        { kernels.dot(in, in, dots64) } -> std::same_as<void>;
    };

}  // namespace locmoe
