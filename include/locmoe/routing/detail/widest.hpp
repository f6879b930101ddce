#pragma once

namespace locmoe::inline v0::detail {

// Compilers make vector instructions of row loops, but only such as every processor of the target
// has: 128 bits wide on plain x86-64. So `Body`, a function marked always_inline, is compiled twice
// from one text, and the processor that runs it chooses. AVX2 without FMA, on purpose: the same
// operations in the same order, so that the results are the same bits on every such processor and
// no choice of experts depends on where it was made.
#if defined(__GNUC__) && defined(__x86_64__) && !defined(__AVX2__)
#define LOCMOE_HAS_WIDER 1

template <auto Body, class... Args>
[[gnu::target("avx2")]] auto with_avx2(Args... args) {
    return Body(args...);
}
#else
#define LOCMOE_HAS_WIDER 0
#endif

#if defined(__GNUC__) && defined(__x86_64__)
#define LOCMOE_HAS_FUSED 1

inline bool has_avx2_fused() {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

inline bool has_avx512() {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl");
}

template <auto Body, class... Args>
[[gnu::target("avx2,fma")]] auto with_avx2_fused(Args... args) {
    return Body(args...);
}
#else
#define LOCMOE_HAS_FUSED 0
#endif

/// `Body(args...)`, in the widest vector instructions of this processor. For rows, whose work is
/// worth a call; the arguments are copied.
template <auto Body, class... Args>
auto widest(Args... args) {
#if LOCMOE_HAS_WIDER
    if (__builtin_cpu_supports("avx2")) return with_avx2<Body>(args...);
#endif
    return Body(args...);
}

/// `widest` for bodies of std::fma, which is slow where a processor has no such instruction. They
/// add no product in another way: it would be fused here, and not elsewhere.
template <auto Body, class... Args>
auto widest_fused(Args... args) {
#if LOCMOE_HAS_FUSED
    if (has_avx2_fused()) return with_avx2_fused<Body>(args...);
#endif
    return Body(args...);
}

/// For bodies that say how wide their vectors are: `Wide(args...)`, of 32 bytes, where the
/// processor has AVX2, else `Plain(args...)`, of 16.
template <auto Plain, auto Wide, class... Args>
auto widest_of(Args... args) {
#if LOCMOE_HAS_WIDER
    if (__builtin_cpu_supports("avx2")) return with_avx2<Wide>(args...);
    return Plain(args...);
#elif defined(__AVX2__)
    return Wide(args...);
#else
    return Plain(args...);
#endif
}

}  // namespace locmoe::detail
