#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

namespace locmoe::inline v0::detail {

/// splitmix64 (Steele et al. 2014): every bit of the result depends on every bit of x.
constexpr std::uint64_t mix_bits(std::uint64_t x) {
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/// Random bits become a number from 0 to `count` - 1, `count` below 2^32.
constexpr std::size_t scale_bits(std::uint64_t bits, std::size_t count) {
    return static_cast<std::size_t>(((bits >> 32) * std::uint64_t{count}) >> 32);
}

/// The random numbers of one token at one step: a function of its four arguments alone, so that
/// neither the order of evaluation nor the layout of ranks changes a draw.
class token_random {
  public:
    constexpr token_random(std::uint64_t seed, std::uint64_t step, std::uint64_t token)
        : key_(mix_bits(mix_bits(mix_bits(seed) ^ step) ^ token)) {}

    constexpr std::uint64_t bits(std::uint64_t index) const { return mix_bits(key_ ^ index); }

    /// Uniform in [0, 1).
    constexpr double uniform(std::uint64_t index) const {
        return static_cast<double>(bits(index) >> 11) * 0x1p-53;
    }

    /// Uniform in 0 to count - 1.
    constexpr std::size_t below(std::size_t count, std::uint64_t index) const {
        return scale_bits(bits(index), count);
    }

    /// Standard normal (Box and Muller 1958).
    double normal(std::uint64_t index) const {
        const double radius = std::sqrt(-2 * std::log(1 - uniform(2 * index)));
        return radius * std::cos(6.283185307179586 * uniform(2 * index + 1));
    }

  private:
    std::uint64_t key_;
};

}  // namespace locmoe::detail
