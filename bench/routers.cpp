// What a router costs once its logits are there: scores, choice, losses, assignment, in ns a token,
// beside the dense gate's matrix product at d = 1,024 on the same core. The product is BLAS' sgemm
// (bench/run.sh sets OpenBLAS' kernels to the processor's own, and one thread), in turn with each
// router; medians. `ratio` is the product's time over the router's. Token-choice routers are to
// take a quarter of the product at most for n >= 64; what bounds the others stands in their names.

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

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

#include "kernels/compare.hpp"

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

/// Everything after the logits, for any router over a matrix of tokens or logits.
template <class Router>
std::function<void()> everything(Router router, const std::vector<float>& tokens,
                                 const route_context& where) {
    return [router = std::move(router), &tokens, where,
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

/// What the routers of one shape are made of and work on.
struct batch {
    std::size_t T, n;
    std::vector<float> x = uniform(T * d, 1, 1), w = uniform(n * d, 2, 0.09f);
    std::vector<float> z = std::vector<float>(T * n);
    std::vector<float> noisy = uniform(2 * n * d, 4, 0.09f);
    std::vector<float> cosine = uniform(cosine_gate<float>::parameter_count(d, n, n / 2), 5, 0.09f);
    std::vector<float> bias = std::vector<float>(n, 0.01f);
    std::vector<std::int32_t> ids, domains;
    std::vector<expert_id> expert_of_id;
    topology nodes = topology::uniform(8, 2);
    expert_placement placement = expert_placement::blocked(n, 16);
    logits_gate<float> gate{n};

    batch(std::size_t tokens, std::size_t experts) : T(tokens), n(experts) {
        multiply();
        for (std::size_t t = 0; t < T; ++t) {
            ids.push_back(static_cast<std::int32_t>(t * 7919 % vocabulary));
            domains.push_back(static_cast<std::int32_t>(t % 4));
        }
        for (std::size_t v = 0; v < vocabulary; ++v)
            expert_of_id.push_back(static_cast<expert_id>(v % n));
    }

    route_context where() const { return {3, nodes, placement, ids, domains}; }
    void multiply() { product(x, w, z, n); }
};

void add_routers(std::size_t T, std::size_t n) {
    const bench::group<batch> rows(T, n);
    const auto add_on = [&](std::vector<float> batch::* tokens, const std::string& name,
                            bool token_choice, auto make) {
        rows.add({name + ", T " + std::to_string(T) + ", n " + std::to_string(n),
                  static_cast<double>(T), "ns/token", "dense gate's product, d 1024",
                  token_choice && n >= 64 ? std::optional<double>(4.0) : std::nullopt,
                  !token_choice ? 3 : T > 10000 ? 5 : 11},
                 [=](batch& b) { return everything(make(b), b.*tokens, b.where()); },
                 &batch::multiply);
    };
    const auto choosing = [&](const char* name, auto make) { add_on(&batch::z, name, true, make); };
    const auto bound = [&](const char* name, auto make) { add_on(&batch::z, name, false, make); };
    const auto gated = [&](const char* name, auto make) { add_on(&batch::x, name, false, make); };

    using b = const batch&;
    choosing("switch, k 1", [](b of) { return top_k_router(of.gate, {.k = 1, .weights = {}}); });
    choosing("top-k, k 2", [](b of) { return top_k_router(of.gate); });
    choosing("top-k, k 8", [](b of) { return top_k_router(of.gate, {.k = 8}); });
    choosing("top-k with locality loss, k 2",
             [](b of) { return top_k_router(of.gate, {.losses = {.locality = {}}}); });
    choosing("gshard, k 2", [](b of) { return gshard_router(of.gate); });
    choosing("sigmoid with bias, k 8",
             [](b of) { return bias_balanced_router(of.gate, of.bias); });
    choosing("group-limited, 4 of 8, k 8", [](b of) {
        return bias_balanced_router(of.gate, of.bias, {.groups = 8, .limit = {.limit = 4}});
    });
    choosing("node-limited, 4 of 8, k 8",
             [](b of) { return node_limited_router(of.gate, {.bias = of.bias}); });
    choosing("stablemoe, k 1",
             [](b of) { return stable_moe_router(of.gate, fixed_choice(of.expert_of_id)); });
    bound("expert choice: selection in n columns",
          [](b of) { return expert_choice_router(of.gate); });
    bound("sinkhorn: iterations over [T, n]", [](b of) { return sinkhorn_router(of.gate); });
    if (T * n <= 32768 * 64)
        bound("base: the auction's bids", [](b of) { return base_router(of.gate); });
    gated("locmoe, its gate included: one read of the tokens",
          [](b of) { return locmoe_router<>(of.n); });
    gated("locmoe on rre, gate included: likewise",
          [](b of) { return domain_locmoe_router<>(expert_groups::blocked(of.n, 4)); });
    gated("resonance, gate included: two reads of the tokens",
          [](b of) { return resonance_router<>(of.n, {.expert_capacity = of.T * 2 / of.n}); });
    gated("noisy top-k, k 2, gate included: two plain products, a draw a logit",
          [](b of) { return noisy_top_k_router<>(as_matrix(of.noisy, d)); });
    gated("x-moe, k 1, gate included: plain products, r = n / 2", [](b of) {
        return x_moe_router<>(as_matrix(of.cosine, of.cosine.size()), of.n, of.n / 2);
    });
    gated("dense, k n, gate included: a plain product, n choices a token",
          [](b of) { return dense_router(dense_gate<float>(as_matrix(of.w, d))); });
    gated("hash: assignment",
          [](b of) { return hash_router<>::from_expert_of_id(of.expert_of_id, of.n); });
    gated("rre: hash and assignment",
          [](b of) { return rre_router<>(expert_groups::blocked(of.n, 4), 1); });
    gated("random, k 2: draws and assignment", [](b of) { return random_router<>(of.n, 2, 1); });
    gated("forced balance, k 2: assignment", [](b of) { return balanced_router<>(of.n, 2); });
}

}  // namespace

int main(int argc, char** argv) {
    bench::read_options(argc, argv);
#ifndef LOCMOE_BENCH_HAS_BLAS
    std::printf("no BLAS found: the rival is locmoe's own dense gate\n");
#endif
    for (const std::size_t T : {std::size_t{4096}, std::size_t{32768}})
        for (const std::size_t n : {std::size_t{16}, std::size_t{64}, std::size_t{256}})
            add_routers(T, n);
    return bench::run_all("routers");
}
