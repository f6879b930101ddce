#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "locmoe/core/element.hpp"
#include "locmoe/core/error.hpp"
#include "locmoe/core/ids.hpp"
#include "locmoe/routing/detail/row_math.hpp"
#include "locmoe/tensor/tensor_traits.hpp"

namespace locmoe::inline v0 {

/// How well the experts' tokens form clusters, by the Calinski-Harabasz index as LocMoE+ measures
/// it: the experts are the clusters, each (token, chosen expert) pair a sample. It reads every
/// token, O(T k d). `counts()` and `sums()` merge over batches and ranks by sums, to
/// `set_counts(backend.scan_counts(h.counts()).total)` and `all_reduce_sum(backend, h.sums())`.
class expert_homogeneity {
  public:
    /// No samples yet, of n experts and d columns.
    expert_homogeneity(std::size_t experts, std::size_t cols)
        : cols_(cols), counts_(experts, 0), sums_(experts * cols + 1, 0.0) {}

    /// Adds tokens `[T, d]` and the experts they chose, `[T, k]` as in routing::chosen. Sums are
    /// kept in double. Throws argument_error where shapes disagree or an expert is none of the n.
    template <class Tensor>
    void add(const Tensor& tokens, std::span<const expert_id> chosen) {
        using detail::concat;
        const auto x = view_of(tokens);
        if (x.rows != 0 && x.cols != cols_)
            detail::throw_argument("expert_homogeneity", "tokens", concat("d = ", cols_),
                                   concat(x.cols));
        if (x.rows == 0 ? !chosen.empty() : chosen.size() % x.rows != 0)
            detail::throw_argument("expert_homogeneity", "chosen",
                                   concat("[T, k] choices, T = ", x.rows), concat(chosen.size()));
        const std::size_t k = x.rows == 0 ? 0 : chosen.size() / x.rows;
        for (std::size_t i = 0; i < chosen.size(); ++i) {
            const expert_id e = chosen[i];
            if (e == no_expert) continue;
            if (e < 0 || static_cast<std::size_t>(e) >= counts_.size())
                detail::throw_argument("expert_homogeneity", concat("expert of token ", i / k),
                                       concat("0 to n - 1 with n = ", counts_.size()), concat(e));
            const auto row = x.row(i / k);
            double* sum = sums_.data() + static_cast<std::size_t>(e) * cols_;
            double squares = 0;
            for (std::size_t j = 0; j < cols_; ++j) {
                const double v = detail::as_real<double>(row[j]);
                sum[j] += v;
                squares += v * v;
            }
            sums_.back() += squares;
            ++counts_[static_cast<std::size_t>(e)];
        }
    }

    /// [B / (K - 1)] / [W / (T - K)] over the K experts that have samples, B the spread of their
    /// means about the mean of all, W the samples' about their expert's mean. Above 0; the larger,
    /// the more homogeneous the experts. 0 where it is undefined: K < 2, T = K, or W within
    /// rounding error of 0.
    double calinski_harabasz() const {
        double samples = 0;
        double used = 0;
        double of_means = 0;  // sum of n_e |mean_e|^2
        std::vector<double> all(cols_, 0.0);
        for (std::size_t e = 0; e < counts_.size(); ++e) {
            if (counts_[e] == 0) continue;
            const auto count = static_cast<double>(counts_[e]);
            const double* sum = sums_.data() + e * cols_;
            samples += count;
            ++used;
            for (std::size_t j = 0; j < cols_; ++j) {
                of_means += sum[j] * sum[j] / count;
                all[j] += sum[j];
            }
        }
        double of_mean = 0;
        for (const double v : all) of_mean += samples == 0 ? 0 : v * v / samples;
        const double within = sums_.back() - of_means;
        const double rounding = 0x1p-52 * samples * sums_.back();
        if (used < 2 || samples <= used || within <= rounding) return 0;
        return (of_means - of_mean) / (used - 1) / (within / (samples - used));
    }

    /// Samples of each expert, [n].
    std::span<const std::int64_t> counts() const noexcept { return counts_; }

    /// Throws argument_error where the length differs from that of `counts()`.
    void set_counts(std::span<const std::int64_t> counts) {
        if (counts.size() != counts_.size())
            detail::throw_argument("expert_homogeneity", "counts",
                                   detail::concat(counts_.size(), " numbers"),
                                   detail::concat(counts.size()));
        counts_.assign(counts.begin(), counts.end());
    }

    /// [n d + 1]: the sums of each expert's samples, and of all squares.
    std::span<double> sums() noexcept { return sums_; }
    std::span<const double> sums() const noexcept { return sums_; }  ///< the same, for reading

  private:
    std::size_t cols_;
    std::vector<std::int64_t> counts_;
    std::vector<double> sums_;
};

}  // namespace locmoe
