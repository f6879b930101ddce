#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>

#include "locmoe/core/error.hpp"

namespace locmoe::inline v0::detail {

/// Token rows `[T, d]` of a tensor of two or more dimensions, in elements.
struct folded_rows {
    std::size_t rows = 0;
    std::size_t cols = 0;
    std::size_t row_stride = 0;
};

inline std::string list_text(std::span<const std::int64_t> numbers) {
    std::string text = "[";
    for (std::size_t i = 0; i < numbers.size(); ++i) text += concat(i == 0 ? "" : ", ", numbers[i]);
    return text + "]";
}

/// Makes `[..., d]` into `[T, d]`: the leading dimensions become one where a single stride steps
/// through them in order, so that no row is copied. No strides: compact. `tensor` names the type in
/// errors. Throws argument_error for fewer than two dimensions, a negative size, columns apart,
/// rows that overlap (as an expanded tensor's do), leading dimensions that do not fold, or sizes of
/// more numbers than an int64 counts.
inline folded_rows fold_rows(std::string_view tensor, std::span<const std::int64_t> shape,
                             std::span<const std::int64_t> strides) {
    const auto refuse = [&](std::string_view field, std::string_view expected,
                            std::string_view got) {
        throw_argument("as_matrix", concat(field, " of the ", tensor), expected, got);
    };
    if (shape.size() < 2) refuse("dimensions", "2 or more, [..., d]", concat(shape.size()));
    const std::int64_t cols = shape.back();
    std::int64_t numbers = 1;  // by the sizes that are not 0: no product of some of them is larger
    for (const std::int64_t size : shape) {
        if (size < 0) refuse("shape", "no negative size", list_text(shape));
        if (size > std::numeric_limits<std::int64_t>::max() / numbers)
            refuse("shape", "fewer than 2^63 numbers", list_text(shape));
        if (size > 0) numbers *= size;
    }
    std::int64_t rows = 1;
    for (const std::int64_t size : shape.first(shape.size() - 1)) rows *= size;
    const folded_rows compact{static_cast<std::size_t>(rows), static_cast<std::size_t>(cols),
                              static_cast<std::size_t>(cols)};
    if (strides.empty() || rows == 0 || cols == 0) return compact;

    const auto refuse_strides = [&](std::string_view expected) {
        refuse("strides", expected,
               concat(list_text(strides), " for the shape ", list_text(shape)));
    };
    if (cols > 1 && strides.back() != 1) refuse_strides("1 in the last dimension");
    if (rows == 1) return compact;
    std::int64_t stride = 0;  // from row to row; a dimension of size 1 has no say
    std::int64_t folded = 1;
    for (std::size_t i = shape.size() - 1; i-- > 0;) {
        if (shape[i] == 1) continue;
        if (folded == 1)
            stride = strides[i];
        else if (strides[i] / folded != stride || strides[i] % folded != 0)
            refuse_strides("leading dimensions that lie one after the other");
        folded *= shape[i];
    }
    if (stride < cols) refuse_strides(concat("at least d = ", cols, " from row to row"));
    return {compact.rows, compact.cols, static_cast<std::size_t>(stride)};
}

}  // namespace locmoe::detail
