// A tensor of somebody else's, handed over by DLPack: PyTorch, JAX, MindSpore and CuPy all do. Its
// dtype is known at run time alone, its shape is [batch, sequence, d], and it is routed where it
// lies.

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <vector>

#include <dlpack/dlpack.h>

#include "locmoe/adapt/dlpack.hpp"
#include "locmoe/locmoe.hpp"

// Stands for the other framework: what is behind a "dltensor" capsule.
DLManagedTensor* someones_tensor() {
    struct owner {
        std::int64_t shape[3] = {4, 16, 32};
        std::vector<locmoe::bf16> numbers = std::vector<locmoe::bf16>(4 * 16 * 32);
        DLManagedTensor managed = {};
    };
    auto* o = new owner;
    for (std::size_t i = 0; i < o->numbers.size(); ++i)
        o->numbers[i] = locmoe::bf16(std::sin(static_cast<float>(i * i % 1009)));
    o->managed.dl_tensor = {
        o->numbers.data(), {kDLCPU, 0}, 3, {kDLBfloat, 16, 1}, o->shape, nullptr, 0};
    o->managed.manager_ctx = o;
    o->managed.deleter = [](DLManagedTensor* m) { delete static_cast<owner*>(m->manager_ctx); };
    return &o->managed;
}

int main() {
    using namespace locmoe;
    const auto nodes = topology::uniform(2, 2);
    const auto placement = expert_placement::blocked(8, 4);
    DLManagedTensor* const tokens = someones_tensor();

    // With a dtype that is fixed, as_matrix<float>(*tokens) does without the visit.
    const routing decided = visit_matrix(*tokens, [&](auto x) {
        std::printf("%zu tokens of %zu numbers (%s)\n", x.rows, x.cols,
                    element_name(as_token_rows(x).type));
        return locmoe_router(8).route(x, {0, nodes, placement});
    });
    tokens->deleter(tokens);

    std::printf("tokens per expert:");
    for (const auto load : count_choices(decided))
        std::printf(" %lld", static_cast<long long>(load));
    std::printf("\n");
}
