#pragma once

#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include <boost/math/special_functions/gamma.hpp>

#include "locmoe/core/element.hpp"
#include "locmoe/core/error.hpp"
#include "locmoe/core/matrix_view.hpp"
#include "locmoe/routing/detail/row_math.hpp"
#include "locmoe/tensor/tensor_traits.hpp"

// Asks for Boost.Math's headers, so locmoe.hpp leaves it out.

namespace locmoe::inline v0 {

/// How many tokens are compared, and how sure the verdict is to be.
struct isotropy_options {
    std::size_t most_tokens = 256;  ///< m, the tokens that are compared, spread evenly; at least 2
    double level = 0.01;            ///< chance of a false alarm, above 0 and below 1
};

/// Whether token directions may be uniform on the sphere, as the least-capacity theorem assumes.
struct isotropy_test {
    std::size_t token_count = 0;  ///< compared: those with a direction
    std::size_t hidden_size = 0;  ///< d
    double level = 0;             ///< chance of a false alarm that `isotropic` allows
    double mean_direction_z = 0;  ///< Rayleigh's statistic, mean 0 and variance 1 if isotropic
    double mean_direction_p = 1;  ///< small: the tokens share a direction
    double axes_z = 0;            ///< Bingham's, likewise
    double axes_p = 1;  ///< small: they prefer some axes, as low-rank or clustered ones do

    /// 1 over the mean squared cosine of two tokens, about d if isotropic: in so many dimensions
    /// isotropic tokens would spread as these do. Infinite where all are orthogonal.
    double effective_dimensions = 0;

    /// Both tests together, by Bonferroni: false means that the assumption fails, true that nothing
    /// speaks against it, which with few tokens is little.
    bool isotropic() const {
        const double least = mean_direction_p < axes_p ? mean_direction_p : axes_p;
        return !(2 * least < level);
    }
};

namespace detail {

/// P(Z >= z) for Z = (chi^2_f - f) / sqrt(2 f).
inline double standard_chi_squared_tail(double z, double freedom) {
    const double x = freedom + z * std::sqrt(2 * freedom);
    return x > 0 ? boost::math::gamma_q(0.5 * freedom, 0.5 * x) : 1;
}

}  // namespace detail

/// Compares m of the tokens `[T, d]` pairwise, in O(m^2 d): sums of the cosine c of two tokens and
/// of c^2 - 1/d, over all pairs. For uniform directions the cosines of different pairs are pairwise
/// independent with variance 1/d, their squares with variance 2 (d-1) / (d^2 (d+2)), so that both
/// sums have mean 0 and a known variance for every m and d; no covariance is estimated, and d may
/// exceed m.
///
/// The p-values are those of Rayleigh's and Bingham's statistics, standardized: chi-squared with d
/// and (d-1)(d+2)/2 degrees of freedom for m large, which turn into normal ones as d grows as well,
/// at any rate of d to m (Paindaveine & Verdebout 2016; Cutting, Paindaveine & Verdebout 2017).
/// Checked by simulation at levels 0.05 and 0.01, m >= 32 and d from 2 to 512: the true level stays
/// within half and twice the nominal one. Tokens of one sequence are dependent, which alone may
/// fail the test.
///
/// Tokens of zeros, or with a NaN or an infinity, have no direction and are passed over. Throws
/// argument_error where d < 2, fewer than two tokens have a direction, most_tokens < 2, or `level`
/// is not strictly between 0 and 1.
template <class Tensor>
isotropy_test test_isotropy(const Tensor& tokens, const isotropy_options& options = {}) {
    using detail::concat;
    const auto x = view_of(tokens);
    if (x.cols < 2)
        detail::throw_argument("test_isotropy", "tokens", "at least 2 columns", concat(x.cols));
    if (options.most_tokens < 2)
        detail::throw_argument("test_isotropy", "most_tokens", "at least 2",
                               concat(options.most_tokens));
    if (!(options.level > 0 && options.level < 1))
        detail::throw_argument("test_isotropy", "level", "above 0 and below 1",
                               concat(options.level));

    const std::size_t d = x.cols;
    const std::size_t most = x.rows < options.most_tokens ? x.rows : options.most_tokens;
    std::vector<double> unit;  // [m, d]
    unit.reserve(most * d);
    std::size_t m = 0;
    for (std::size_t s = 0; s < most; ++s) {
        const auto* row = x.row(s * x.rows / most).data();
        double norm2 = 0;
        for (std::size_t j = 0; j < d; ++j) {
            const double v = detail::as_real<double>(row[j]);
            norm2 += v * v;
        }
        if (!(norm2 > 0 && norm2 <= std::numeric_limits<double>::max())) continue;
        const double norm = std::sqrt(norm2);
        for (std::size_t j = 0; j < d; ++j) unit.push_back(detail::as_real<double>(row[j]) / norm);
        ++m;
    }
    if (m < 2)
        detail::throw_argument("test_isotropy", "tokens", "at least 2 with a direction", concat(m));

    double cosines = 0;
    double squares = 0;
    for (std::size_t s = 1; s < m; ++s)
        for (std::size_t t = 0; t < s; ++t) {
            const double c = detail::row_dot(&unit[s * d], &unit[t * d], d);
            cosines += c;
            squares += c * c;
        }

    const double n = static_cast<double>(d);
    const double pairs = 0.5 * static_cast<double>(m) * (static_cast<double>(m) - 1);
    isotropy_test result;
    result.token_count = m;
    result.hidden_size = d;
    result.level = options.level;
    result.mean_direction_z = cosines / std::sqrt(pairs / n);
    result.axes_z = (squares - pairs / n) / std::sqrt(pairs * 2 * (n - 1) / (n * n * (n + 2)));
    result.mean_direction_p = detail::standard_chi_squared_tail(result.mean_direction_z, n);
    result.axes_p = detail::standard_chi_squared_tail(result.axes_z, 0.5 * (n - 1) * (n + 2));
    result.effective_dimensions = pairs / squares;
    return result;
}

}  // namespace locmoe
