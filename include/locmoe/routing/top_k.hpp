#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include "locmoe/core/ids.hpp"
#include "locmoe/routing/detail/row_exp.hpp"

namespace locmoe {

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

/// Few values reach a threshold that k are known to reach: the k-th largest of the maxima of 16
/// interleaved parts. These few are ranked by counting, without a branch that the values decide.
/// False, with nothing chosen, where k or the number of such values is too large, where the row is
/// so short that insertion is faster, or where too few parts hold more than minus infinity.
template <class Real>
bool top_k_by_threshold(std::span<const Real> values, std::span<expert_id> chosen) {
    constexpr std::size_t parts = sum_parts, most = 64;
    const std::size_t n = values.size(), k = chosen.size();
    if (k > parts || n < 2 * parts) return false;
    const std::size_t whole = n - n % parts;
    Real highest[parts];
    for (std::size_t p = 0; p < parts; ++p) highest[p] = values[p];
    for (std::size_t i = parts; i < whole; i += parts)
        for (std::size_t p = 0; p < parts; ++p)
            highest[p] = values[i + p] > highest[p] ? values[i + p] : highest[p];
    std::uint32_t larger[parts] = {};
    for (std::size_t q = 0; q < parts; ++q)
        for (std::size_t p = 0; p < parts; ++p) larger[p] += highest[q] > highest[p];
    Real threshold = std::numeric_limits<Real>::infinity();
    for (std::size_t p = 0; p < parts; ++p)
        threshold = larger[p] < k && highest[p] < threshold ? highest[p] : threshold;
    if (!(threshold > -std::numeric_limits<Real>::infinity())) return false;

    Real value[most + parts];
    expert_id index[most + parts];
    std::size_t count = 0;
    const auto collect = [&](std::size_t first, std::size_t last) {
        for (std::size_t i = first; i < last; ++i) {
            value[count] = values[i];
            index[count] = static_cast<expert_id>(i);
            count += values[i] >= threshold;
        }
    };
    for (std::size_t i = 0; i < whole; i += parts) {
        std::uint32_t reached = 0;
        for (std::size_t p = 0; p < parts; ++p) reached += values[i + p] >= threshold;
        if (reached != 0) collect(i, i + parts);
        if (count > most) return false;
    }
    collect(whole, n);
    if (count > most) return false;
    for (std::size_t a = 0; a < count; ++a) {
        std::size_t rank = 0;
        for (std::size_t b = 0; b < a; ++b) rank += value[b] >= value[a];
        for (std::size_t b = a + 1; b < count; ++b) rank += value[b] > value[a];
        if (rank < k) chosen[rank] = index[a];
    }
    return true;
}

}  // namespace detail

/// Writes where the k = `chosen.size()` largest of `values` are, the largest first, of equals the
/// lowest index first. Minus infinity is how a value is masked: it is never chosen, and slots that
/// nothing is left for hold `no_expert`. Values are not NaN. About one pass over long rows for k up
/// to 16.
template <class Real>
void top_k(std::span<const Real> values, std::span<expert_id> chosen) {
    if (!detail::top_k_by_threshold(values, chosen)) detail::top_k_by_insertion(values, chosen);
}

/// The one largest, of equals the lowest index: top_k with k = 1, for `values` that are not empty.
template <class Real>
expert_id top_1(std::span<const Real> values) {
    const Real highest = detail::row_max(values.data(), values.size());
    std::size_t i = 0;
    while (i + 1 < values.size() && values[i] != highest) ++i;
    return static_cast<expert_id>(i);
}

}  // namespace locmoe
