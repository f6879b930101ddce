// The host's kernels against what this machine can do, measured in the same run: a kernel, its
// limit and its rivals in turn, `ratio` the median over the rounds of one's time over the other's.
// One thread, but for the rows that compare two with one; bytes are those that have to be read and
// written. bench/README.md says what each limit is made of and what keeps a kernel from it.
//
// Rivals: loops of memcpy and of plain arithmetic, a stable sort; where LibTorch is found, its
// index_select into a given output, index_add_, and matmul, softmax and topk, with one thread and
// AVX-512 where there is.

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

#include <sys/mman.h>
#include <time.h>

#ifdef LOCMOE_BENCH_HAS_TORCH
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#endif

#include "locmoe/assign/assignment.hpp"
#include "locmoe/exec/host_kernels.hpp"
#include "locmoe/exec/parallel_kernels.hpp"
#include "locmoe/exec/thread_team.hpp"
#include "locmoe/routing/dense_gate.hpp"
#include "locmoe/routing/detail/softmax_top_k.hpp"
#include "locmoe/routing/grap_gate.hpp"
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

double wall_ns() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
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

/// Numbers at the start of a huge page, where the system gives such, each written once.
template <class E>
class memory {
  public:
    explicit memory(std::size_t count)
        : count_(count),
          data_(static_cast<E*>(
              std::aligned_alloc(huge_page, (count * sizeof(E) / huge_page + 1) * huge_page))) {
        if (data_ == nullptr) std::abort();
        madvise(data_, bytes(), MADV_HUGEPAGE);  // kernels, limits and rivals alike
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
    static constexpr std::size_t huge_page = std::size_t{2} << 20;

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
             const std::function<void()>& kernel, std::vector<contestant> others, int rounds,
             double (*clock)() = cpu_ns) {
    if (!report.wants(name)) return;
    std::vector<double> own;
    kernel();
    for (contestant& c : others) c.run();
    for (int round = 0; round < rounds; ++round) {
        const auto once = [&](const std::function<void()>& run) {
            const double start = clock();
            run();
            return clock() - start;
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

/// How long one of `items` takes, beside how long it should: `ratio` is at least 1 where it does
/// not take longer.
void time_of(bench::report& report, const std::string& name, const std::function<void()>& kernel,
             double items, const char* unit, double most) {
    if (!report.wants(name)) return;
    std::vector<double> ns;
    for (int round = 0; round < 51; ++round) {
        const double start = cpu_ns();
        kernel();
        ns.push_back((cpu_ns() - start) / items);
    }
    report.add({name, median(ns), unit, "the time to stay below", most, most / median(ns), 1.0});
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
}

/// Each row's sources read, then the row filled: what a sum cannot do without, in its own order.
void read_and_fill(const_token_rows from, const row_sums& sums, token_rows to) {
    for (std::size_t t = 0; t < to.rows; ++t) {
        if (t + 1 < to.rows)  // as the kernel does
            for (const row_index next : sums.sources(t + 1))
                locmoe::detail::fetch_line(from.row(static_cast<std::size_t>(next)));
        for (const row_index r : sums.sources(t))
            read_bytes(from.row(static_cast<std::size_t>(r)), from.row_bytes);
        fill_past_caches(to.row(t), to.row_bytes);
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

const std::string two = ", two threads";

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
    const std::string shape = std::string(type) + ", T " + std::to_string(T) + ", d " +
                              std::to_string(d) + ", k " + std::to_string(k);
    if (!report.wants("dispatch, " + shape + two) && !report.wants("combine, " + shape + two))
        return;
    const memory<E> token_memory(T * d), row_memory(R * d);
    const routed plan(T, n, k);
    const std::vector<float> weights(R, 0.4f);
    const auto tokens = as_token_rows(token_memory.rows(d));
    const auto rows = as_token_rows(row_memory.rows(d));
    const double bytes = static_cast<double>(token_memory.bytes() + row_memory.bytes());
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
        {"limit", "the same rows read, each token filled after its own",
         [&] { read_and_fill(rows, plan.combine, tokens); }, 0.95},
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

    thread_team team(2);
    const parallel_kernels both(team);
    const auto gather = [&](const auto& by) {
        return [&] { by.gather({tokens, {}}, plan.dispatch, {0, R}, rows); };
    };
    const auto sum = [&](const auto& by) {
        return [&] {
            by.sum({rows, {}}, plan.combine, {0, T}, std::span<const float>(weights), tokens);
        };
    };
    compare(report, "dispatch, " + shape + two, bytes, "GB/s", gather(both),
            {{"one", "one thread", gather(kernels), 1.8}}, 9, wall_ns);
    compare(report, "combine, " + shape + two, bytes, "GB/s", sum(both),
            {{"one", "one thread", sum(kernels), 1.8}}, 9, wall_ns);
}

// --- gates ---------------------------------------------------------------------------------------

void gates(bench::report& report, std::size_t T, std::size_t d, std::size_t n, std::size_t k) {
    const std::string shape = "T " + std::to_string(T) + ", d " + std::to_string(d) + ", n " +
                              std::to_string(n) + ", k " + std::to_string(k);
    if (!report.wants("dense gate to top-k, " + shape + two) &&
        !report.wants("GrAP gate to top-k, " + shape + two))
        return;
    const memory<float> tokens(T * d), weights(n * d);
    const auto x = tokens.rows(d);
    const auto nodes = topology::uniform(8, 2);
    const auto placement = expert_placement::blocked(n, 16);
    const route_context where{3, nodes, placement};
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

    thread_team team(2);
    const auto with = [&](const auto& by, auto& threads) {
        return [&] { by.route_into(x, where, decided, threads); };
    };
    const one_thread alone;
    compare(report, "dense gate to top-k, " + shape + two, operations, "GFLOP/s",
            with(router, team), {{"one", "one thread", with(router, alone), 1.8}}, 9, wall_ns);

    const top_k_router pooled(grap_gate<float>(n), {.k = k});
    const auto bytes = static_cast<double>(tokens.bytes());
    const std::optional<double> target =
        n <= 64 ? std::optional(0.90) : k == 8 ? std::optional(0.80) : std::nullopt;
    compare(report, "GrAP gate to top-k, " + shape, bytes, "GB/s",
            [&] { pooled.route_into(x, where, decided); },
            {{"read", "the tokens read", read.run, target}}, 9);
    compare(report, "GrAP gate to top-k, " + shape + ", choices alone", bytes, "GB/s",
            [&] { pooled.choose_into(x, where, decided); },
            {{"read", "the tokens read", read.run, target}}, 9);
    compare(report, "GrAP gate to top-k, " + shape + two, bytes, "GB/s", with(pooled, team),
            {{"one", "one thread", with(pooled, alone), 1.8}}, 9, wall_ns);
}

/// What follows the logits, in ns, beside the ns that it should take.
void after_logits(bench::report& report, std::size_t n, std::size_t k, double choice_ns) {
    const std::size_t T = 1 << 18 >> (n == 64 ? 6 : 8);  // in the second-level cache
    const memory<float> fresh(T * n), table(T * n);
    std::vector<expert_id> chosen(T * k);
    const std::string shape = "n " + std::to_string(n) + ", k " + std::to_string(k);
    const auto refill = [&] { std::memcpy(table.data(), fresh.data(), fresh.bytes()); };
    const auto choose = [&] {
        refill();
        locmoe::detail::softmax_top_k(table.data(), n, T, n, k, chosen.data());
    };
    const auto one_by_one = [&] {
        refill();
        for (std::size_t t = 0; t < T; ++t) {
            const auto row = table.rows(n).row(t);
            top_k(std::span<const float>(row), std::span(chosen).subspan(t * k, k));
            softmax_row(row);
        }
    };
    std::vector<contestant> rivals{{"one by one", "token by token", one_by_one}};
#ifdef LOCMOE_BENCH_HAS_TORCH
    const auto size = [](std::size_t count) { return static_cast<std::int64_t>(count); };
    const auto logits = at::from_blob(fresh.data(), {size(T), size(n)}, at::kFloat);
    rivals.push_back({"LibTorch", "LibTorch: softmax, topk",
                      [&] { at::topk(at::softmax(logits, 1), size(k)); }, n == 64 ? 15.0 : 12.0});
#endif
    compare(report, "softmax and top-k, " + shape, static_cast<double>(T), "tokens/ns", choose,
            std::move(rivals), 51);
    time_of(report, "softmax and top-k, " + shape, choose, static_cast<double>(T), "ns/token",
            choice_ns);
}

/// Uniform and skewed choices to positions, against a stable sort by expert.
void positions(bench::report& report, std::size_t T, std::size_t n, std::size_t k) {
    routing uniform{T, k, n, {}, {}, {}}, skewed = uniform;
    std::uint64_t state = 5;
    for (std::size_t i = 0; i < T * k; ++i) {
        uniform.chosen.push_back(static_cast<expert_id>(next_random(state) % n));
        skewed.chosen.push_back(next_random(state) % 2 == 0 ? 0 : uniform.chosen.back());
    }
    const std::string shape =
        "T " + std::to_string(T) + ", n " + std::to_string(n) + ", k " + std::to_string(k);
    const auto slots = static_cast<double>(T * k);
    assignment assigned;
    const auto place = [&](const routing& of) {
        return [&] { assign_into(of, assigned, {}); };
    };
    std::vector<std::size_t> order(T * k);
    const auto sort = [&] {
        for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
        std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
            return uniform.chosen[a] < uniform.chosen[b];
        });
    };
    compare(report, "positions, " + shape, slots, "slots/ns", place(uniform),
            {{"sort", "std::stable_sort of the slots by expert", sort, 25.0},
             {"skewed", "half of the slots to one expert", place(skewed)}},
            21);
    time_of(report, "positions, " + shape, place(uniform), slots, "ns/slot", 1.5);
    thread_team team(2);
    compare(report, "positions, " + shape + two, slots, "slots/ns",
            [&] { assign_into(uniform, assigned, {}, team); },
            {{"one", "one thread", place(uniform), 1.8}}, 21, wall_ns);
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
    after_logits(report, 64, 2, 40);
    after_logits(report, 256, 8, 180);
    for (const std::size_t k : {1u, 2u, 8u}) positions(report, 32768, 64, k);
    return report.finish();
}
