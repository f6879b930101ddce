// The host's kernels against what this machine can do, measured in the same run: a kernel, its
// limit and its rivals in turn, `ratio` the median over the rounds of one's time over the other's.
// One thread; bytes are those that have to be read and written. bench/README.md says what each
// limit is made of and what keeps a kernel from it.
//
// Rivals: loops of memcpy and of plain arithmetic; where LibTorch is found, its index_select into a
// given output, index_add_, and matmul, softmax and topk, with one thread and AVX-512 where there
// is.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <time.h>

#ifdef LOCMOE_BENCH_HAS_TORCH
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#endif

#include "locmoe/exec/host_kernels.hpp"
#include "locmoe/routing/dense_gate.hpp"
#include "locmoe/routing/locmoe_router.hpp"
#include "locmoe/routing/top_k_router.hpp"
#include "locmoe/tensor/standard.hpp"

#include "rows.hpp"

using namespace locmoe;

namespace {

/// This thread's own time: what else runs on the machine counts for less.
double cpu_ns() {
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

double median(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
}

std::uint64_t next_random(std::uint64_t& state) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return state >> 33;
}

/// Numbers at the start of a page, each written once.
template <class E>
class memory {
  public:
    explicit memory(std::size_t count)
        : count_(count),
          data_(static_cast<E*>(std::aligned_alloc(4096, (count * sizeof(E) / 4096 + 1) * 4096))) {
        if (data_ == nullptr) std::abort();
        std::uint64_t state = count;
        for (std::size_t i = 0; i < count; ++i)
            data_[i] = element_traits<E>::store(static_cast<float>(next_random(state)) * 0x1p-30f -
                                                1.0f);
    }
    ~memory() { std::free(data_); }
    memory(const memory&) = delete;
    memory& operator=(const memory&) = delete;

    E* data() const { return data_; }
    std::size_t bytes() const { return count_ * sizeof(E); }
    matrix_view<E> rows(std::size_t cols) const { return {data_, count_ / cols, cols}; }

  private:
    std::size_t count_;
    E* data_;
};

/// What a kernel is compared with: a limit or a rival.
struct contestant {
    std::string name;
    std::string what;
    std::function<void()> run;
    std::optional<double> target = std::nullopt;
    std::vector<double> ns = {};
};

/// Runs the kernel and the others in turn. A row for each of the others: the kernel's `work` (bytes
/// or operations) a ns, beside what the other reaches.
void compare(bench::report& report, const std::string& name, double work, const char* unit,
             const std::function<void()>& kernel, std::vector<contestant> others, int rounds) {
    std::vector<double> own;
    kernel();
    for (contestant& c : others) c.run();
    for (int round = 0; round < rounds; ++round) {
        const auto once = [](const std::function<void()>& run) {
            const double start = cpu_ns();
            run();
            return cpu_ns() - start;
        };
        own.push_back(once(kernel));
        for (contestant& c : others) c.ns.push_back(once(c.run));
    }
    for (const contestant& c : others) {
        std::vector<double> ratios;
        for (std::size_t i = 0; i < own.size(); ++i) ratios.push_back(c.ns[i] / own[i]);
        report.add({name + ": " + c.name, work / median(own), unit, c.what, work / median(c.ns),
                    median(ratios), c.target});
    }
}

// --- the machine's limits ------------------------------------------------------------------------

#ifdef __GNUC__
#define BENCH_WIDE [[gnu::target("avx2,fma")]]
#else
#define BENCH_WIDE
#endif
using wide_floats [[gnu::vector_size(32)]] = float;

template <class T>
void keep(T& value) {
    asm volatile("" : : "m"(value) : "memory");
}

BENCH_WIDE void read_bytes(const std::byte* from, std::size_t bytes) {
    wide_floats sum[4] = {};
    for (std::size_t i = 0; i + sizeof sum <= bytes; i += sizeof sum)
#pragma GCC unroll 4
        for (std::size_t v = 0; v < 4; ++v) {
            wide_floats x;
            std::memcpy(&x, from + i + v * sizeof x, sizeof x);
            sum[v] += x;
        }
    keep(sum);
}

BENCH_WIDE void fill_past_caches(std::byte* to, std::size_t bytes) {
    alignas(64) const std::byte zeros[64] = {};
    for (std::size_t i = 0; i + 64 <= bytes; i += 64) {
        locmoe::detail::stream_half_line(to + i, zeros);
        locmoe::detail::stream_half_line(to + i + 32, zeros);
    }
    locmoe::detail::finish_streaming();
}

/// Each row read once, one after the other, and written `copies` times, each time to where it
/// stood.
void copy_rows(const_token_rows from, token_rows to, std::size_t copies) {
    for (std::size_t r = 0; r < from.rows; ++r)
        for (std::size_t c = 0; c < copies; ++c)
            locmoe::detail::stream_row(to.row(c * from.rows + r), from.row(r), from.row_bytes,
                                       nullptr);
    locmoe::detail::finish_streaming();
}

/// 12 chains of fused multiply-adds, as long as the latency needs.
BENCH_WIDE void multiply_add(double operations) {
    wide_floats sum[12] = {}, factor = wide_floats{} + 0.999f;
    keep(factor);
    for (double done = 0; done < operations; done += 12 * 16)
#pragma GCC unroll 12
        for (std::size_t i = 0; i < 12; ++i) sum[i] = sum[i] * factor + factor;
    keep(sum);
}

void limits(bench::report& report) {
    const std::size_t bytes = std::size_t{256} << 20, cols = 1024;
    const memory<float> from(bytes / 4), to(bytes / 4);
    const auto in = as_token_rows(from.rows(cols)), out = as_token_rows(to.rows(cols));
    const auto moved = static_cast<double>(2 * bytes);
    std::vector<std::size_t> order(in.rows);
    std::uint64_t state = 1;
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = next_random(state) % in.rows;
    const auto read = [&] { read_bytes(in.data, bytes); };
    compare(report, "limit: read", static_cast<double>(bytes), "GB/s", read,
            {{"again", "itself", read}}, 9);
    compare(report, "limit: copy", moved, "GB/s", [&] { copy_rows(in, out, 1); },
            {{"memcpy", "memcpy of all bytes", [&] { std::memcpy(out.data, in.data, bytes); }},
             {"rows at random", "memcpy of 4 KiB rows in random order",
              [&] {
                  for (std::size_t i = 0; i < order.size(); ++i)
                      std::memcpy(out.row(i), in.row(order[i]), in.row_bytes);
              }}},
            9);
    const double operations = 2e8;
    const auto peak = [&] { multiply_add(operations); };
    compare(report, "limit: FMA", operations, "GFLOP/s", peak,
            {{"again", "itself", peak}}, 9);
}

// --- moving rows ---------------------------------------------------------------------------------

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
void naive_combine(const_token_rows rows, const row_sums& sums, const std::vector<float>& weights,
                   token_rows tokens) {
    for (std::size_t t = 0; t < tokens.rows; ++t) {
        E* out = reinterpret_cast<E*>(tokens.row(t));
        for (std::size_t c = 0; c < tokens.cols(); ++c) {
            float sum = 0;
            for (const row_index r : sums.sources(t)) {
                const auto row = static_cast<std::size_t>(r);
                sum += weights[row] *
                       element_traits<E>::load(reinterpret_cast<const E*>(rows.row(row))[c]);
            }
            out[c] = element_traits<E>::store(sum);
        }
    }
}

template <class E>
void rows_moved(bench::report& report, const char* type, std::size_t T, std::size_t d,
                std::size_t k) {
    const std::size_t n = 64, R = T * k;
    const memory<E> token_memory(T * d), row_memory(R * d);
    const routed plan(T, n, k);
    const std::vector<float> weights(R, 0.4f);
    const auto tokens = as_token_rows(token_memory.rows(d));
    const auto rows = as_token_rows(row_memory.rows(d));
    const double bytes = static_cast<double>(token_memory.bytes() + row_memory.bytes());
    const std::string shape = std::string(type) + ", T " + std::to_string(T) + ", d " +
                              std::to_string(d) + ", k " + std::to_string(k);
    const host_kernels kernels;

    std::vector<contestant> dispatchers{
        {"limit", "rows read once in order, written k times in order",
         [&] { copy_rows(tokens, rows, k); }, 0.95},
        {"memcpy", "memcpy of each row", [&] {
             for (std::size_t i = 0; i < R; ++i)
                 std::memcpy(rows.row(i),
                             tokens.row(static_cast<std::size_t>(plan.dispatch.from[i])),
                             rows.row_bytes);
         }}};
    std::vector<contestant> combiners{
        {"limit", "the same rows read, the tokens filled",
         [&] {
             for (const row_index r : plan.combine.from)
                 read_bytes(rows.row(static_cast<std::size_t>(r)), rows.row_bytes);
             fill_past_caches(tokens.data, token_memory.bytes());
         },
         0.95},
        {"loops", "plain loops", [&] { naive_combine<E>(rows, plan.combine, weights, tokens); }}};
#ifdef LOCMOE_BENCH_HAS_TORCH
    const auto torch_type = std::is_same_v<E, float> ? at::kFloat : at::kBFloat16;
    const auto size = [](std::size_t count) { return static_cast<std::int64_t>(count); };
    auto torch_tokens = at::from_blob(token_memory.data(), {size(T), size(d)}, torch_type);
    auto torch_rows = at::from_blob(row_memory.data(), {size(R), size(d)}, torch_type);
    auto weighted = at::empty_like(torch_rows);
    const auto index = at::tensor(std::vector<std::int64_t>(plan.dispatch.from.begin(),
                                                            plan.dispatch.from.end()));
    const auto column = at::full({size(R), 1}, 0.4, torch_type);
    dispatchers.push_back({"index_select", "LibTorch, into a given output", [&] {
                               at::index_select_out(torch_rows, torch_tokens, 0, index);
                           }, 2.0});
    combiners.push_back({"index_add_", "LibTorch: zero_, mul into a given output, index_add_", [&] {
                             torch_tokens.zero_();
                             at::mul_out(weighted, torch_rows, column);
                             torch_tokens.index_add_(0, index, weighted);
                         }, 7.0});
    combiners.push_back({"index_add_ alone", "LibTorch: zero_, index_add_; unweighted", [&] {
                             torch_tokens.zero_();
                             torch_tokens.index_add_(0, index, torch_rows);
                         }});
#endif
    compare(report, "dispatch, " + shape, bytes, "GB/s",
            [&] { kernels.gather({tokens, {}}, plan.dispatch, {0, R}, rows); },
            std::move(dispatchers), 9);
    compare(report, "combine, " + shape, bytes, "GB/s",
            [&] {
                kernels.sum({rows, {}}, plan.combine, {0, T}, std::span<const float>(weights),
                            tokens);
            },
            std::move(combiners), 9);
}

// --- gates ---------------------------------------------------------------------------------------

void gates(bench::report& report, std::size_t T, std::size_t d, std::size_t n, std::size_t k) {
    const memory<float> tokens(T * d), weights(n * d);
    const auto x = tokens.rows(d);
    const auto nodes = topology::uniform(8, 2);
    const auto placement = expert_placement::blocked(n, 16);
    const route_context where{3, nodes, placement};
    const std::string shape = "T " + std::to_string(T) + ", d " + std::to_string(d) + ", n " +
                              std::to_string(n) + ", k " + std::to_string(k);
    const double operations = 2.0 * static_cast<double>(T * n) * static_cast<double>(d);
    const contestant read{"read", "the tokens read",
                          [&] {
                              read_bytes(reinterpret_cast<const std::byte*>(tokens.data()),
                                         tokens.bytes());
                          },
                          n < 64 ? std::optional<double>(0.85) : std::nullopt};
    const contestant peak{"FMA peak", "fused multiply-adds in registers",
                          [&] { multiply_add(operations); },
                          n >= 64 ? std::optional<double>(0.92) : std::nullopt};

    const top_k_router router(dense_gate<float>(weights.rows(d)), {.k = k});
    basic_routing<float> decided;
    std::vector<contestant> rivals{peak, read};
#ifdef LOCMOE_BENCH_HAS_TORCH
    const auto size = [](std::size_t count) { return static_cast<std::int64_t>(count); };
    const auto torch_x = at::from_blob(tokens.data(), {size(T), size(d)}, at::kFloat);
    const auto torch_w = at::from_blob(weights.data(), {size(n), size(d)}, at::kFloat).t();
    const double target = n < 64 ? 2.5 : n < 256 ? (d < 4096 ? 2.5 : 1.9) : d < 4096 ? 2.0 : 1.4;
    rivals.push_back({"LibTorch", "LibTorch: matmul, softmax, topk", [&] {
                          at::topk(at::softmax(at::matmul(torch_x, torch_w), 1), size(k));
                      }, target});
#endif
    compare(report, "dense gate to top-k, " + shape, operations, "GFLOP/s",
            [&] { router.route_into(x, where, decided); }, std::move(rivals), 9);

    if (k != 1) return;
    const locmoe_router<> pooled(n);
    compare(report, "GrAP gate to top-1, " + shape,
            static_cast<double>(tokens.bytes()), "GB/s",
            [&] { pooled.route_into(x, where, decided); },
            {{"read", "the tokens read", read.run, n <= 64 ? 0.90 : 0.80}}, 9);
}

}  // namespace

int main(int argc, char** argv) {
    bench::report report("kernels", argc, argv);
    if (!locmoe::detail::can_stream()) {
        std::printf("no AVX2: the limits are measured with it\n");
        return report.finish();
    }
#ifdef LOCMOE_BENCH_HAS_TORCH
    if (__builtin_cpu_supports("avx512f")) setenv("ATEN_CPU_CAPABILITY", "avx512", 0);
    at::set_num_threads(1);
#else
    std::printf("no LibTorch found: the rivals are loops\n");
#endif
    limits(report);
    for (const std::size_t k : {1u, 2u}) rows_moved<float>(report, "fp32", 32768, 1024, k);
    rows_moved<float>(report, "fp32", 4096, 4096, 2);
    rows_moved<float>(report, "fp32", 4096, 1024, 8);
    for (const std::size_t k : {2u, 8u}) rows_moved<bf16>(report, "bf16", 32768, 1024, k);
    rows_moved<bf16>(report, "bf16", 4096, 4096, 2);
    for (const std::size_t d : {1024u, 4096u})
        for (const std::size_t n : {16u, 64u, 256u}) {
            const std::size_t T = 32768 * 1024 / d;
            gates(report, T, d, n, 1);
            if (n == 64) gates(report, T, d, n, 2);
            if (n == 256) gates(report, T, d, n, 8);
        }
    return report.finish();
}
