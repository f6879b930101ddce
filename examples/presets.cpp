// From another codebase: its conventions by name, so that its numbers come out. Here a layer as
// Megatron-Core runs it, top-2 with a capacity factor of 1.25 on each rank's own tokens.

#include <cmath>
#include <cstddef>
#include <cstdio>
#include <utility>
#include <vector>

#include "locmoe/exec/in_process.hpp"
#include "locmoe/locmoe.hpp"

using namespace locmoe;

int main() {
    run_in_process(4, [](in_process_backend& backend) {
        executor ex(backend, topology::uniform(2, 2), expert_placement::blocked(8, 4));
        std::vector<float> tokens(128 * 16), gate(8 * 16);
        for (std::size_t i = 0; i < tokens.size(); ++i)
            tokens[i] = std::sin(static_cast<float>(i) + static_cast<float>(backend.rank()));
        for (std::size_t i = 0; i < gate.size(); ++i)
            gate[i] = std::cos(static_cast<float>(3 * i));
        const auto x = as_matrix(std::as_const(tokens), 16);
        const auto gates = as_matrix(std::as_const(gate), 16);

        // [preset]
        const auto like = presets::megatron(2, 1.25);  // or tutel, deepspeed, torchscale, mixtral
        const top_k_router router(dense_gate<float>(gates), like.router);
        const routing decided = router.route(x, ex.context());
        const auto slots =
            like.capacity->slots({.token_count = 128, .choice_count = 2, .expert_count = 8});
        const assignment kept = assign(decided, like.drops, {.capacity = slots});
        // [preset]

        if (slots != 40) throw error("Megatron-Core has ceil(1.25 * 2 * 128 / 8) slots");
        if (backend.rank() == 0)
            std::printf("%s: %lld slots an expert, %lld of %zu pairs dropped\n", like.name,
                        static_cast<long long>(slots), static_cast<long long>(kept.dropped_count()),
                        decided.chosen.size());
    });
}
