// Plain loops, Eigen and xtensor, for the record. This file alone is compiled for the processor it
// runs on, as their users would, and includes nothing of locmoe, whose kernels choose at run time.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#ifdef LOCMOE_BENCH_HAS_EIGEN
#include <Eigen/Dense>
#endif
#ifdef LOCMOE_BENCH_HAS_XTENSOR
#define XTENSOR_USE_XSIMD
#include <xtensor-blas/xlinalg.hpp>
#include <xtensor/xadapt.hpp>
#include <xtensor/xnoalias.hpp>
#include <xtensor/xtensor.hpp>
#include <xtensor/xview.hpp>
#endif

#include "rivals.hpp"

namespace bench {
namespace {

/// The k best of each row.
struct chosen {
    std::size_t n, k;
    std::vector<std::int32_t> order, experts;

    chosen(std::size_t T, std::size_t experts_n, std::size_t choices)
        : n(experts_n), k(choices), order(experts_n), experts(T * choices) {}
    void choose(const float* scores) {
        for (std::size_t t = 0; t < experts.size() / k; ++t, scores += n) {
            for (std::size_t e = 0; e < n; ++e) order[e] = static_cast<std::int32_t>(e);
            std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(k),
                              order.end(), [&](std::int32_t a, std::int32_t b) {
                                  return scores[a] > scores[b];
                              });
            std::copy_n(order.begin(), k, experts.begin() + static_cast<std::ptrdiff_t>(t * k));
        }
    }
};

}  // namespace

namespace loops {
namespace {

struct scored {
    std::size_t n;
    std::vector<float> scores;
    chosen out;

    scored(std::size_t T, std::size_t experts, std::size_t k)
        : n(experts), scores(T * experts), out(T, experts, k) {}
    void choose() {
        for (std::size_t i = 0; i < scores.size(); i += n) {
            float* row = scores.data() + i;
            const float most = *std::max_element(row, row + n);
            float sum = 0;
            for (std::size_t e = 0; e < n; ++e) sum += row[e] = std::exp(row[e] - most);
            for (std::size_t e = 0; e < n; ++e) row[e] /= sum;
        }
        out.choose(scores.data());
    }
};

}  // namespace

work dense_gate(const gate_inputs& in) {
    return [in, z = scored(in.T, in.n, in.k)]() mutable {
        for (std::size_t t = 0; t < in.T; ++t)
            for (std::size_t e = 0; e < in.n; ++e) {
                float sum = 0;
                for (std::size_t c = 0; c < in.d; ++c)
                    sum += in.tokens[t * in.d + c] * in.weights[e * in.d + c];
                z.scores[t * in.n + e] = sum;
            }
        z.choose();
    };
}

work grap_gate(const gate_inputs& in) {
    return [in, z = scored(in.T, in.n, in.k)]() mutable {
        const std::size_t length = in.d / in.n;
        for (std::size_t i = 0; i < in.T * in.n; ++i) {
            float sum = 0;
            for (std::size_t c = 0; c < length; ++c) sum += in.tokens[i * length + c];
            z.scores[i] = sum / static_cast<float>(length);
        }
        z.choose();
    };
}

work choice(const logit_inputs& in) {
    return [in, z = scored(in.T, in.n, in.k)]() mutable {
        std::copy_n(in.logits, in.T * in.n, z.scores.begin());
        z.choose();
    };
}

}  // namespace loops

#ifdef LOCMOE_BENCH_HAS_EIGEN
namespace eigen {
namespace {

using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using view = Eigen::Map<const matrix>;

view view_of(const void* data, std::size_t rows, std::size_t cols) {
    return view(static_cast<const float*>(data), static_cast<Eigen::Index>(rows),
                static_cast<Eigen::Index>(cols));
}

void choose(matrix& z, chosen& out) {
    z = (z.colwise() - z.rowwise().maxCoeff().eval()).array().exp().matrix();
    z.array().colwise() /= z.rowwise().sum().eval().array();
    out.choose(z.data());
}

}  // namespace

work dense_gate(const gate_inputs& in) {
    return [x = view_of(in.tokens, in.T, in.d), w = view_of(in.weights, in.n, in.d),
            z = matrix(in.T, in.n), out = chosen(in.T, in.n, in.k)]() mutable {
        z.noalias() = x * w.transpose();
        choose(z, out);
    };
}

work grap_gate(const gate_inputs& in) {
    return [x = view_of(in.tokens, in.T * in.n, in.d / in.n), z = matrix(in.T, in.n),
            out = chosen(in.T, in.n, in.k)]() mutable {
        Eigen::Map<Eigen::VectorXf>(z.data(), z.size()) = x.rowwise().mean();
        choose(z, out);
    };
}

work choice(const logit_inputs& in) {
    return [logits = view_of(in.logits, in.T, in.n), z = matrix(in.T, in.n),
            out = chosen(in.T, in.n, in.k)]() mutable {
        z = logits;
        choose(z, out);
    };
}

work dispatch(const gather_inputs& in) {
    return [tokens = view_of(in.tokens, in.T, in.d),
            rows = Eigen::Map<matrix>(static_cast<float*>(in.rows),
                                      static_cast<Eigen::Index>(in.token_of.size()),
                                      static_cast<Eigen::Index>(in.d)),
            index = std::vector<std::int64_t>(in.token_of.begin(), in.token_of.end())]() mutable {
        rows = tokens(index, Eigen::all);
    };
}

}  // namespace eigen
#endif

#ifdef LOCMOE_BENCH_HAS_XTENSOR
namespace xtensor {
namespace {

template <std::size_t N>
auto view_of(const void* data, const std::array<std::size_t, N>& shape) {
    std::size_t count = 1;
    for (const std::size_t s : shape) count *= s;
    return xt::adapt(static_cast<const float*>(data), count, xt::no_ownership(), shape);
}
auto matrix_of(const void* data, std::size_t rows, std::size_t cols) {
    return view_of<2>(data, {rows, cols});
}

using matrix = xt::xtensor<float, 2>;

void choose(matrix& z, chosen& out) {
    const xt::xtensor<float, 2> most = xt::amax(z, {1}, xt::keep_dims);
    xt::noalias(z) = xt::exp(z - most);
    const xt::xtensor<float, 2> sums = xt::sum(z, {1}, xt::keep_dims);
    xt::noalias(z) = z / sums;
    out.choose(z.data());
}

}  // namespace

work dense_gate(const gate_inputs& in) {
    return [x = matrix_of(in.tokens, in.T, in.d), w = matrix_of(in.weights, in.n, in.d),
            z = matrix::from_shape({in.T, in.n}), out = chosen(in.T, in.n, in.k)]() mutable {
        xt::blas::gemm(x, w, z, false, true);
        choose(z, out);
    };
}

work grap_gate(const gate_inputs& in) {
    return [x = view_of<3>(in.tokens, {in.T, in.n, in.d / in.n}),
            z = matrix::from_shape({in.T, in.n}), out = chosen(in.T, in.n, in.k)]() mutable {
        xt::noalias(z) = xt::mean(x, {2});
        choose(z, out);
    };
}

work choice(const logit_inputs& in) {
    return [logits = matrix_of(in.logits, in.T, in.n), z = matrix::from_shape({in.T, in.n}),
            out = chosen(in.T, in.n, in.k)]() mutable {
        xt::noalias(z) = logits;
        choose(z, out);
    };
}

work dispatch(const gather_inputs& in) {
    const std::array<std::size_t, 2> shape{in.token_of.size(), in.d};
    return [tokens = matrix_of(in.tokens, in.T, in.d),
            rows = xt::adapt(static_cast<float*>(in.rows), shape[0] * shape[1],
                             xt::no_ownership(), shape),
            index = std::vector<std::ptrdiff_t>(in.token_of.begin(),
                                                in.token_of.end())]() mutable {
        xt::noalias(rows) = xt::view(tokens, xt::keep(index), xt::all());
    };
}

}  // namespace xtensor
#endif

}  // namespace bench
