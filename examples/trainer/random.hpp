#pragma once

#include <cmath>
#include <cstdint>
#include <numbers>
#include <string_view>

namespace trainer {

/// splitmix64: the same numbers on every platform, and cheap to seed, so that each parameter and
/// each batch can have a generator of its own.
class generator {
  public:
    explicit generator(std::uint64_t seed) : state_(seed) {}

    std::uint64_t next() {
        state_ += 0x9e3779b97f4a7c15u;
        std::uint64_t z = state_;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        return z ^ (z >> 31);
    }

    /// 0 to `count` - 1; the bias of 2^-64 count is of no matter here.
    std::uint64_t below(std::uint64_t count) { return next() % count; }

    /// Above 0, at most 1.
    double uniform() { return static_cast<double>((next() >> 11) + 1) * 0x1p-53; }

    double normal() {
        const double radius = std::sqrt(-2.0 * std::log(uniform()));
        return radius * std::cos(2.0 * std::numbers::pi * uniform());
    }

  private:
    std::uint64_t state_;
};

/// A seed for what is called `name`, so that it does not depend on what else was drawn before.
inline std::uint64_t seed_for(std::uint64_t seed, std::string_view name) {
    std::uint64_t hash = 0xcbf29ce484222325u ^ generator(seed).next();
    for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
    return generator(hash).next();
}

inline std::uint64_t seed_for(std::uint64_t seed, std::uint64_t a, std::uint64_t b) {
    return generator(generator(generator(seed).next() ^ a).next() ^ b).next();
}

}  // namespace trainer
