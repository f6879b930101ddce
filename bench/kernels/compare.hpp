#pragma once

// Rows for Google Benchmark: a kernel and a rival in turn, round by round, on memory that a group of
// rows has in common.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <sys/mman.h>
#include <time.h>

#include <benchmark/benchmark.h>

#include "locmoe/core/element.hpp"
#include "locmoe/core/matrix_view.hpp"

namespace bench {

inline double now_ns(clockid_t clock) {
    timespec now{};
    clock_gettime(clock, &now);
    return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}
/// This thread's own time: what else runs on the machine counts for less.
inline double cpu_ns() { return now_ns(CLOCK_THREAD_CPUTIME_ID); }
inline double wall_ns() { return now_ns(CLOCK_MONOTONIC); }

inline std::uint64_t next_random(std::uint64_t& state) {
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
            data_[i] = locmoe::element_traits<E>::store(
                static_cast<float>(next_random(state)) * 0x1p-30f - 1.0f);
    }
    ~memory() { std::free(data_); }
    memory(const memory&) = delete;
    memory& operator=(const memory&) = delete;

    E* data() const { return data_; }
    std::size_t bytes() const { return count_ * sizeof(E); }
    locmoe::matrix_view<E> rows(std::size_t cols) const { return {data_, count_ / cols, cols}; }

  private:
    static constexpr std::size_t huge_page = std::size_t{2} << 20;

    std::size_t count_;
    E* data_;
};

/// `ratio`, the median of the rounds' ratios, says how many times better than the rival the kernel
/// is, or which fraction of a limit it reaches: more is better in every row.
struct row {
    std::string name;
    double work = 1;    ///< bytes, operations or items
    std::string unit;   ///< "ns/...": of ns an item; else of work a ns
    std::string rival;  ///< what it is
    std::optional<double> target = std::nullopt;  ///< least ratio to reach; none: for the record
    int rounds = 9;
    double (*clock)() = cpu_ns;
};

using timed = std::function<double()>;  ///< ns

/// The kernel's median, the rival's and the ratio's as counters of the row's benchmark.
void run_row(benchmark::State& state, const row& r, const timed& kernel, const timed& rival);
/// Likewise without a rival: ns an item beside the most that it may take.
void run_time_row(benchmark::State& state, const row& r, double most_ns, const timed& kernel);

/// One group's State lives at a time.
void give_up_state();
void keep_state(std::shared_ptr<void> state);

/// Rows on one `State`, which is made for the first of them that runs and given up when another
/// group's is made: they would not fit into memory side by side.
///
/// Kernels and rivals take the State. One that returns nothing is timed; a `double` is its own time
/// in ns; a function is made for the row, and that one is timed.
template <class State>
class group {
  public:
    template <class... Args>
    explicit group(Args... args)
        : make_([=] { return std::make_shared<State>(args...); }),
          state_(std::make_shared<std::weak_ptr<State>>()) {}

    template <class Kernel, class Rival>
    void add(row r, Kernel kernel, Rival rival) const {
        add_benchmark(r, [*this, r, kernel, rival](benchmark::State& state) {
            const auto own = made();
            run_row(state, r, prepare(*own, kernel, r.clock), prepare(*own, rival, r.clock));
        });
    }

    /// What one of `r.work` items takes, to stay below `most_ns`.
    template <class Kernel>
    void add_time(row r, double most_ns, Kernel kernel) const {
        r.rounds = 51;
        add_benchmark(r, [*this, r, most_ns, kernel](benchmark::State& state) {
            const auto own = made();
            run_time_row(state, r, most_ns, prepare(*own, kernel, r.clock));
        });
    }

  private:
    template <class Run>
    static void add_benchmark(const row& r, Run run) {
        benchmark::RegisterBenchmark(r.name.c_str(), run)
            ->Iterations(r.rounds)
            ->UseManualTime()
            ->Unit(benchmark::kMillisecond);
    }

    std::shared_ptr<State> made() const {
        auto state = state_->lock();
        if (!state) {
            give_up_state();
            state = make_();
            keep_state(state);
            *state_ = state;
        }
        return state;
    }

    template <class Work>
    static timed prepare(State& state, const Work& work, double (*clock)()) {
        using result = std::invoke_result_t<const Work&, State&>;
        const auto time = [clock](const auto& run) {
            const double start = clock();
            run();
            return clock() - start;
        };
        if constexpr (std::is_same_v<result, double>)
            return [&state, work] { return std::invoke(work, state); };
        else if constexpr (std::is_void_v<result>)
            return [&state, work, time] { return time([&] { std::invoke(work, state); }); };
        else
            return [run = std::invoke(work, state), time] { return time(run); };
    }

    std::function<std::shared_ptr<State>()> make_;
    std::shared_ptr<std::weak_ptr<State>> state_;
};

/// Of the command line: `--json FILE` for Google Benchmark's JSON, `--only TEXT` for the rows with TEXT
/// in their name, and Google Benchmark's own options. Another one ends the program with code 2.
void read_options(int argc, char** argv);

/// A line for each row, and at the end how many targets were reached. 0, or 1 where standard output
/// cannot be written.
int run_all(const char* suite);

}  // namespace bench
