#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include "locmoe/core/error.hpp"

namespace locmoe::inline v0 {

/// How |cos| is spread, as counts in bins whose edges grow by one factor: a DDSketch (Masson, Rim,
/// Lee 2019) whose range is known beforehand, so that its bins never collapse. Every quantile is
/// off by at most 1 % of its own value, down to 1e-6; what is below counts as 0. It needs the same
/// memory whatever is recorded, and batches and ranks merge by adding counts, exactly:
///
///     delta_sketch::from_counts(backend.scan_counts(sketch.counts()).total)
class delta_sketch {
  public:
    static constexpr double relative_error = 0.01;  ///< of a quantile, at most
    static constexpr double least = 1e-6;           ///< what is below counts as 0
    static constexpr std::size_t bin_count = 691;  ///< log(1 / least) / log_growth, rounded up

    /// Takes a number from 0 to 1. A NaN is counted beside the others, as `skip` does; what passes
    /// 1, as rounding may let it, counts as 1.
    void record(double delta) {
        if (delta != delta) return skip();
        ++counts_[bin_of(delta)];
    }

    /// A pair that has no angle.
    void skip() { ++counts_[bin_count + 1]; }

    /// Adds the counts of another: the sketch of what both have seen.
    void merge(const delta_sketch& other) {
        for (std::size_t i = 0; i < counts_.size(); ++i) counts_[i] += other.counts_[i];
    }

    /// Numbers recorded; what was skipped is not among them.
    std::int64_t count() const {
        std::int64_t all = 0;
        for (std::size_t i = 0; i <= bin_count; ++i) all += counts_[i];
        return all;
    }
    /// Pairs without an angle, NaN among them.
    std::int64_t skipped_count() const { return counts_[bin_count + 1]; }

    /// The number below which a share q of what was recorded lies: of count() sorted numbers the
    /// one at floor(q (count() - 1)), within `relative_error`. 0 gives the least, 1 the greatest.
    /// NaN where nothing was recorded. Throws argument_error where q is not in [0, 1].
    double quantile(double q) const {
        if (!(q >= 0 && q <= 1))
            detail::throw_argument("delta_sketch::quantile", "q", "a share from 0 to 1",
                                   detail::concat(q));
        const std::int64_t all = count();
        if (all == 0) return std::numeric_limits<double>::quiet_NaN();
        auto rank = static_cast<std::int64_t>(q * static_cast<double>(all - 1));
        std::size_t bin = bin_count;  // what is nearest to 0 comes last
        while (rank >= counts_[bin]) rank -= counts_[bin--];
        return value_of(bin);
    }

    /// Within `relative_error` as well, plus `least`; delta_statistics::mean() has the exact one.
    double mean() const {
        double sum = 0;
        for (std::size_t i = 0; i <= bin_count; ++i)
            sum += static_cast<double>(counts_[i]) * value_of(i);
        return count() == 0 ? std::numeric_limits<double>::quiet_NaN()
                            : sum / static_cast<double>(count());
    }

    /// The bins from 1 downwards, then what is below `least`, then what was skipped. Sums of them
    /// over batches or ranks are the sketch of all.
    std::span<const std::int64_t> counts() const { return counts_; }

    /// Throws argument_error where `counts` has another length than counts(), or one is negative.
    static delta_sketch from_counts(std::span<const std::int64_t> counts) {
        delta_sketch s;
        if (counts.size() != s.counts_.size())
            detail::throw_argument("delta_sketch::from_counts", "counts",
                                   detail::concat(s.counts_.size(), " counts"),
                                   detail::concat(counts.size()));
        for (std::size_t i = 0; i < counts.size(); ++i) {
            if (counts[i] < 0)
                detail::throw_argument("delta_sketch::from_counts", detail::concat("count ", i),
                                       "at least 0", detail::concat(counts[i]));
            s.counts_[i] = counts[i];
        }
        return s;
    }

  private:
    // log((1 + relative_error) / (1 - relative_error)): bin i holds (g^-(i+1), g^-i], and the
    // number that stands for it is as far from either edge, relative to that edge.
    static constexpr double log_growth = 0.020000666706669524;

    static std::size_t bin_of(double delta) {
        if (!(delta >= least)) return bin_count;
        if (delta >= 1) return 0;
        const auto bin = static_cast<std::size_t>(-std::log(delta) / log_growth);
        return bin < bin_count ? bin : bin_count - 1;
    }

    static double value_of(std::size_t bin) {
        if (bin == bin_count) return 0;
        return (1 - relative_error) * std::exp(-log_growth * static_cast<double>(bin));
    }

    std::array<std::int64_t, bin_count + 2> counts_ = {};
};

}  // namespace locmoe
