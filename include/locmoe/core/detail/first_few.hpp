#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace locmoe::inline v0::detail {

/// Moves the first `count` by `before` to the front, in no order among themselves: quickselect
/// (Hoare 1961). The pivot is the middle one of three at random places, the same ones in every run,
/// so that no order of the items is slow. Linear in their number; `before` tells any two apart.
template <class T, class Before>
void first_few(std::span<T> items, std::size_t count, Before before) {
    std::uint64_t random = items.size();
    const auto any = [&] {
        random = random * 6364136223846793005u + 1442695040888963407u;  // Knuth's, MMIX
        return static_cast<std::size_t>(((random >> 32) * std::uint64_t{items.size()}) >> 32);
    };
    while (count > 0 && count < items.size()) {
        if (items.size() <= 8) {  // a pivot would cost more than to sort them
            for (std::size_t i = 1; i < items.size(); ++i) {
                const T item = items[i];
                std::size_t place = i;
                for (; place > 0 && before(item, items[place - 1]); --place)
                    items[place] = items[place - 1];
                items[place] = item;
            }
            return;
        }
        std::size_t low = any(), middle = any(), high = any();
        if (before(items[middle], items[low])) std::swap(middle, low);
        if (before(items[high], items[middle]))
            middle = before(items[high], items[low]) ? low : high;
        std::swap(items[0], items[middle]);
        const T pivot = items[0];
        low = 0;
        high = items.size();
        for (;;) {  // what is left of low comes before the pivot, what is right of high after it
            do ++low;
            while (low < high && before(items[low], pivot));
            do --high;
            while (before(pivot, items[high]));
            if (low >= high) break;
            std::swap(items[low], items[high]);
        }
        std::swap(items[0], items[high]);  // the pivot to its place in the order
        if (high >= count) {
            items = items.first(high);
        } else {
            items = items.subspan(high + 1);
            count -= high + 1;
        }
    }
}

}  // namespace locmoe::detail
