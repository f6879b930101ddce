#pragma once

#include <cstddef>
#include <utility>
#include <vector>

namespace locmoe::inline v0::detail {

/// Sorts so that no item is `before` an earlier one, equal ones in the order that they had. Runs of
/// a few items by insertion, then merged in pairs: O(n log n), about as fast as std::stable_sort.
/// Ours because <algorithm> is 11,000 lines to a header that only sorts.
template <class T, class Before>
void merge_sort(std::vector<T>& items, Before before) {
    constexpr std::size_t few = 16;
    const std::size_t count = items.size();
    for (std::size_t first = 0; first < count; first += few) {
        const std::size_t end = count - first < few ? count : first + few;
        for (std::size_t i = first + 1; i < end; ++i) {
            if (!before(items[i], items[i - 1])) continue;
            T item = std::move(items[i]);
            std::size_t place = i;
            for (; place > first && before(item, items[place - 1]); --place)
                items[place] = std::move(items[place - 1]);
            items[place] = std::move(item);
        }
    }
    if (count <= few) return;
    std::vector<T> merged(count);
    for (std::size_t width = few; width < count; width *= 2) {
        for (std::size_t first = 0; first < count; first += 2 * width) {
            const std::size_t middle = count - first < width ? count : first + width;
            const std::size_t end = count - middle < width ? count : middle + width;
            std::size_t left = first, right = middle;
            for (std::size_t to = first; to < end; ++to) {
                const bool take_right =
                    left == middle || (right < end && before(items[right], items[left]));
                merged[to] = std::move(items[take_right ? right++ : left++]);
            }
        }
        std::swap(items, merged);
    }
}

}  // namespace locmoe::detail
