// Counts what is allocated once routing, assignment, a cache of plans, dispatch and combine have seen a
// few batches: a program of its own, as it takes the place of the global operator new.

#include <atomic>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <utility>
#include <vector>

#include "locmoe/exec/executor.hpp"
#include "locmoe/exec/in_process.hpp"
#include "locmoe/exec/parallel_kernels.hpp"
#include "locmoe/exec/plan_cache.hpp"
#include "locmoe/exec/thread_team.hpp"
#include "locmoe/plan/direct.hpp"
#include "locmoe/plan/node_aggregated.hpp"
#include "locmoe/routing/dense_gate.hpp"
#include "locmoe/routing/locmoe_router.hpp"
#include "locmoe/routing/switch_router.hpp"
#include "locmoe/routing/top_k_router.hpp"
#include "locmoe/tensor/standard.hpp"

namespace {
std::atomic<bool> counting{false};
std::atomic<long> allocations{0};

void* counted(std::size_t bytes) {
    if (counting) ++allocations;
    if (void* memory = std::malloc(bytes == 0 ? 1 : bytes)) return memory;
    throw std::bad_alloc();
}
}  // namespace

void* operator new(std::size_t bytes) {
    return counted(bytes);
}
void* operator new[](std::size_t bytes) {
    return counted(bytes);
}
void operator delete(void* memory) noexcept {
    std::free(memory);
}
void operator delete[](void* memory) noexcept {
    std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
    std::free(memory);
}
void operator delete[](void* memory, std::size_t) noexcept {
    std::free(memory);
}

namespace {

using namespace locmoe;

constexpr std::size_t ranks = 4, experts = 16, tokens = 300, d = 64;
constexpr int warm_up = 5, steps = 100;

std::vector<float> numbers(std::size_t count, std::uint64_t seed) {
    std::vector<float> out(count);
    for (float& x : out) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        x = static_cast<float>(seed >> 40) * 0x1p-23f - 1;
    }
    return out;
}

/// What a rank's step allocates in 100 steps over all ranks.
template <class Router, class Strategy>
long count(const Router& router, const Strategy& strategy, std::size_t threads) {
    allocations = 0;
    run_in_process(ranks, [&](in_process_backend& backend) {
        thread_team team(threads);
        executor exchange(backend, topology::uniform(2, 2), expert_placement::blocked(experts, ranks),
                          parallel_kernels(team));
        const auto x = numbers(tokens * d, static_cast<std::uint64_t>(backend.rank()) + 1);
        routing decided = router.route(as_matrix(x, d), exchange.context());
        assignment assigned;
        assign_into(decided, assigned);
        plan_cache plans(exchange, {.row_bytes = d * sizeof(float), .costs = {}},
                         candidates(strategy));
        std::vector<float> rows(plans.plan(assigned).expert_row_count() * d), out(tokens * d);
        std::vector<float> weights;
        for (int step = 0; step < warm_up + steps; ++step) {
            backend.agree({});  // all are past the steps before
            if (step == warm_up) counting = true;
            router.route_into(as_matrix(x, d), exchange.context(), decided, team);
            assign_into(decided, assigned);
            const exchange_plan& plan = plans.plan(assigned);
            exchange.dispatch(plan, as_matrix(x, d), as_matrix(rows, d));
            exchange.dispatch_weights_into(plan, decided.weights, weights);
            exchange.combine(plan, as_matrix(std::as_const(rows), d), weights, as_matrix(out, d));
            backend.agree({});
        }
        counting = false;
    });
    return allocations;
}

int failures = 0;

template <class Router, class Strategy>
void check(const char* name, const Router& router, const Strategy& strategy) {
    for (const std::size_t threads : {1u, 2u}) {
        const long got = count(router, strategy, threads);
        std::printf("%-40s %zu threads a rank: %ld allocations in %d steps\n", name, threads, got,
                    steps);
        failures += got != 0;
    }
}

}  // namespace

int main() {
    const auto w = numbers(experts * d, 9);
    const matrix_view<const float> weights(w.data(), experts, d);
    check("GrAP, direct", locmoe_router<>(experts), direct{});
    check("GrAP, aggregated by node", locmoe_router<>(experts), node_aggregated{});
    check("Switch, direct", switch_router<>(weights), direct{});
    check("top-2 over a dense gate, direct", top_k_router(dense_gate<float>(weights), {.k = 2}),
          direct{});
    check("top-8 over a dense gate, direct", top_k_router(dense_gate<float>(weights), {.k = 8}),
          direct{});
    return failures == 0 ? 0 : 1;
}
