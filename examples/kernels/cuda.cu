// Row kernels on a GPU, for tensors that lie in its memory. This file is compiled where nvcc is
// found, but not run: the machines that test locmoe have no GPU.
//
// The executor keeps its lists of rows and what it sends and receives in the process's ordinary
// memory, so that any MPI can send it. The kernels read and write that directly, which needs a
// system where the GPU reaches all of the process's memory: Grace Hopper, or Linux's heterogeneous
// memory management under the open driver. Elsewhere the constructor throws.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include "locmoe/exec/in_process.hpp"
#include "locmoe/locmoe.hpp"

namespace {

constexpr unsigned threads = 256;  // a block makes one row

/// What sums of E are kept in.
template <class E>
using total =
    std::conditional_t<std::is_same_v<E, __half> || std::is_same_v<E, __nv_bfloat16>, float, E>;

template <class Byte>
__device__ auto numbers(const locmoe::basic_token_rows<Byte>& rows, std::size_t i) {
    return rows.data + i * rows.row_stride;
}

__device__ const std::byte* row_of(const locmoe::row_space& space, locmoe::row_index r) {
    const auto i = static_cast<std::size_t>(r);
    return i < space.sources.rows ? numbers(space.sources, i)
                                  : numbers(space.staging, i - space.sources.rows);
}

template <class E, class Weight>
__global__ void sum_rows(locmoe::row_space space, const locmoe::row_index* from,
                         const locmoe::row_index* first, std::size_t begin, const Weight* weights,
                         std::size_t weight_count, locmoe::token_rows to) {
    const std::size_t i = begin + blockIdx.x;
    const locmoe::row_index source = first ? first[i] : static_cast<locmoe::row_index>(i);
    const locmoe::row_index end = first ? first[i + 1] : source + 1;
    E* out = reinterpret_cast<E*>(numbers(to, blockIdx.x));
    for (std::size_t c = threadIdx.x; c < to.row_bytes / sizeof(E); c += threads) {
        total<E> sum = total<E>(0);
        for (locmoe::row_index s = source; s < end; ++s) {
            const locmoe::row_index r = from[s];
            if (r == locmoe::empty_row) continue;
            const auto value =
                static_cast<total<E>>(reinterpret_cast<const E*>(row_of(space, r))[c]);
            sum += static_cast<std::size_t>(r) < weight_count
                       ? static_cast<total<E>>(weights[r]) * value
                       : value;
        }
        out[c] = static_cast<E>(sum);
    }
}

__global__ void copy_rows(locmoe::row_space space, const locmoe::row_index* from,
                          locmoe::token_rows to) {
    const locmoe::row_index r = from[blockIdx.x];
    const std::byte* in = r == locmoe::empty_row ? nullptr : row_of(space, r);
    std::byte* out = numbers(to, blockIdx.x);
    const bool aligned = ((reinterpret_cast<std::uintptr_t>(in) |
                           reinterpret_cast<std::uintptr_t>(out) | to.row_bytes) &
                          (sizeof(uint4) - 1)) == 0;
    if (aligned)
        for (std::size_t c = threadIdx.x; c < to.row_bytes / sizeof(uint4); c += threads)
            reinterpret_cast<uint4*>(out)[c] =
                in ? reinterpret_cast<const uint4*>(in)[c] : uint4{0, 0, 0, 0};
    else
        for (std::size_t c = threadIdx.x; c < to.row_bytes; c += threads)
            out[c] = in ? in[c] : std::byte{0};
}

template <class E, class Weight>
__global__ void scale_rows(locmoe::const_token_rows in, const Weight* weights,
                           locmoe::token_rows to) {
    const E* from = reinterpret_cast<const E*>(numbers(in, blockIdx.x));
    E* out = reinterpret_cast<E*>(numbers(to, blockIdx.x));
    const auto weight = static_cast<total<E>>(weights[blockIdx.x]);
    for (std::size_t c = threadIdx.x; c < to.row_bytes / sizeof(E); c += threads)
        out[c] = static_cast<E>(weight * static_cast<total<E>>(from[c]));
}

/// The parts are added up in a tree of fixed shape: the same bits on every run.
template <class E, class Result>
__global__ void dot_rows(locmoe::const_token_rows a, locmoe::const_token_rows b, Result* dots) {
    __shared__ Result parts[threads];
    const E* left = reinterpret_cast<const E*>(numbers(a, blockIdx.x));
    const E* right = reinterpret_cast<const E*>(numbers(b, blockIdx.x));
    Result sum = 0;
    for (std::size_t c = threadIdx.x; c < a.row_bytes / sizeof(E); c += threads)
        sum += static_cast<Result>(static_cast<total<E>>(left[c])) *
               static_cast<Result>(static_cast<total<E>>(right[c]));
    parts[threadIdx.x] = sum;
    for (unsigned half = threads / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) parts[threadIdx.x] += parts[threadIdx.x + half];
    }
    if (threadIdx.x == 0) dots[blockIdx.x] = parts[0];
}

/// Calls `work` with a value of the GPU's type for the element.
template <class Work>
void with_element(locmoe::element_type type, Work&& work) {
    switch (type) {
        case locmoe::element_type::f32: return work(float{});
        case locmoe::element_type::f64: return work(double{});
        case locmoe::element_type::bf16: return work(__nv_bfloat16{});
        case locmoe::element_type::fp16: return work(__half{});
        case locmoe::element_type::i32: return work(std::int32_t{});
        case locmoe::element_type::i64: return work(std::int64_t{});
    }
}

}  // namespace

/// Every member returns when its rows are written: what follows on the host may send them.
class cuda_kernels {
  public:
    /// Runs on `stream`, so after what the caller has put there. Throws locmoe::error where the
    /// current GPU cannot reach the process's memory.
    explicit cuda_kernels(cudaStream_t stream = nullptr) : stream_(stream) {
        int device = 0, reaches_all = 0;
        check(cudaGetDevice(&device));
        check(cudaDeviceGetAttribute(&reaches_all, cudaDevAttrPageableMemoryAccess, device));
        if (!reaches_all)
            throw locmoe::error("cuda_kernels: this GPU does not reach the process's memory");
    }

    void gather(const locmoe::row_space& space, const locmoe::row_sums& rows,
                locmoe::row_range range, locmoe::token_rows to) const {
        run(range.end - range.begin, [&](unsigned blocks) {
            copy_rows<<<blocks, threads, 0, stream_>>>(space, rows.from.data() + range.begin, to);
        });
    }

    template <class Weight>
    void sum(const locmoe::row_space& space, const locmoe::row_sums& rows, locmoe::row_range range,
             std::span<const Weight> weights, locmoe::token_rows to) const {
        run(range.end - range.begin, [&](unsigned blocks) {
            with_element(to.type, [&](auto element) {
                sum_rows<decltype(element)><<<blocks, threads, 0, stream_>>>(
                    space, rows.from.data(), rows.is_gather() ? nullptr : rows.first.data(),
                    range.begin, weights.data(), weights.size(), to);
            });
        });
    }

    template <class Weight>
    void scale(locmoe::const_token_rows in, std::span<const Weight> weights,
               locmoe::token_rows to) const {
        run(in.rows, [&](unsigned blocks) {
            with_element(to.type, [&](auto element) {
                scale_rows<decltype(element)>
                    <<<blocks, threads, 0, stream_>>>(in, weights.data(), to);
            });
        });
    }

    template <class Result>
    void dot(locmoe::const_token_rows a, locmoe::const_token_rows b,
             std::span<Result> dots) const {
        run(a.rows, [&](unsigned blocks) {
            with_element(a.type, [&](auto element) {
                dot_rows<decltype(element)><<<blocks, threads, 0, stream_>>>(a, b, dots.data());
            });
        });
    }

  private:
    static void check(cudaError_t code) {
        if (code != cudaSuccess)
            throw locmoe::error(std::string("cuda_kernels: ") + cudaGetErrorString(code));
    }

    template <class Launch>
    void run(std::size_t rows, Launch&& launch) const {
        if (rows > 0) launch(static_cast<unsigned>(rows));
        check(cudaGetLastError());
        check(cudaStreamSynchronize(stream_));
    }

    cudaStream_t stream_;
};

static_assert(locmoe::row_kernels<cuda_kernels>);

/// Tokens in the GPU's memory to the experts' rows there and back; `outputs` is what your experts,
/// on `stream`, make of `rows`.
void moe_layer(locmoe::in_process_backend& backend, cudaStream_t stream, const float* tokens,
               std::size_t token_count, std::size_t width, const locmoe::routing& decided,
               float* rows, const float* outputs, float* results) {
    using namespace locmoe;
    executor ex(backend, topology::uniform(2, 2), expert_placement::blocked(8, 4),
                cuda_kernels(stream));
    const exchange_plan plan = ex.plan(assign(decided), node_aggregated{});
    const std::size_t row_count = plan.expert_row_count();
    ex.dispatch(plan, matrix_view<const float>{tokens, token_count, width, width},
                matrix_view<float>{rows, row_count, width, width});
    ex.combine(plan, matrix_view<const float>{outputs, row_count, width, width},
               ex.dispatch_weights(plan, decided.weights),
               matrix_view<float>{results, token_count, width, width});
}
