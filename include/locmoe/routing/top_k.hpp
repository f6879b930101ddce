#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include "locmoe/core/ids.hpp"
#include "locmoe/routing/detail/row_exp.hpp"
#include "locmoe/routing/detail/row_math.hpp"
#include "locmoe/routing/detail/widest.hpp"

namespace locmoe::inline v0 {
namespace detail {
/// By insertion into the k so far, kept sorted: any k, any values.
template <class Real>
void top_k_by_insertion(std::span<const Real> values, std::span<expert_id> chosen) {
    const std::size_t n = values.size(), k = chosen.size();
    for (expert_id& slot : chosen) slot = no_expert;
    Real least = -std::numeric_limits<Real>::infinity();  // of the k so far, once there are k
    std::size_t count = 0;
    const auto offer = [&](std::size_t i) {
        const Real value = values[i];
        if (!(value > least)) return;
        std::size_t place = count < k ? count++ : k - 1;
        for (; place > 0 && value > values[static_cast<std::size_t>(chosen[place - 1])]; --place)
            chosen[place] = chosen[place - 1];
        chosen[place] = static_cast<expert_id>(i);
        if (count == k) least = values[static_cast<std::size_t>(chosen[k - 1])];
    };
    std::size_t i = 0;
    // Most parts of a long row hold nothing of interest, and their maximum is cheap.
    for (; i + sum_parts <= n && k != 0; i += sum_parts) {
        if (count == k && !(row_max(values.data() + i, sum_parts) > least)) continue;
        for (std::size_t j = i; j < i + sum_parts; ++j) offer(j);
    }
    for (; i < n && k != 0; ++i) offer(i);
}

/// place[p] becomes where value[first + p] stands among the `count` values, the largest first, of
/// equals the lowest index first: by counting, without a branch that the values decide. (g++ -O3
/// unrolls loops of 16 before it looks for vectors, and then finds none: hence the pragmas.)
template <class Real>
[[gnu::always_inline]] inline void rank_part(const Real* value, std::uint32_t count,
                                             std::uint32_t first,
                                             std::uint32_t (&place)[sum_parts]) {
    for (std::uint32_t& p : place) p = 0;
    for (std::uint32_t i = 0; i < count; ++i) {
#pragma GCC unroll 1
        for (std::uint32_t p = 0; p < sum_parts; ++p)
            place[p] += static_cast<std::uint32_t>(value[i] > value[first + p]) |
                        (static_cast<std::uint32_t>(value[i] == value[first + p]) &
                         static_cast<std::uint32_t>(i < first + p));
    }
}

/// Few values reach a threshold that k are known to reach: the k-th largest of the maxima of 16
/// interleaved parts. These few are ranked by counting. False, with nothing chosen, where k or the
/// number of such values is too large, or where too few parts hold more than minus infinity.
template <class Real>
[[gnu::always_inline]] inline bool top_k_by_threshold(const Real* values, std::size_t n,
                                                      expert_id* chosen, std::size_t k) {
    constexpr std::size_t parts = sum_parts, most = 64;
    constexpr Real out = -std::numeric_limits<Real>::infinity();
    const std::size_t whole = n - n % parts, maxima = n < parts ? n : parts;
    if (k == 0 || k > maxima) return false;
    Real highest[parts];
    for (Real& v : highest) v = out;
    for (std::size_t i = 0; i < whole; i += parts)
        for (std::size_t p = 0; p < parts; ++p)
            highest[p] = values[i + p] > highest[p] ? values[i + p] : highest[p];
    for (std::size_t i = whole; i < n; ++i)
        highest[i - whole] = values[i] > highest[i - whole] ? values[i] : highest[i - whole];
    std::uint32_t place_of[parts];
    rank_part(highest, static_cast<std::uint32_t>(maxima), 0, place_of);
    Real threshold = out;
    const auto last_place = static_cast<std::uint32_t>(k - 1);
#pragma GCC unroll 1
    for (std::size_t p = 0; p < parts; ++p) {
        const Real here = place_of[p] == last_place ? highest[p] : out;
        threshold = here > threshold ? here : threshold;
    }
    if (!(threshold > out)) return false;

    Real value[most];
    expert_id index[most];
    const auto pad = [&](std::size_t from, std::size_t to) {
        for (std::size_t i = from; i < to; ++i) {
            value[i] = out;
            index[i] = no_expert;
        }
    };
    pad(0, parts);
    std::size_t count = 0;
    for (std::size_t first = 0; first < n; first += 64) {
        std::uint64_t reached = 0;  // bit b: value first + b
        const std::size_t last = first + 64 < whole ? first + 64 : whole;
        std::size_t i = first;
        for (; i < last; i += parts) {
            std::uint32_t bits = 0;
#pragma GCC unroll 1
            for (std::size_t p = 0; p < parts; ++p)
                bits |= static_cast<std::uint32_t>(values[i + p] >= threshold) << p;
            reached |= static_cast<std::uint64_t>(bits) << (i - first);
        }
        for (; i < n && i < first + 64; ++i)
            reached |= static_cast<std::uint64_t>(values[i] >= threshold) << (i - first);
        if (count + static_cast<std::size_t>(std::popcount(reached)) > most) return false;
        for (; reached != 0; reached &= reached - 1) {
            const std::size_t place = first + static_cast<std::size_t>(std::countr_zero(reached));
            value[count] = values[place];
            index[count++] = static_cast<expert_id>(place);
        }
    }
    const std::size_t padded = (count + parts - 1) / parts * parts;
    if (count > parts) pad(count, padded);
    expert_id sorted[most];
    for (std::size_t first = 0; first < padded; first += parts) {
        std::uint32_t place[parts];
        rank_part(value, static_cast<std::uint32_t>(padded), static_cast<std::uint32_t>(first),
                  place);
        for (std::size_t p = 0; p < parts; ++p) sorted[place[p]] = index[first + p];
    }
    for (std::size_t slot = 0; slot < k; ++slot) chosen[slot] = sorted[slot];
    return true;
}

}  // namespace detail

/// Writes where the k = `chosen.size()` largest of `values` are, the largest first, of equals the
/// lowest index first. Minus infinity is how a value is masked: it is never chosen, and slots that
/// nothing is left for hold `no_expert`. Values are not NaN. About one pass over long rows for k up
/// to 16.
template <class Real>
void top_k(std::span<const Real> values, std::span<expert_id> chosen) {
    const std::size_t n = values.size(), k = chosen.size();
    const bool few = n < detail::sum_parts || (n < 2 * detail::sum_parts && k <= 2);
    if (few ||  // where insertion is faster
        !detail::widest<detail::top_k_by_threshold<Real>>(values.data(), n, chosen.data(), k))
        detail::top_k_by_insertion(values, chosen);
}

/// The one largest, of equals the lowest index: top_k with k = 1, for `values` that are not empty.
template <class Real>
expert_id top_1(std::span<const Real> values) {
    const Real highest = detail::widest<detail::row_max<Real>>(values.data(), values.size());
    std::size_t i = 0;
    while (i + 1 < values.size() && values[i] != highest) ++i;
    return static_cast<expert_id>(i);
}

}  // namespace locmoe
