#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace routing_test {

/// The same numbers in [-scale, scale) for the same seed, on every machine.
inline std::vector<double> numbers(std::size_t count, std::uint64_t seed, double scale = 1) {
    std::vector<double> out(count);
    for (double& x : out) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        x = scale * (static_cast<double>(seed >> 11) * 0x1p-52 - 1);
    }
    return out;
}

/// The largest distance between `gradient` and the central differences of `loss` in `x`, over the
/// largest entry of either. `loss` reads `x`, which is left as it was.
template <class Loss>
double gradient_error(const Loss& loss, std::vector<double>& x,
                      const std::vector<double>& gradient) {
    if (x.size() != gradient.size()) return 1;
    const double h = 1e-5;
    double distance = 0;
    double largest = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
        const double kept = x[i];
        x[i] = kept + h;
        const double above = loss();
        x[i] = kept - h;
        const double below = loss();
        x[i] = kept;
        const double slope = (above - below) / (2 * h);
        distance = std::fmax(distance, std::fabs(slope - gradient[i]));
        largest = std::fmax(largest, std::fmax(std::fabs(slope), std::fabs(gradient[i])));
    }
    return largest == 0 ? 1 : distance / largest;  // a gradient of zeros checks nothing
}

inline double dot(const std::vector<double>& a, const std::vector<double>& b) {
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
    return sum;
}

}  // namespace routing_test
