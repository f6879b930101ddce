// The host's kernels against what this machine can do, measured in the same run, and against what a
// user would call instead: bench/README.md says what each limit is made of and what keeps a kernel
// from it. Bytes are those that have to be read and written. Rows of two threads or ranks go by the
// wall's clock, all others by the thread's own time.

#include <cstdio>
#include <cstdlib>

#include "compare.hpp"
#include "groups.hpp"
#include "in_process.hpp"
#include "locmoe/exec/detail/stream_row.hpp"

#ifdef LOCMOE_BENCH_HAS_TORCH
#include <ATen/Parallel.h>
#endif

int main(int argc, char** argv) {
    bench::second_process other(argc, argv);
    if (other.is_this()) {
        other.serve();
        return 0;
    }
    bench::read_options(argc, argv);
    if (!locmoe::detail::can_stream()) {
        std::printf("no AVX2: the limits are measured with it\n");
        return 0;
    }
#ifdef LOCMOE_BENCH_HAS_TORCH
    if (__builtin_cpu_supports("avx512f")) setenv("ATEN_CPU_CAPABILITY", "avx512", 0);
    at::set_num_threads(1);
#else
    std::printf("no LibTorch found: the rivals are loops\n");
#endif
    bench::add_limits();
    bench::add_moved_rows();
    bench::add_gates();
    bench::add_choices();
    if (other.started())
        bench::add_exchanges();
    else
        std::printf("not on two ranks of MPI: no exchange in-process\n");
    return bench::run_all("kernels");
}
