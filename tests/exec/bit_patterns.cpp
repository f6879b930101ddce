// Dispatch moves bits, whatever they mean: NaNs with payloads, quiet and signalling, denormals,
// infinities, zeros of both signs and the largest numbers of every element type.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <vector>

#include "catch.hpp"
#include "exec/executor_laws.hpp"
#include "locmoe/exec/in_process.hpp"
#include "small_job.hpp"

using namespace locmoe;

namespace {

template <class E>
struct bits;
template <>
struct bits<float> {
    using word = std::uint32_t;
    static constexpr word patterns[] = {0x7fc00000, 0x7f800001, 0x7fbfffff, 0xffc12345, 0xff800001,
                                        0x7f800000, 0xff800000, 0x00000001, 0x807fffff, 0x00800000,
                                        0x7f7fffff, 0x80000000, 0x00000000};
};
template <>
struct bits<double> {
    using word = std::uint64_t;
    static constexpr word patterns[] = {0x7ff8000000000000, 0x7ff0000000000001, 0xfff7ffffffffffff,
                                        0xfff8000000abcdef, 0x7ff0000000000000, 0x0000000000000001,
                                        0x800fffffffffffff, 0x7fefffffffffffff, 0x8000000000000000};
};
template <>
struct bits<bf16> {
    using word = std::uint16_t;
    static constexpr word patterns[] = {0x7fc0, 0x7f81, 0xffbf, 0xffff, 0x7f80, 0xff80,
                                        0x0001, 0x807f, 0x0080, 0x7f7f, 0x8000, 0x0000};
};
template <>
struct bits<fp16> {
    using word = std::uint16_t;
    static constexpr word patterns[] = {0x7e00, 0x7c01, 0xfdff, 0xffff, 0x7c00, 0xfc00,
                                        0x0001, 0x83ff, 0x0400, 0x7bff, 0x8000, 0x0000};
};

constexpr std::size_t cols = 37;  // whole vectors and a rest

template <class E>
std::vector<E> rows_of(std::size_t rank, std::size_t tokens) {
    using word = typename bits<E>::word;
    std::vector<word> words(tokens * cols);
    for (std::size_t i = 0; i < words.size(); ++i)
        words[i] =
            bits<E>::patterns[backend_laws::mixed(rank, i, 3, 5) % std::size(bits<E>::patterns)];
    std::vector<E> all(words.size());
    if (!all.empty())
        std::memcpy(static_cast<void*>(all.data()), words.data(), words.size() * sizeof(word));
    return all;
}

}  // namespace

TEMPLATE_TEST_CASE("dispatch carries every bit of every number under every strategy", "[exec]",
                   float, double, bf16, fp16) {
    using E = TestType;
    small_job::numbers n;
    n.nodes = {0, 0, 1, 2};
    n.experts = {0, 1, 2, 3, 1};
    n.choices = 1;
    n.chosen = {{0, 1, 2, 3, 4, 0, 2, 2, 1, 3}, {4, 3, 2, 1}, {}, {0, 0, 3, 1, 2, 4}};
    for (std::uint8_t s = 0; s < small_job::strategy_count; ++s) {
        if (s == 9) continue;  // of groups: the rows of direct, gathered
        n.strategy = s;
        const auto job = small_job::make(n);
        const small_job::any_strategy strategy{&job};
        INFO(strategy.name());
        CHECK_NOTHROW(run_in_process(4, [&](in_process_backend& backend) {
            const auto me = static_cast<std::size_t>(backend.rank());
            executor ex(backend, job.drawn.nodes, job.drawn.placement);
            const exchange_plan plan = ex.plan(job.drawn.assigned[me], strategy);
            const std::vector<E> sent = rows_of<E>(me, plan.token_count);
            std::vector<E> got(plan.expert_row_count() * cols);
            ex.dispatch(plan, as_matrix(sent, cols), as_matrix(got, cols));
            std::vector<E> expected(got.size());
            for (const auto& p : executor_laws::place_by_hand(
                     job.drawn, static_cast<std::size_t>(plan.rows_per_source))) {
                if (p.rank != me) continue;
                const assignment& from = job.drawn.assigned[p.source];
                const auto rows = rows_of<E>(p.source, from.token_count);
                const std::size_t token = p.slot / from.choice_count;
                for (std::size_t c = 0; c < cols; ++c)
                    expected[p.row * cols + c] = rows[token * cols + c];
            }
            backend_laws::expect(executor_laws::same_bits(got, expected), "bits as they were",
                                 backend.rank());
        }));
    }
}
