// Gates from tokens to the chosen experts.

#include <cstddef>
#include <optional>
#include <string>
#include <utility>

#include "compare.hpp"
#include "groups.hpp"
#include "limits.hpp"
#include "locmoe/exec/thread_team.hpp"
#include "locmoe/routing/dense_gate.hpp"
#include "locmoe/routing/grap_gate.hpp"
#include "locmoe/routing/top_k_router.hpp"
#include "locmoe/tensor/standard.hpp"
#include "rivals.hpp"

using namespace locmoe;

namespace bench {
namespace {

auto dense_router(matrix_view<const float> weights, std::size_t k) {
    return top_k_router(dense_gate<float>(weights), {.k = k});
}
auto pooled_router(std::size_t n, std::size_t k) {
    return top_k_router(grap_gate<float>(n), {.k = k});
}

struct gated {
    std::size_t T, d, n, k;
    memory<float> token_memory{T * d}, weight_memory{n * d};
    matrix_view<float> tokens = token_memory.rows(d);
    topology nodes = topology::uniform(8, 2);
    expert_placement placement = expert_placement::blocked(n, 16);
    route_context where{3, nodes, placement};
    decltype(dense_router({}, 1)) dense = dense_router(weight_memory.rows(d), k);
    decltype(pooled_router(1, 1)) pooled = pooled_router(n, k);
    basic_routing<float> decided;
    thread_team team{2};

    gated(std::size_t token_count, std::size_t cols, std::size_t experts, std::size_t choices)
        : T(token_count), d(cols), n(experts), k(choices) {}

    double operations() const {
        return 2.0 * static_cast<double>(T * n) * static_cast<double>(d);
    }
    gate_inputs inputs() const { return {token_memory.data(), weight_memory.data(), T, d, n, k}; }

    void by_dense() { dense.route_into(tokens, where, decided); }
    void by_dense_on_two() { dense.route_into(tokens, where, decided, team); }
    void by_pooled() { pooled.route_into(tokens, where, decided); }
    void by_pooled_choices() { pooled.choose_into(tokens, where, decided); }
    void by_pooled_on_two() { pooled.route_into(tokens, where, decided, team); }

    void read() { read_range({0, T}); }
    void read_by_two() {
        in_halves(team, T, [&](row_range half) { read_range(half); });
    }
    void calculate() { multiply_add(operations()); }
    void calculate_by_two() {
        team.run(2, [&](std::size_t) { multiply_add(operations() / 2); });
    }

  private:
    void read_range(row_range range) {
        read_bytes(reinterpret_cast<const std::byte*>(token_memory.data() + range.begin * d),
                   (range.end - range.begin) * d * sizeof(float));
    }
};

void add_gates(std::size_t T, std::size_t d, std::size_t n, std::size_t k) {
    using g = gated;
    const group<g> rows(T, d, n, k);
    const std::string shape = "T " + std::to_string(T) + ", d " + std::to_string(d) + ", n " +
                              std::to_string(n) + ", k " + std::to_string(k);
    const bool wide = n >= 64;  // bound by arithmetic
    const int rounds = n >= 256 ? 5 : 9;
    const double operations = 2.0 * static_cast<double>(T * n) * static_cast<double>(d);
    const auto bytes = static_cast<double>(T * d * sizeof(float));
    const auto add = [&](bool dense, const std::string& name, const char* rival,
                         std::optional<double> target, auto kernel, auto other,
                         double (*clock)() = cpu_ns) {
        rows.add({name, dense ? operations : bytes, dense ? "GFLOP/s" : "GB/s", rival, target,
                  rounds, clock},
                 kernel, other);
    };

    const std::string dense = "dense gate to top-k, " + shape;
    if (wide)
        add(true, dense + ": FMA peak", "fused multiply-adds in registers", 0.92, &g::by_dense,
            &g::calculate);
    else
        add(true, dense + ": read", "the tokens read", 0.85, &g::by_dense, &g::read);
#ifdef LOCMOE_BENCH_HAS_TORCH
    const double times = !wide ? 2.5 : n < 256 ? (d < 4096 ? 2.5 : 1.9) : d < 4096 ? 2.0 : 1.4;
    add(true, dense + ": LibTorch", "LibTorch: matmul, softmax, topk", times, &g::by_dense,
        [](g& of) { return torch::dense_gate(of.inputs()); });
#endif
    if (d == 1024) {
#ifdef LOCMOE_BENCH_HAS_EIGEN
        add(true, dense + ": Eigen", "Eigen's product and softmax, partial sorts", {},
            &g::by_dense, [](g& of) { return eigen::dense_gate(of.inputs()); });
#endif
#ifdef LOCMOE_BENCH_HAS_XTENSOR
        add(true, dense + ": xtensor", "xtensor's softmax after BLAS, partial sorts", {},
            &g::by_dense, [](g& of) { return xtensor::dense_gate(of.inputs()); });
#endif
    }
    add(true, dense + two + ": one", "one thread", 1.8, &g::by_dense_on_two, &g::by_dense,
        wall_ns);
    if (wide)
        add(true, dense + two + ": FMA peak", "multiply-adds on two threads", {},
            &g::by_dense_on_two, &g::calculate_by_two, wall_ns);
    else
        add(true, dense + two + ": read", "the tokens read by two threads", {},
            &g::by_dense_on_two, &g::read_by_two, wall_ns);

    const std::string pooled = "GrAP gate to top-k, " + shape;
    const std::optional<double> target =
        n <= 64 ? std::optional(0.90) : k == 8 ? std::optional(0.80) : std::nullopt;
    add(false, pooled + ": read", "the tokens read", target, &g::by_pooled, &g::read);
    add(false, pooled + ", choices alone: read", "the tokens read", target,
        &g::by_pooled_choices, &g::read);
    if (d == 1024) {
        add(false, pooled + ": loops", "plain loops, partial sorts", {}, &g::by_pooled,
            [](g& of) { return loops::grap_gate(of.inputs()); });
#ifdef LOCMOE_BENCH_HAS_EIGEN
        add(false, pooled + ": Eigen", "Eigen's means and softmax, partial sorts", {},
            &g::by_pooled, [](g& of) { return eigen::grap_gate(of.inputs()); });
#endif
#ifdef LOCMOE_BENCH_HAS_XTENSOR
        add(false, pooled + ": xtensor", "xtensor's means and softmax, partial sorts", {},
            &g::by_pooled, [](g& of) { return xtensor::grap_gate(of.inputs()); });
#endif
#ifdef LOCMOE_BENCH_HAS_TORCH
        add(false, pooled + ": LibTorch", "LibTorch: mean, softmax, topk", {}, &g::by_pooled,
            [](g& of) { return torch::grap_gate(of.inputs()); });
#endif
    }
    add(false, pooled + two + ": one", "one thread", 1.8, &g::by_pooled_on_two, &g::by_pooled,
        wall_ns);
    add(false, pooled + two + ": read", "the tokens read by two threads", {},
        &g::by_pooled_on_two, &g::read_by_two, wall_ns);
}

/// Loops take seconds: few tokens, few rounds.
void add_loops(std::size_t n, std::size_t k) {
    const std::size_t T = 4096, d = 1024;
    const group<gated> rows(T, d, n, k);
    rows.add({"dense gate to top-k, T 4096, d 1024, n " + std::to_string(n) + ", k " +
                  std::to_string(k) + ": loops",
              2.0 * static_cast<double>(T * d * n), "GFLOP/s", "plain loops, partial sorts", {},
              3},
             &gated::by_dense, [](gated& of) { return loops::dense_gate(of.inputs()); });
}

}  // namespace

void add_gates() {
    for (const std::size_t d : {1024u, 4096u})
        for (const std::size_t n : {16u, 64u, 256u}) {
            const std::size_t T = 32768 * 1024 / d;
            add_gates(T, d, n, 1);
            if (n == 64) add_gates(T, d, n, 2);
            if (n == 256) add_gates(T, d, n, 8);
        }
    add_loops(16, 1);
    add_loops(64, 2);
    add_loops(256, 8);
}

}  // namespace bench
