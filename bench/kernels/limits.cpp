#include "limits.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "compare.hpp"
#include "groups.hpp"
#include "locmoe/exec/detail/stream_row.hpp"

using namespace locmoe;

#ifdef __GNUC__
#define BENCH_WIDE [[gnu::target("avx2,fma")]]
#else
#define BENCH_WIDE
#endif

namespace bench {
namespace {

using wide_floats [[gnu::vector_size(32)]] = float;

template <class T>
void keep(T& value) {
    asm volatile("" : : "m"(value) : "memory");
}

BENCH_WIDE void fill_past_caches(std::byte* to, std::size_t bytes) {
    alignas(64) const std::byte zeros[64] = {};
    for (std::size_t i = 0; i + 64 <= bytes; i += 64) {
        locmoe::detail::stream_half_line(to + i, zeros);
        locmoe::detail::stream_half_line(to + i + 32, zeros);
    }
}

}  // namespace

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

void copy_rows(const_token_rows from, token_rows to, std::size_t copies, row_range range) {
    for (std::size_t r = range.begin; r < range.end; ++r)
        for (std::size_t c = 0; c < copies; ++c)
            locmoe::detail::stream_row(to.row(c * from.rows + r), from.row(r), from.row_bytes,
                                       nullptr);
    locmoe::detail::finish_streaming();
}

void read_and_fill(const_token_rows from, const row_sums& sums, token_rows to, row_range range) {
    for (std::size_t t = range.begin; t < range.end; ++t) {
        if (t + 1 < range.end)  // as the kernel does
            for (const row_index next : sums.sources(t + 1))
                locmoe::detail::fetch_line(from.row(static_cast<std::size_t>(next)));
        for (const row_index r : sums.sources(t))
            read_bytes(from.row(static_cast<std::size_t>(r)), from.row_bytes);
        fill_past_caches(to.row(t), to.row_bytes);
    }
    locmoe::detail::finish_streaming();
}

BENCH_WIDE void multiply_add(double operations) {
    wide_floats sum[12] = {}, factor = wide_floats{} + 0.999f;
    keep(factor);
    for (double done = 0; done < operations; done += 12 * 16)
#pragma GCC unroll 12
        for (std::size_t i = 0; i < 12; ++i) sum[i] = sum[i] * factor + factor;
    keep(sum);
}

namespace {

constexpr std::size_t bytes = std::size_t{256} << 20, cols = 1024;
constexpr double operations = 2e8;

struct whole_memory {
    memory<float> from_memory{bytes / 4}, to_memory{bytes / 4};
    const_token_rows from = as_token_rows(from_memory.rows(cols));
    token_rows to = as_token_rows(to_memory.rows(cols));
    std::vector<std::size_t> order = std::vector<std::size_t>(from.rows);
    thread_team team{2};

    whole_memory() {
        std::uint64_t state = 1;
        for (std::size_t& row : order) row = next_random(state) % from.rows;
    }

    void read(row_range range) {
        read_bytes(from.row(range.begin), (range.end - range.begin) * from.row_bytes);
    }
    void copy(row_range range) { copy_rows(from, to, 1, range); }
    void copy_at_random(row_range range) {
        for (std::size_t i = range.begin; i < range.end; ++i)
            std::memcpy(to.row(i), from.row(order[i]), from.row_bytes);
    }
    void calculate(row_range range) {
        multiply_add(operations * static_cast<double>(range.end - range.begin) /
                     static_cast<double>(from.rows));
    }
    void copy_all() { std::memcpy(to.data, from.data, bytes); }
};

using limit = void (whole_memory::*)(row_range);

template <limit Of>
void by_one(whole_memory& of) {
    (of.*Of)({0, of.from.rows});
}
template <limit Of>
void by_two(whole_memory& of) {
    in_halves(of.team, of.from.rows, [&](row_range half) { (of.*Of)(half); });
}

}  // namespace

void add_limits() {
    using w = whole_memory;
    const group<w> rows;
    const double moved = 2.0 * bytes;
    rows.add({"limit: read: again", bytes, "GB/s", "itself"}, by_one<&w::read>, by_one<&w::read>);
    rows.add({"limit: copy: memcpy", moved, "GB/s", "memcpy of all bytes"}, by_one<&w::copy>,
             &w::copy_all);
    rows.add({"limit: copy: rows at random", moved, "GB/s", "memcpy of 4 KiB rows in random order"},
             by_one<&w::copy>, by_one<&w::copy_at_random>);
    rows.add({"limit: FMA: again", operations, "GFLOP/s", "itself"}, by_one<&w::calculate>,
             by_one<&w::calculate>);
    const auto gain = [&](const char* what, double work, const char* unit, auto both, auto one) {
        rows.add({std::string("limit: ") + what + two + ": one", work, unit, "one thread", {}, 9,
                  wall_ns},
                 both, one);
    };
    gain("read", bytes, "GB/s", by_two<&w::read>, by_one<&w::read>);
    gain("copy", moved, "GB/s", by_two<&w::copy>, by_one<&w::copy>);
    gain("rows at random", moved, "GB/s", by_two<&w::copy_at_random>, by_one<&w::copy_at_random>);
    gain("FMA", operations, "GFLOP/s", by_two<&w::calculate>, by_one<&w::calculate>);
}

}  // namespace bench
