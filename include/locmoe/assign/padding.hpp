#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "locmoe/core/error.hpp"

namespace locmoe::inline v0 {

/// Every expert gets rows up to its capacity, so that all have the same shape (GShard, Tutel).
struct pad_to_capacity {
    std::int64_t capacity;  ///< rows of every expert, padding included; 0 or more
};

/// Every expert gets rows up to the next multiple, as a blocked matrix product asks (MegaBlocks'
/// 128, Megatron's 16 for FP8); one without rows stays without.
struct pad_to_multiple {
    std::int64_t multiple;  ///< at least 1
};

/// Rows without a token, behind each expert's own.
struct padding {
    std::vector<std::int64_t> rows;  ///< one an expert
    std::int64_t count = 0;          ///< of all: what goes into `drop_ledger::padding`
};

namespace detail {

inline void add_padding(padding& p, std::int64_t rows) {
    if (rows > std::numeric_limits<std::int64_t>::max() - p.count)
        throw_argument("padding_of", "rows of padding", "as many as fit std::int64_t",
                       concat(p.count, " and ", rows));
    p.rows.push_back(rows);
    p.count += rows;
}

}  // namespace detail

/// What to add to experts that have `rows` rows each. Padding belongs where the rows arrive, after
/// the ranks' rows have been put together, and never travels: a plan counts an expert's rows in
/// `exchange_plan::expert_first`, and whoever lays out the expert's input adds `padding::rows[i]`
/// to the rows of `experts[i]`, fills them with zeros, and leaves them out of combine. (The
/// strategy `capacity_padded` pads by itself, source by source, and sends its empty rows.) Throws
/// argument_error where a count is negative, the multiple is not at least 1, an expert has more
/// rows than its capacity, or the padding of all does not fit std::int64_t.
inline padding padding_of(std::span<const std::int64_t> rows, pad_to_multiple rule) {
    using detail::concat;
    if (rule.multiple < 1)
        detail::throw_argument("padding_of", "multiple", "at least 1", concat(rule.multiple));
    padding p;
    for (std::size_t e = 0; e < rows.size(); ++e) {
        if (rows[e] < 0)
            detail::throw_argument("padding_of", concat("rows of expert ", e), "0 or more",
                                   concat(rows[e]));
        const std::int64_t over = rows[e] % rule.multiple;
        detail::add_padding(p, over == 0 ? 0 : rule.multiple - over);
    }
    return p;
}

/// The same up to a capacity, which no expert may pass.
inline padding padding_of(std::span<const std::int64_t> rows, pad_to_capacity rule) {
    using detail::concat;
    padding p;
    for (std::size_t e = 0; e < rows.size(); ++e) {
        if (rows[e] < 0 || rows[e] > rule.capacity)
            detail::throw_argument("padding_of", concat("rows of expert ", e),
                                   concat("0 to the capacity, ", rule.capacity), concat(rows[e]));
        detail::add_padding(p, rule.capacity - rows[e]);
    }
    return p;
}

}  // namespace locmoe
