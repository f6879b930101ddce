// Row kernels of your own are a plain class with the four members that `row_kernels` names. These
// add up, scale and multiply float rows by BLAS; all else they leave to the library's own. Do they
// pay? Hardly: host_kernels reads each source once and writes past the caches. They show the form.

#include <cmath>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <limits>
#include <span>
#include <type_traits>
#include <vector>

#include <cblas.h>

#include "locmoe/exec/in_process.hpp"
#include "locmoe/locmoe.hpp"

class blas_kernels {
  public:
    void gather(const locmoe::row_space& space, const locmoe::row_sums& rows,
                locmoe::row_range range, locmoe::token_rows to) const {
        host_.gather(space, rows, range, to);  // a copy: nothing to compute
    }

    // [kernel]
    template <class Weight>  // float or double
    void sum(const locmoe::row_space& space, const locmoe::row_sums& rows, locmoe::row_range range,
             std::span<const Weight> weights, locmoe::token_rows to) const {
        if constexpr (std::is_same_v<Weight, float>)
            if (to.type == locmoe::element_type::f32) {
                for (std::size_t i = range.begin; i < range.end; ++i) {
                    float* total = floats(to.row(i - range.begin));
                    std::memset(total, 0, to.row_bytes);
                    for (const locmoe::row_index r : rows.sources(i)) {
                        const auto source = static_cast<std::size_t>(r);
                        const float weight = source < weights.size() ? weights[source] : 1.0f;
                        cblas_saxpy(width(to), weight, floats(space.row(r)), 1, total, 1);
                    }
                }
                return;
            }
        host_.sum(space, rows, range, weights, to);
    }
    // [kernel]

    template <class Weight>
    void scale(locmoe::const_token_rows in, std::span<const Weight> weights,
               locmoe::token_rows to) const {
        if constexpr (std::is_same_v<Weight, float>)
            if (to.type == locmoe::element_type::f32) {
                for (std::size_t i = 0; i < in.rows; ++i) {
                    if (in.row(i) != to.row(i)) std::memcpy(to.row(i), in.row(i), in.row_bytes);
                    cblas_sscal(width(to), weights[i], floats(to.row(i)), 1);
                }
                return;
            }
        host_.scale(in, weights, to);
    }

    template <class Result>
    void dot(locmoe::const_token_rows a, locmoe::const_token_rows b,
             std::span<Result> dots) const {
        if constexpr (std::is_same_v<Result, float>)
            if (a.type == locmoe::element_type::f32) {
                for (std::size_t i = 0; i < a.rows; ++i)
                    dots[i] = cblas_sdot(width(a), floats(a.row(i)), 1, floats(b.row(i)), 1);
                return;
            }
        host_.dot(a, b, dots);
    }

  private:
    static int width(locmoe::const_token_rows rows) {
        if (rows.cols() > static_cast<std::size_t>(std::numeric_limits<int>::max()))
            throw locmoe::argument_error("blas_kernels: rows are too long for BLAS");
        return static_cast<int>(rows.cols());
    }
    static const float* floats(const std::byte* row) {
        return reinterpret_cast<const float*>(row);
    }
    static float* floats(std::byte* row) { return reinterpret_cast<float*>(row); }

    locmoe::host_kernels host_;
};

static_assert(locmoe::row_kernels<blas_kernels>);

/// Tokens to their experts and back, and the gradients of both, with any kernels.
template <class Kernels>
std::vector<float> forward_and_backward(locmoe::in_process_backend& backend, Kernels kernels) {
    using namespace locmoe;
    constexpr std::size_t tokens = 64, width = 48;
    executor ex(backend, topology::uniform(2, 2), expert_placement::blocked(8, 4), kernels);
    std::vector<float> x(tokens * width), y(x.size()), grad_x(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = std::sin(static_cast<float>(i));

    const auto decided = random_router(8, 3, 1).route(as_matrix(x, width), ex.context());
    const exchange_plan plan = ex.plan(assign(decided), node_aggregated{});
    const auto weights = ex.dispatch_weights(plan, decided.weights);
    std::vector<float> rows(plan.expert_row_count() * width), grad_rows(rows.size());
    std::vector<float> grad_weights(decided.weights.size());
    ex.dispatch(plan, as_matrix(x, width), as_matrix(rows, width));
    ex.combine(plan, as_matrix(rows, width), weights, as_matrix(y, width));
    ex.combine_backward(plan, as_matrix(y, width), as_matrix(rows, width), weights,
                        as_matrix(grad_rows, width), grad_weights);
    ex.dispatch_backward(plan, as_matrix(grad_rows, width), as_matrix(grad_x, width));

    y.insert(y.end(), grad_x.begin(), grad_x.end());
    y.insert(y.end(), grad_weights.begin(), grad_weights.end());
    return y;
}

int main() {
    locmoe::run_in_process(4, [](locmoe::in_process_backend& backend) {
        const auto expected = forward_and_backward(backend, locmoe::host_kernels{});
        const auto got = forward_and_backward(backend, blas_kernels{});
        float difference = 0;
        for (std::size_t i = 0; i < got.size(); ++i)
            difference = std::fmax(difference, std::fabs(got[i] - expected[i]));
        if (backend.rank() == 0)
            std::printf("largest difference from the library's kernels: %g\n", double(difference));
        if (!(difference < 1e-4f)) throw locmoe::error("BLAS gives other rows");
    });
}
