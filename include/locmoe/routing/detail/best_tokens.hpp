#pragma once

#include <cstddef>
#include <span>

#include "locmoe/core/detail/first_few.hpp"

namespace locmoe::inline v0::detail {

/// What stands for one expert's slots: a token, or a (token, slot) pair, by its place in the batch.
template <class Real>
struct candidate {
    Real value;
    std::size_t place;
};

/// Moves the `count` best to the front, in no order among themselves: the largest values, of equals
/// the first places. Linear in the number of candidates.
template <class Real>
void best_first(std::span<candidate<Real>> candidates, std::size_t count) {
    first_few(candidates, count, [](const candidate<Real>& a, const candidate<Real>& b) {
        return a.value != b.value ? a.value > b.value : a.place < b.place;
    });
}

}  // namespace locmoe::detail
