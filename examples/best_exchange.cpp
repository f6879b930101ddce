// The planner's choice over a few steps, and a layer in overlapping chunks: eight ranks on four nodes, as
// threads of this process. Prints what rank 0's plan says of itself.

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <vector>

#include "locmoe/exec/calibrate.hpp"
#include "locmoe/exec/in_process.hpp"
#include "locmoe/locmoe.hpp"

namespace {

using namespace locmoe;

constexpr std::size_t tokens = 256, features = 64, experts = 16, choices = 4;

struct layer {
    std::vector<float> x = std::vector<float>(tokens * features, 0.5f);
    std::vector<float> y = std::vector<float>(tokens * features);

    matrix_view<const float> in() const { return {x.data(), tokens, features}; }
    matrix_view<float> out() { return {y.data(), tokens, features}; }
};

/// Stands for a router: another choice in each step.
assignment route(std::size_t step, rank_id rank) {
    routing decided;
    decided.token_count = tokens;
    decided.choice_count = choices;
    decided.expert_count = experts;
    for (std::size_t t = 0; t < tokens; ++t)
        for (std::size_t slot = 0; slot < choices; ++slot) {
            const auto first = t * 5 + step + static_cast<std::size_t>(rank);
            decided.chosen.push_back(static_cast<expert_id>((first + 3 * slot) % experts));
            decided.weights.push_back(0.25f);
        }
    return assign(decided);
}

void train(in_process_backend& backend) {
    const topology nodes = topology::uniform(4, 2);
    executor exchange(backend, nodes, expert_placement::blocked(experts, 8));
    layer l;
    // [choice]
    const std::size_t row_bytes = features * sizeof(float);
    const plan_options options{.row_bytes = row_bytes, .costs = calibrate(backend, nodes).costs};
    plan_cache plans(exchange, options, all_strategies());

    for (std::size_t step = 0; step < 4; ++step) {
        const assignment kept = route(step, backend.rank());
        const exchange_plan& plan = plans.plan(kept);  // reused, planned again, or chosen anew
        if (plan.rank == 0) std::puts(describe(plan, row_bytes).c_str());
    }
    // [choice]
    const assignment kept = route(0, backend.rank());
    const exchange_plan plan = best_plan(exchange, kept, options);
    // [pipeline]
    const double expert_seconds = 200e-6;  // of this layer, on the rank that has most to do
    const std::size_t chunks =
        chunk_count(pipeline_stages(plan.choice->chosen(), expert_seconds));
    auto pipe = exchange.pipeline(plan, chunks);

    std::vector<float> in(plan.expert_row_count() * features), out(in.size());
    const auto rows = [&](std::vector<float>& of) {
        return matrix_view<float>{of.data(), plan.expert_row_count(), features};
    };
    const auto expert = [](const pipeline_chunk&, matrix_view<const float> from,
                           matrix_view<float> to) {
        for (std::size_t i = 0; i < from.rows; ++i)
            for (std::size_t c = 0; c < from.cols; ++c) to.row(i)[c] = std::tanh(from.row(i)[c]);
    };
    const std::vector<float> weights(tokens * choices, 0.25f);
    pipe.forward(l.in(), rows(in), expert, rows(out), pipe.dispatch_weights(weights), l.out());
    // [pipeline]
    for (const float v : l.y)
        if (std::abs(v - std::tanh(0.5f)) > 1e-6f) throw std::runtime_error("a row went astray");
    if (plan.rank == 0) std::printf("the layer in %zu chunks: every row came back\n", chunks);
}

}  // namespace

int main() { locmoe::run_in_process(8, train); }
