#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "locmoe/core/error.hpp"

namespace locmoe::inline v0 {

/// How far the bias moves in a step.
struct bias_update {
    double rate = 0.001;   ///< u >= 0; DeepSeek-V3's value for most of its training
    bool centred = false;  ///< true: take off the steps' mean, so that the biases' sum stays
};

/// The balance without a loss of DeepSeek-V3 (arXiv 2412.19437, section 2.1.2; Wang et al. 2024,
/// algorithm 1), once a step: bias_i += u sign(mean load - load_i), an expert at the mean as it is.
/// The bias is no trained parameter and has no gradient. `load` `[n]` is `count_choices` summed
/// over all ranks, so that every rank makes the same step. `centred` is torchtitan's: sign minus
/// the mean sign. Throws argument_error where there is not one load a bias, or u is negative or not
/// finite.
inline void update_bias(std::span<float> bias, std::span<const std::int64_t> load,
                        bias_update options = {}) {
    using detail::concat;
    if (load.size() != bias.size())
        detail::throw_argument("update_bias", "load", concat("n = ", bias.size(), " counts"),
                               concat(load.size()));
    if (!(options.rate >= 0 && options.rate - options.rate == 0))
        detail::throw_argument("update_bias", "rate", "a finite number >= 0", concat(options.rate));
    const auto n = static_cast<std::int64_t>(bias.size());
    std::int64_t total = 0;
    for (const std::int64_t l : load) total += l;
    // Whole numbers: the comparison with the mean is exact.
    const auto sign = [&](std::int64_t l) { return (l * n < total) - (l * n > total); };
    double mean = 0;
    if (options.centred && n != 0) {
        for (const std::int64_t l : load) mean += sign(l);
        mean /= static_cast<double>(n);
    }
    for (std::size_t i = 0; i < bias.size(); ++i)
        bias[i] += static_cast<float>(options.rate * (sign(load[i]) - mean));
}

}  // namespace locmoe
