// LibTorch on one thread, its results into given tensors.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <ATen/core/ivalue.h>  // first: LibTorch 1.13 under clang
//
#include <ATen/ATen.h>

#include "rivals.hpp"

namespace bench::torch {
namespace {

std::int64_t size(std::size_t count) { return static_cast<std::int64_t>(count); }

at::Tensor matrix(const void* data, std::size_t rows, std::size_t cols, bool bf16 = false) {
    return at::from_blob(const_cast<void*>(data), {size(rows), size(cols)},
                         bf16 ? at::kBFloat16 : at::kFloat);
}

/// Softmax of the logits and the k best of each row.
struct chosen {
    at::Tensor scores, best, experts;

    chosen(std::size_t T, std::size_t n, std::size_t k)
        : scores(at::empty({size(T), size(n)})),
          best(at::empty({size(T), size(k)})),
          experts(at::empty({size(T), size(k)}, at::kLong)) {}
    void choose(const at::Tensor& logits) {
        at::_softmax_out(scores, logits, 1, false);
        at::topk_out(best, experts, scores, best.size(1));
    }
};

}  // namespace

work dense_gate(const gate_inputs& in) {
    return [x = matrix(in.tokens, in.T, in.d), w = matrix(in.weights, in.n, in.d).t(),
            z = at::empty({size(in.T), size(in.n)}), out = chosen(in.T, in.n, in.k)]() mutable {
        at::mm_out(z, x, w);
        out.choose(z);
    };
}

work grap_gate(const gate_inputs& in) {
    return [x = matrix(in.tokens, in.T, in.d).view({size(in.T), size(in.n), size(in.d / in.n)}),
            z = at::empty({size(in.T), size(in.n)}), out = chosen(in.T, in.n, in.k)]() mutable {
        at::mean_out(z, x, {2});
        out.choose(z);
    };
}

work choice(const logit_inputs& in) {
    return [z = matrix(in.logits, in.T, in.n), out = chosen(in.T, in.n, in.k)]() mutable {
        out.choose(z);
    };
}

namespace {

struct gathered {
    at::Tensor tokens, rows, index;

    explicit gathered(const gather_inputs& in)
        : tokens(matrix(in.tokens, in.T, in.d, in.bf16)),
          rows(matrix(in.rows, in.token_of.size(), in.d, in.bf16)),
          index(at::tensor(std::vector<std::int64_t>(in.token_of.begin(), in.token_of.end()))) {}
};

}  // namespace

work dispatch(const gather_inputs& in) {
    return [of = gathered(in)]() mutable {
        at::index_select_out(of.rows, of.tokens, 0, of.index);
    };
}

work combine(const gather_inputs& in, double weight) {
    gathered of(in);
    auto weighted = at::empty_like(of.rows);
    const auto column = at::full({of.rows.size(0), 1}, weight, of.rows.scalar_type());
    return [of, weighted, column]() mutable {
        of.tokens.zero_();
        at::mul_out(weighted, of.rows, column);
        of.tokens.index_add_(0, of.index, weighted);
    };
}

work combine_unweighted(const gather_inputs& in) {
    return [of = gathered(in)]() mutable {
        of.tokens.zero_();
        of.tokens.index_add_(0, of.index, of.rows);
    };
}

work argsort(std::span<const std::int32_t> experts) {
    auto list = at::from_blob(const_cast<std::int32_t*>(experts.data()), {size(experts.size())},
                              at::kInt);
    return [list, sorted = at::empty_like(list),
            order = at::empty({list.size(0)}, at::kLong)]() mutable {
        at::sort_out(sorted, order, list, true, 0, false);
    };
}

}  // namespace bench::torch
