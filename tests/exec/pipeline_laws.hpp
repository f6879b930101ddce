#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

#include "exec/executor_laws.hpp"

/// What every pipeline keeps over any backend: the bits of the executor's calls without chunks.
namespace pipeline_laws {

using backend_laws::expect;
using executor_laws::same_bits;
using executor_laws::width;
using namespace locmoe;

/// Numbers whose sums round, a few of them negative zeros.
template <class E>
std::vector<E> rough_numbers(random_cases::generator& g, std::size_t count) {
    std::vector<E> all;
    for (std::size_t i = 0; i < count; ++i) {
        if constexpr (std::is_integral_v<E>)
            all.push_back(static_cast<E>(g.up_to(1000)) - 500);
        else
            all.push_back(executor_laws::number<E>(0));
        if constexpr (!std::is_integral_v<E>) {
            const float v = g.chance(0.3) ? -0.0f : static_cast<float>(g.up_to(1 << 20)) / 1023 - 500;
            if constexpr (std::is_floating_point_v<E>)
                all.back() = static_cast<E>(v);
            else
                all.back() = E(v);
        }
    }
    return all;
}

/// An expert that treats each row by itself, and rows of another expert otherwise.
template <class E>
void compute(const exchange_plan& plan, matrix_view<const E> in, matrix_view<E> out) {
    for (std::size_t e = 0; e < plan.experts.size(); ++e)
        for (auto r = static_cast<std::size_t>(plan.expert_first[e]);
             r < static_cast<std::size_t>(plan.expert_first[e + 1]); ++r)
            for (std::size_t c = 0; c < in.cols; ++c) {
                const double v = static_cast<double>(element_traits<E>::load(in(r, c)));
                const double w = v * (1.0 + static_cast<double>(plan.experts[e]));
                if constexpr (std::is_arithmetic_v<E>)
                    out(r, c) = static_cast<E>(w);
                else
                    out(r, c) = E(static_cast<float>(w));
            }
}

template <class E, class Backend, class Strategy>
void gives_the_bits_without_chunks(Backend& backend, const Strategy& strategy, std::uint32_t seed,
                                   std::size_t chunks) {
    const auto job = random_cases::job_on(backend.rank_count(), seed);
    const auto me = static_cast<std::size_t>(backend.rank());
    const auto law = [&](const char* what) {
        return detail::concat(what, " (", strategy.name(), ", ", chunks, " chunks, ",
                              element_name(element_traits<E>::type), ", ", job.text, ")");
    };
    constexpr bool real = !std::is_integral_v<E>;
    executor ex(backend, job.nodes, job.placement);
    const assignment& mine = job.assigned[me];
    const exchange_plan plan = ex.plan(mine, strategy);
    auto pipe = ex.pipeline(plan, chunks);
    const std::size_t tokens = mine.token_count;
    const std::size_t rows = plan.expert_row_count();
    random_cases::generator g(seed * 64 + static_cast<std::uint32_t>(me));
    std::vector<float> weights(tokens * mine.choice_count);
    for (float& w : weights) w = static_cast<float>(g.up_to(1 << 20)) / 1048576.0f;

    std::size_t end = 0;
    std::vector<std::size_t> whole_row;
    for (std::size_t c = 0; c < pipe.chunk_count(); ++c) {
        expect(pipe.first_row(c) == end, law("rows lie chunk by chunk"), backend.rank());
        for (const row_index r : pipe.chunk(c).expert_rows)
            whole_row.push_back(static_cast<std::size_t>(r));
        end += pipe.chunk(c).plan.expert_row_count();
    }
    expect(pipe.chunk_count() == chunks && end == rows && pipe.first_row(chunks) == rows,
           law("the chunks hold all rows"), backend.rank());
    const auto by_chunk = [&](const auto& all) {  // rows in the whole plan's order, put into ours
        auto own = all;
        const std::size_t cols = rows == 0 ? 0 : all.size() / rows;
        for (std::size_t r = 0; r < rows; ++r)
            for (std::size_t c = 0; c < cols; ++c)
                own[r * cols + c] = all[whole_row[r] * cols + c];
        return own;
    };

    for (int run = 0; run < 2; ++run) {
        const auto x = rough_numbers<E>(g, tokens * width);
        std::vector<E> in(rows * width), out(in), y(tokens * width, executor_laws::number<E>(9));
        std::vector<float> row_weights, pipe_weights;
        if constexpr (real) {
            row_weights = ex.dispatch_weights(plan, weights);
            pipe_weights = pipe.dispatch_weights(weights);
            expect(same_bits(pipe_weights, by_chunk(row_weights)), law("weights"), backend.rank());
        }
        ex.dispatch(plan, as_matrix(x, width), as_matrix(in, width));
        compute<E>(plan, as_matrix(std::as_const(in), width), as_matrix(out, width));
        ex.combine(plan, as_matrix(out, width), row_weights, as_matrix(y, width));

        std::vector<E> pipe_in(rows * width), pipe_out(pipe_in), pipe_y(y.size());
        std::size_t called = 0;
        pipe.forward(
            as_matrix(x, width), as_matrix(pipe_in, width),
            [&](const pipeline_chunk& chunk, matrix_view<const E> from, matrix_view<E> to) {
                expect(chunk.number == called++ && from.rows == chunk.plan.expert_row_count() &&
                           to.rows == from.rows && from.cols == width &&
                           chunk.first_row == pipe.first_row(chunk.number),
                       law("experts are called once a chunk"), backend.rank());
                compute<E>(chunk.plan, from, to);
            },
            as_matrix(pipe_out, width), pipe_weights, as_matrix(pipe_y, width));
        expect(called == chunks, law("experts are called for every chunk"), backend.rank());
        expect(same_bits(pipe_in, by_chunk(in)), law("dispatch"), backend.rank());
        expect(same_bits(pipe_out, by_chunk(out)), law("experts"), backend.rank());
        expect(same_bits(pipe_y, y), law("combine"), backend.rank());

        if constexpr (real) {
            const auto gy = rough_numbers<E>(g, tokens * width);
            std::vector<E> gout(rows * width), gin(gout), gx(tokens * width);
            std::vector<float> gw(weights.size(), -1.0f);
            ex.combine_backward(plan, as_matrix(gy, width), as_matrix(out, width), row_weights,
                                as_matrix(gout, width), gw);
            compute<E>(plan, as_matrix(std::as_const(gout), width), as_matrix(gin, width));
            ex.dispatch_backward(plan, as_matrix(gin, width), as_matrix(gx, width));

            std::vector<E> pipe_gout(gout.size()), pipe_gin(gin.size()), pipe_gx(gx.size());
            std::vector<float> pipe_gw(gw.size(), -2.0f);
            pipe.backward(
                as_matrix(gy, width), as_matrix(pipe_out, width), pipe_weights,
                as_matrix(pipe_gout, width),
                [&](const pipeline_chunk& chunk, matrix_view<const E> from, matrix_view<E> to) {
                    compute<E>(chunk.plan, from, to);
                },
                as_matrix(pipe_gin, width), as_matrix(pipe_gx, width), pipe_gw);
            expect(same_bits(pipe_gout, by_chunk(gout)), law("combine_backward"), backend.rank());
            expect(same_bits(pipe_gx, gx), law("dispatch_backward"), backend.rank());
            expect(same_bits(pipe_gw, gw), law("gradients of weights"), backend.rank());
        }
    }
}

template <class Backend>
void all_strategies_and_elements(Backend& backend, std::uint32_t seeds) {
    for (std::uint32_t seed = 0; seed < seeds; ++seed)
        for (const std::size_t chunks : {1u, 2u, 3u, 20u}) {  // of up to 12 tokens
            gives_the_bits_without_chunks<float>(backend, direct{}, seed, chunks);
            gives_the_bits_without_chunks<float>(backend, node_aggregated{}, seed, chunks);
            gives_the_bits_without_chunks<float>(backend, node_aggregated{.exact_combine = true},
                                                 seed, chunks);
            gives_the_bits_without_chunks<float>(backend, node_balanced{}, seed, chunks);
            gives_the_bits_without_chunks<float>(backend, node_balanced{.exact_combine = true},
                                                 seed, chunks);
            gives_the_bits_without_chunks<float>(backend, store_and_forward{.radix = 2 + seed % 2},
                                                 seed, chunks);
            gives_the_bits_without_chunks<float>(backend, store_and_forward{.exact_combine = true},
                                                 seed, chunks);
            gives_the_bits_without_chunks<double>(backend, node_aggregated{}, seed + 1, chunks);
            gives_the_bits_without_chunks<bf16>(backend, node_aggregated{}, seed + 2, chunks);
            gives_the_bits_without_chunks<fp16>(backend, direct{}, seed + 3, chunks);
            gives_the_bits_without_chunks<std::int64_t>(backend, node_aggregated{}, seed + 4,
                                                        chunks);
            gives_the_bits_without_chunks<std::int32_t>(backend, direct{}, seed + 5, chunks);
        }
}

}  // namespace pipeline_laws
