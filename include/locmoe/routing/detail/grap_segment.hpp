#pragma once

#include <cstddef>

namespace locmoe::inline v0::detail {

/// Segment i of d numbers cut into n contiguous ones: the first d mod n are longer by one. The one
/// place that knows how grouped average pooling cuts a token.
struct grap_segment {
    std::size_t first;
    std::size_t length;

    constexpr grap_segment(std::size_t i, std::size_t n, std::size_t d)
        : first(i * (d / n) + (i < d % n ? i : d % n)), length(d / n + (i < d % n ? 1 : 0)) {}
};

}  // namespace locmoe::detail
