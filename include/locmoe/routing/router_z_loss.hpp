#pragma once

#include <cmath>
#include <cstddef>
#include <limits>
#include <type_traits>
#include <vector>

#include "locmoe/core/error.hpp"
#include "locmoe/core/ids.hpp"
#include "locmoe/core/matrix_view.hpp"
#include "locmoe/routing/detail/check.hpp"
#include "locmoe/routing/detail/loss_check.hpp"
#include "locmoe/routing/detail/row_exp.hpp"
#include "locmoe/routing/detail/widest.hpp"

namespace locmoe::inline v0 {

/// How strong the loss is.
struct router_z_options {
    double coefficient = 0.001;  ///< >= 0; ST-MoE's own value
};

/// The router z-loss of ST-MoE (Zoph et al. 2022, eq. 5), which keeps logits small:
/// coefficient / T sum_t (log sum_i exp(z_ti))^2. A function of the logits alone; masked ones may
/// be minus infinity. Without tokens it is 0.
class router_z_loss {
  public:
    /// Throws argument_error unless the coefficient is finite and >= 0.
    explicit router_z_loss(router_z_options options = {}) : options_(options) {
        detail::check_coefficient("router_z_loss", "coefficient", options.coefficient);
    }

    /// Logits `[T, n]`. Throws argument_error where a row has no finite log-sum-exp (a NaN, plus
    /// infinity, or nothing but masked experts), naming the token and `rank`.
    template <class Real>
    double value(matrix_view<Real> logits, rank_id rank = no_rank) const {
        if (logits.rows == 0) return 0;
        double sum = 0;
        exponentials<Real> row(logits.cols);
        for (std::size_t t = 0; t < logits.rows; ++t) {
            const double z = row.log_sum(logits, t, rank);
            sum += z * z;
        }
        return options_.coefficient * sum / static_cast<double>(logits.rows);
    }

    /// Adds `scale` times d value / d logits, 2 coefficient / T log-sum-exp_t softmax(z_t)_i, to
    /// `grad_logits` `[T, n]`.
    template <class Logit, class Real>
    void add_gradient(matrix_view<Logit> logits, double scale, matrix_view<Real> grad_logits,
                      rank_id rank = no_rank) const {
        detail::check_shape("router_z_loss", "grad_logits", grad_logits, logits.rows, logits.cols,
                            rank);
        exponentials<Logit> row(logits.cols);
        for (std::size_t t = 0; t < logits.rows; ++t) {
            const double z = row.log_sum(logits, t, rank);
            const auto slope = static_cast<Real>(2 * scale * options_.coefficient * z /
                                                 static_cast<double>(logits.rows) / row.sum);
            const auto grad = grad_logits.row(t);
            for (std::size_t i = 0; i < grad.size(); ++i)
                grad[i] += slope * static_cast<Real>(row.of[i]);
        }
    }

  private:
    /// exp(z_i - highest) of one token, and their sum.
    template <class Logit>
    struct exponentials {
        using real = std::remove_const_t<Logit>;

        std::vector<real> of;
        double sum = 0;

        explicit exponentials(std::size_t n) : of(n) {}

        double log_sum(matrix_view<Logit> logits, std::size_t t, rank_id rank) {
            const auto row = logits.row(t);
            double all = -std::numeric_limits<double>::infinity();
            if (!of.empty()) {
                const real highest = detail::row_max(row.data(), of.size());
                for (std::size_t i = 0; i < of.size(); ++i) of[i] = row[i];
                sum = static_cast<double>(detail::widest_fused<detail::row_exp<real>>(
                    of.data(), real(1), -highest, of.size()));
                all = static_cast<double>(highest) + std::log(sum);
            }
            if (!detail::is_finite(all))
                detail::throw_argument("router_z_loss", detail::concat("logits of token ", t),
                                       "a finite log-sum-exp", detail::concat(all), rank);
            return all;
        }
    };

    router_z_options options_;
};

}  // namespace locmoe
