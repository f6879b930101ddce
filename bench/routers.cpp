// What a router costs once its logits are there: scores, choice, losses, assignment, in ns a token,
// beside the dense gate's matrix product at d = 1,024 on the same core. The product is BLAS' sgemm
// (bench/run.sh sets OpenBLAS' kernels to the processor's own, and one thread), measured between
// the routers; medians. `ratio` is the product's time over the router's. Token-choice routers are
// to take a quarter of the product at most for n >= 64; what bounds the others stands in their
// names.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <time.h>

#include "locmoe/assign/assignment.hpp"
#include "locmoe/routing/balanced_router.hpp"
#include "locmoe/routing/base_router.hpp"
#include "locmoe/routing/bias_balanced_router.hpp"
#include "locmoe/routing/cosine_gate.hpp"
#include "locmoe/routing/dense_gate.hpp"
#include "locmoe/routing/dense_router.hpp"
#include "locmoe/routing/domain_locmoe_router.hpp"
#include "locmoe/routing/expert_choice_router.hpp"
#include "locmoe/routing/group_limited_router.hpp"
#include "locmoe/routing/gshard_router.hpp"
#include "locmoe/routing/hash_router.hpp"
#include "locmoe/routing/locmoe_router.hpp"
#include "locmoe/routing/logits_gate.hpp"
#include "locmoe/routing/noisy_top_k_router.hpp"
#include "locmoe/routing/random_router.hpp"
#include "locmoe/routing/resonance_router.hpp"
#include "locmoe/routing/rre_router.hpp"
#include "locmoe/routing/sinkhorn_router.hpp"
#include "locmoe/routing/stable_moe_router.hpp"
#include "locmoe/routing/top_k_router.hpp"
#include "locmoe/routing/x_moe_router.hpp"
#include "locmoe/tensor/standard.hpp"

#include "rows.hpp"

using namespace locmoe;

#ifdef LOCMOE_BENCH_HAS_BLAS
extern "C" void sgemm_(const char*, const char*, const int*, const int*, const int*, const float*,
                       const float*, const int*, const float*, const int*, const float*, float*,
                       const int*);
#endif

namespace {

constexpr std::size_t d = 1024, vocabulary = 50000;

std::vector<float> uniform(std::size_t count, std::uint64_t seed, float scale) {
    std::vector<float> out(count);
    for (float& x : out) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        x = scale * (static_cast<float>(seed >> 40) * 0x1p-23f - 1);
    }
    return out;
}

/// Logits [T, n] of tokens [T, d] and weights [n, d].
void product(const std::vector<float>& x, const std::vector<float>& w, std::vector<float>& z,
             std::size_t n) {
    const std::size_t T = x.size() / d;
#ifdef LOCMOE_BENCH_HAS_BLAS
    const int rows = static_cast<int>(T), cols = static_cast<int>(n), depth = static_cast<int>(d);
    const float one = 1, zero = 0;
    sgemm_("T", "N", &cols, &rows, &depth, &one, w.data(), &depth, x.data(), &depth, &zero,
           z.data(), &cols);
#else
    const dense_gate<float> gate(as_matrix(w, d));
    gate.forward(matrix_view<const float>(x.data(), T, d), matrix_view<float>(z.data(), T, n));
#endif
}

struct contestant {
    std::string name;
    bool token_choice;
    std::function<void()> run;
    std::vector<double> ns = {};
};

/// This thread's own time: what else runs on the machine counts for less.
double cpu_ns() {
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

double once(const std::function<void()>& run, std::size_t tokens) {
    const double start = cpu_ns();
    run();
    return (cpu_ns() - start) / static_cast<double>(tokens);
}

double median(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
}

/// Everything after the logits, for any router over a matrix of tokens or logits.
template <class Router>
std::function<void()> everything(Router router, const std::vector<float>& tokens,
                                 const route_context& where) {
    return [router = std::move(router), &tokens, &where,
            decided = basic_routing<float>()]() mutable {
        const std::size_t rows = where.token_ids.size();
        const matrix_view<const float> view(tokens.data(), rows, tokens.size() / rows);
        if constexpr (requires { router.route_into(view, where, decided); })
            router.route_into(view, where, decided);
        else
            decided = router.route(view, where);
        const auto load = count_choices(decided);
        const auto losses = router.losses(decided, load, where);
        const std::size_t pairs = decided.choice_count * rows;
        const auto capacity = static_cast<std::int64_t>(pairs * 5 / 4 / router.expert_count() + 1);
        const auto slots = assign(decided, {.capacity = capacity});
        if (slots.kept_count() < 0 || losses.total() < 0) std::abort();
    };
}

void measure(bench::report& report, std::size_t T, std::size_t n) {
    const auto x = uniform(T * d, 1, 1);
    const auto w = uniform(n * d, 2, 0.09f);
    std::vector<float> z(T * n);
    product(x, w, z, n);

    const auto nodes = topology::uniform(8, 2);
    const auto placement = expert_placement::blocked(n, 16);
    std::vector<std::int32_t> ids(T), domains(T);
    for (std::size_t t = 0; t < T; ++t) {
        ids[t] = static_cast<std::int32_t>(t * 7919 % vocabulary);
        domains[t] = static_cast<std::int32_t>(t % 4);
    }
    const route_context where{3, nodes, placement, ids, domains};
    const std::vector<float> bias(n, 0.01f);
    const logits_gate<float> gate(n);
    std::vector<expert_id> expert_of_id(vocabulary);
    for (std::size_t v = 0; v < vocabulary; ++v) expert_of_id[v] = static_cast<expert_id>(v % n);

    const auto noisy = uniform(2 * n * d, 4, 0.09f);
    const auto cosine = uniform(cosine_gate<float>::parameter_count(d, n, n / 2), 5, 0.09f);

    std::vector<contestant> all;
    const auto add = [&](std::string name, bool token_choice, auto router, bool on_tokens = false) {
        all.push_back({std::move(name), token_choice,
                       everything(std::move(router), on_tokens ? x : z, where)});
    };
    add("switch, k 1", true, top_k_router(gate, {.k = 1, .weights = {}}));
    add("top-k, k 2", true, top_k_router(gate));
    add("top-k, k 8", true, top_k_router(gate, {.k = 8}));
    add("top-k with locality loss, k 2", true, top_k_router(gate, {.losses = {.locality = {}}}));
    add("gshard, k 2", true, gshard_router(gate));
    add("sigmoid with bias, k 8", true, bias_balanced_router(gate, bias));
    add("group-limited, 4 of 8, k 8", true,
        bias_balanced_router(gate, bias, {.groups = 8, .limit = {.limit = 4}}));
    add("node-limited, 4 of 8, k 8", true, node_limited_router(gate, {.bias = bias}));
    add("stablemoe, k 1", true, stable_moe_router(gate, fixed_choice(expert_of_id)));
    add("expert choice: selection in n columns", false, expert_choice_router(gate));
    add("sinkhorn: iterations over [T, n]", false, sinkhorn_router(gate));
    if (T * n <= 32768 * 64) add("base: the auction's bids", false, base_router(gate));
    add("locmoe, its gate included: one read of the tokens", false, locmoe_router<>(n), true);
    add("locmoe on rre, gate included: likewise", false,
        domain_locmoe_router<>(expert_groups::blocked(n, 4)), true);
    add("resonance, gate included: two reads of the tokens", false,
        resonance_router<>(n, {.expert_capacity = T * 2 / n}), true);
    add("noisy top-k, k 2, gate included: two plain products, a draw a logit", false,
        noisy_top_k_router<>(as_matrix(noisy, d)), true);
    add("x-moe, k 1, gate included: plain products, r = n / 2", false,
        x_moe_router<>(as_matrix(cosine, cosine.size()), n, n / 2), true);
    add("dense, k n, gate included: a plain product, n choices a token", false,
        dense_router(dense_gate<float>(as_matrix(w, d))), true);
    add("hash: assignment", false, hash_router<>::from_expert_of_id(expert_of_id, n), true);
    add("rre: hash and assignment", false, rre_router<>(expert_groups::blocked(n, 4), 1), true);
    add("random, k 2: draws and assignment", false, random_router<>(n, 2, 1), true);
    add("forced balance, k 2: assignment", false, balanced_router<>(n, 2), true);

    std::vector<double> product_ns;
    const int rounds = T > 10000 ? 5 : 11;
    for (int round = 0; round < rounds; ++round)
        for (std::size_t c = 0; c < all.size(); ++c) {
            if (c % 4 == 0) product_ns.push_back(once([&] { product(x, w, z, n); }, T));
            // A slow one is not run as often.
            if (round > 2 && all[c].ns[0] > 20000) continue;
            all[c].ns.push_back(once(all[c].run, T));
        }
    const double rival = median(product_ns);
    for (const contestant& c : all) {
        const double ns = median(c.ns);
        report.add({c.name + ", T " + std::to_string(T) + ", n " + std::to_string(n), ns,
                    "ns/token", "dense gate's product, d 1024", rival, rival / ns,
                    c.token_choice && n >= 64 ? std::optional<double>(4.0) : std::nullopt});
    }
}

}  // namespace

int main(int argc, char** argv) {
    bench::report report("routers", argc, argv);
#ifndef LOCMOE_BENCH_HAS_BLAS
    std::printf("no BLAS found: the rival is locmoe's own dense gate\n");
#endif
    for (const std::size_t T : {std::size_t{4096}, std::size_t{32768}})
        for (const std::size_t n : {std::size_t{16}, std::size_t{64}, std::size_t{256}})
            measure(report, T, n);
    return report.finish();
}
