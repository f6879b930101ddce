#pragma once

// What a user would write instead: plain loops, Eigen, xtensor and LibTorch. Each makes, once, the
// function that is timed; its results stay in memory of its own, allocated before, where the
// library lets it.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

namespace bench {

using work = std::function<void()>;

struct gate_inputs {
    const float* tokens;   // [T, d]
    const float* weights;  // [n, d]
    std::size_t T, d, n, k;
};

struct logit_inputs {
    const float* logits;  // [T, n]
    std::size_t T, n, k;
};

struct gather_inputs {
    void* tokens;  // [T, d]
    void* rows;    // [R, d]
    std::size_t T, d;
    std::span<const std::int64_t> token_of;  // [R]
    bool bf16 = false;
};

namespace loops {
work dense_gate(const gate_inputs& in);
work grap_gate(const gate_inputs& in);
work choice(const logit_inputs& in);
}  // namespace loops

namespace eigen {
work dense_gate(const gate_inputs& in);
work grap_gate(const gate_inputs& in);
work choice(const logit_inputs& in);
work dispatch(const gather_inputs& in);
}  // namespace eigen

namespace xtensor {
work dense_gate(const gate_inputs& in);
work grap_gate(const gate_inputs& in);
work choice(const logit_inputs& in);
work dispatch(const gather_inputs& in);
}  // namespace xtensor

namespace torch {
work dense_gate(const gate_inputs& in);
work grap_gate(const gate_inputs& in);
work choice(const logit_inputs& in);
work dispatch(const gather_inputs& in);
work combine(const gather_inputs& in, double weight);
work combine_unweighted(const gather_inputs& in);
work argsort(std::span<const std::int32_t> chosen);
}  // namespace torch

}  // namespace bench
