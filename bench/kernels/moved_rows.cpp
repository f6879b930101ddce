// Dispatch and combine inside a rank: rows copied to their experts' places, and added up again.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "compare.hpp"
#include "groups.hpp"
#include "limits.hpp"
#include "locmoe/exec/host_kernels.hpp"
#include "locmoe/exec/parallel_kernels.hpp"
#include "locmoe/exec/thread_team.hpp"
#include "locmoe/tensor/standard.hpp"
#include "rivals.hpp"

using namespace locmoe;

namespace bench {
namespace {

/// k choices a token among n experts, uniform: what dispatch gathers and combine adds up.
struct routed {
    row_sums dispatch, combine;

    routed(std::size_t T, std::size_t n, std::size_t k) {
        std::vector<std::vector<row_index>> of_expert(n), of_token(T);
        std::uint64_t state = 7;
        for (std::size_t t = 0; t < T; ++t)
            for (std::size_t c = 0; c < k; ++c)
                of_expert[next_random(state) % n].push_back(static_cast<row_index>(t));
        for (const auto& tokens : of_expert)
            for (const row_index t : tokens) {
                of_token[static_cast<std::size_t>(t)].push_back(
                    static_cast<row_index>(dispatch.from.size()));
                dispatch.from.push_back(t);
            }
        combine.first.push_back(0);
        for (const auto& rows : of_token) {
            combine.from.insert(combine.from.end(), rows.begin(), rows.end());
            combine.first.push_back(static_cast<row_index>(combine.from.size()));
        }
    }
};

template <class E>
struct moved_rows {
    std::size_t T, d, k, R = T * k;
    memory<E> token_memory{T * d}, row_memory{R * d};
    token_rows tokens = as_token_rows(token_memory.rows(d));
    token_rows rows = as_token_rows(row_memory.rows(d));
    routed plan{T, 64, k};
    std::vector<float> weights = std::vector<float>(R, 0.4f);
    host_kernels alone;
    thread_team team{2};
    parallel_kernels<thread_team> both{team};

    moved_rows(std::size_t token_count, std::size_t cols, std::size_t choices)
        : T(token_count), d(cols), k(choices) {}

    void gather(const auto& by) { by.gather({tokens, {}}, plan.dispatch, {0, R}, rows); }
    void sum(const auto& by) {
        by.sum({rows, {}}, plan.combine, {0, T}, std::span<const float>(weights), tokens);
    }
    void dispatch() { gather(alone); }
    void dispatch_by_two() { gather(both); }
    void combine() { sum(alone); }
    void combine_by_two() { sum(both); }

    void copied() { copy_rows(tokens, rows, k, {0, T}); }
    void copied_by_two() {
        in_halves(team, T, [&](row_range half) { copy_rows(tokens, rows, k, half); });
    }
    void filled() { read_and_fill(rows, plan.combine, tokens, {0, T}); }
    void filled_by_two() {
        in_halves(team, T,
                  [&](row_range half) { read_and_fill(rows, plan.combine, tokens, half); });
    }

    void dispatch_by_memcpy() {
        for (std::size_t i = 0; i < R; ++i)
            std::memcpy(rows.row(i), tokens.row(static_cast<std::size_t>(plan.dispatch.from[i])),
                        rows.row_bytes);
    }
    void combine_by_loops() {
        for (std::size_t t = 0; t < T; ++t) {
            E* out = reinterpret_cast<E*>(tokens.row(t));
            for (std::size_t c = 0; c < d; ++c) {
                float sum = 0;
                for (const row_index r : plan.combine.sources(t)) {
                    const auto row = static_cast<std::size_t>(r);
                    sum += weights[row] *
                           element_traits<E>::load(reinterpret_cast<const E*>(rows.row(row))[c]);
                }
                out[c] = element_traits<E>::store(sum);
            }
        }
    }
    gather_inputs inputs() const {
        return {token_memory.data(), row_memory.data(), T, d, plan.dispatch.from,
                std::is_same_v<E, bf16>};
    }
};

template <class E>
void add_rows(const char* type, std::size_t T, std::size_t d, std::size_t k) {
    using m = moved_rows<E>;
    const group<m> rows(T, d, k);
    const std::string shape = std::string(type) + ", T " + std::to_string(T) + ", d " +
                              std::to_string(d) + ", k " + std::to_string(k);
    const auto bytes = static_cast<double>((1 + k) * T * d * sizeof(E));
    const auto add = [&](const std::string& name, const char* rival, std::optional<double> target,
                         auto kernel, auto other, double (*clock)() = cpu_ns) {
        rows.add({name, bytes, "GB/s", rival, target, 9, clock}, kernel, other);
    };

    const std::string dispatch = "dispatch, " + shape;
    add(dispatch + ": limit", "rows read once in order, written k times in order", 0.95,
        &m::dispatch, &m::copied);
    add(dispatch + ": memcpy", "memcpy of each row", {}, &m::dispatch, &m::dispatch_by_memcpy);
#ifdef LOCMOE_BENCH_HAS_TORCH
    add(dispatch + ": index_select", "LibTorch, into a given output", 2.0, &m::dispatch,
        [](m& of) { return torch::dispatch(of.inputs()); });
#endif
    if constexpr (std::is_same_v<E, float>) {
#ifdef LOCMOE_BENCH_HAS_EIGEN
        add(dispatch + ": Eigen", "rows = tokens(index, all)", {}, &m::dispatch,
            [](m& of) { return eigen::dispatch(of.inputs()); });
#endif
#ifdef LOCMOE_BENCH_HAS_XTENSOR
        add(dispatch + ": xtensor", "rows = view(tokens, keep(index))", {}, &m::dispatch,
            [](m& of) { return xtensor::dispatch(of.inputs()); });
#endif
    }
    add(dispatch + two + ": one", "one thread", 1.8, &m::dispatch_by_two, &m::dispatch, wall_ns);
    add(dispatch + two + ": limit", "the same bytes in order, on two threads", {},
        &m::dispatch_by_two, &m::copied_by_two, wall_ns);

    const std::string combine = "combine, " + shape;
    add(combine + ": limit", "the same rows read, each token filled after its own", 0.95,
        &m::combine, &m::filled);
    add(combine + ": loops", "plain loops", {}, &m::combine, &m::combine_by_loops);
#ifdef LOCMOE_BENCH_HAS_TORCH
    add(combine + ": index_add_", "LibTorch: zero_, mul into a given output, index_add_", 7.0,
        &m::combine, [](m& of) { return torch::combine(of.inputs(), 0.4); });
    add(combine + ": index_add_ alone", "LibTorch: zero_, index_add_; unweighted", {},
        &m::combine, [](m& of) { return torch::combine_unweighted(of.inputs()); });
#endif
    add(combine + two + ": one", "one thread", 1.8, &m::combine_by_two, &m::combine, wall_ns);
    add(combine + two + ": limit", "the same rows read, tokens filled, on two threads", {},
        &m::combine_by_two, &m::filled_by_two, wall_ns);
}

}  // namespace

void add_moved_rows() {
    for (const std::size_t k : {1u, 2u}) add_rows<float>("fp32", 32768, 1024, k);
    add_rows<float>("fp32", 4096, 4096, 2);
    add_rows<float>("fp32", 4096, 1024, 8);
    for (const std::size_t k : {2u, 8u}) add_rows<bf16>("bf16", 32768, 1024, k);
    add_rows<bf16>("bf16", 4096, 4096, 2);
}

}  // namespace bench
