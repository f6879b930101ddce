#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "exec/executor_laws.hpp"
#include "grouped_cases.hpp"
#include "locmoe/plan/group_wise.hpp"

/// What every pipeline keeps over any backend: the bits of the executor's calls without chunks.
namespace pipeline_laws {

using backend_laws::expect;
using executor_laws::same_bits;
using executor_laws::width;
using namespace locmoe;

/// Numbers whose sums round, a few of them negative zeros, or such once weighted and rounded to fp16:
/// copies keep those, sums do not.
template <class E>
std::vector<E> rough_numbers(random_cases::generator& g, std::size_t count) {
    std::vector<E> all;
    for (std::size_t i = 0; i < count; ++i) {
        float v = static_cast<float>(g.up_to(1 << 20)) / 1023 - 500;
        if (g.chance(0.3)) v = g.chance(0.5) ? -0.0f : -6e-8f;
        if constexpr (std::is_arithmetic_v<E>)
            all.push_back(static_cast<E>(v));
        else
            all.push_back(E(v));
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

/// `numbers`: the seed of tokens and weights.
template <class E, class Backend, class Strategy, class Job>
void gives_the_bits_without_chunks(Backend& backend, const Strategy& strategy, const Job& job,
                                   std::uint32_t numbers, std::size_t chunks) {
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
    random_cases::generator g(numbers);
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

template <class E, class Backend, class Strategy>
void gives_the_bits_without_chunks(Backend& backend, const Strategy& strategy, std::uint32_t seed,
                                   std::size_t chunks) {
    gives_the_bits_without_chunks<E>(backend, strategy,
                                     random_cases::job_on(backend.rank_count(), seed),
                                     seed * 64 + static_cast<std::uint32_t>(backend.rank()),
                                     chunks);
}

template <class Backend>
void all_strategies_and_elements(Backend& backend, std::uint32_t seeds) {
    for (std::uint32_t seed = 0; seed < seeds; ++seed)
        for (const std::size_t chunks : {1u, 2u, 3u, 20u}) {  // of up to 12 tokens
            gives_the_bits_without_chunks<float>(backend, direct{}, seed, chunks);
            gives_the_bits_without_chunks<float>(backend, node_aggregated{}, seed, chunks);
            gives_the_bits_without_chunks<float>(backend, node_aggregated{.exact_combine = true},
                                                 seed, chunks);
            gives_the_bits_without_chunks<float>(backend, node_aggregated{.chunks = 3}, seed,
                                                 chunks);
            gives_the_bits_without_chunks<float>(backend, node_balanced{}, seed, chunks);
            gives_the_bits_without_chunks<float>(backend, node_balanced{.exact_combine = true},
                                                 seed, chunks);
            gives_the_bits_without_chunks<float>(backend, store_and_forward{.radix = 2 + seed % 2},
                                                 seed, chunks);
            gives_the_bits_without_chunks<float>(backend, store_and_forward{.exact_combine = true},
                                                 seed, chunks);
            gives_the_bits_without_chunks<double>(backend, node_aggregated{}, seed + 1, chunks);
            gives_the_bits_without_chunks<bf16>(backend, node_aggregated{}, seed + 2, chunks);
            gives_the_bits_without_chunks<fp16>(backend, node_aggregated{}, seed + 3, chunks);
            gives_the_bits_without_chunks<std::int64_t>(backend, node_aggregated{}, seed + 4,
                                                        chunks);
            gives_the_bits_without_chunks<std::int32_t>(backend, direct{}, seed + 5, chunks);
        }
}

/// Of plans whose combine has one phase more than dispatch, in which a group gets its results.
template <class Backend>
void groups_as_well(Backend& backend, const grouped_cases::job& job, std::uint32_t seed) {
    const group_wise strategy{job.group_size};
    const std::size_t group = job.group_of[static_cast<std::size_t>(backend.rank())];
    const std::uint32_t numbers = seed * 64 + static_cast<std::uint32_t>(group);  // alike in it
    for (const std::size_t chunks : {1u, 2u, 3u, 20u}) {
        gives_the_bits_without_chunks<float>(backend, strategy, job, numbers, chunks);
        gives_the_bits_without_chunks<bf16>(backend, strategy, job, numbers, chunks);
        gives_the_bits_without_chunks<std::int64_t>(backend, strategy, job, numbers, chunks);
    }
}

/// Whether a rank copies rows or adds them up must not depend on what a chunk happens to hold.
template <class Backend>
void zeros_keep_their_signs(Backend& backend, std::uint32_t seeds) {
    for (std::uint32_t seed = 0; seed < seeds; ++seed) {
        gives_the_bits_without_chunks<fp16>(backend, direct{}, seed, 6);
        gives_the_bits_without_chunks<fp16>(backend, node_aggregated{}, seed, 6);
    }
}

/// Three tokens a rank, all to expert 0.
struct small_job {
    topology nodes;
    expert_placement placement;
    assignment assigned;
    std::size_t tokens = 3;

    explicit small_job(std::size_t ranks)
        : nodes(topology::uniform(ranks, 1)), placement(expert_placement::blocked(ranks, ranks)) {
        routing decided;
        decided.token_count = tokens;
        decided.choice_count = 1;
        decided.expert_count = ranks;
        decided.chosen.assign(tokens, 0);
        decided.weights.assign(tokens, 1.0f);
        assigned = assign(decided);
    }
};

/// One rank's wrong argument or chunk number fails on all ranks, before anything is sent.
template <class Backend>
void bad_input_fails_on_all_ranks(Backend& backend) {
    const std::size_t ranks = backend.rank_count();
    const bool wrong_here = static_cast<std::size_t>(backend.rank()) == ranks - 1;
    const small_job job(ranks);
    executor ex(backend, job.nodes, job.placement);
    const exchange_plan plan = ex.plan(job.assigned, direct{});
    const auto fails = [&](auto&& call, const char* words) {
        executor_laws::fails_alike(backend, static_cast<rank_id>(ranks - 1), call, words);
    };
    for (const std::size_t odd : {0u, 3u}) {
        if (ranks == 1 && odd != 0) continue;
        std::string what;
        try {
            ex.pipeline(plan, wrong_here ? odd : 2);
        } catch (const error& e) {
            what = e.what();
        }
        expect(what.find("chunks") != std::string::npos,
               "no chunks, or other numbers of them, are refused on every rank", backend.rank());
    }
    std::string what;
    try {
        const auto most = static_cast<std::int64_t>(job.tokens);
        ex.pipeline(ex.plan(job.assigned, capacity_padded{direct{}, most}), 2);
    } catch (const plan_error& e) {
        what = e.what();
    }
    expect(what.find("its rows are padded") != std::string::npos,
           "a padded plan is not cut, on any rank", backend.rank());

    auto pipe = ex.pipeline(plan, 2);
    const std::size_t rows = plan.expert_row_count();
    const auto untouched = [&](const auto&...) {
        expect(false, "no expert is called", backend.rank());
    };
    std::vector<float> x(job.tokens * width), y(x), in(rows * width), out(in), none;
    std::vector<float> weights(rows, 1.0f);
    std::vector<double> wide(job.tokens * width);
    const auto forward = [&](std::vector<float>& tokens, auto& results,
                             const std::vector<float>& w) {
        pipe.forward(as_matrix(tokens, width), as_matrix(in, width), untouched,
                     as_matrix(out, width), w, as_matrix(results, width));
    };
    std::vector<float> few(wrong_here ? width : job.tokens * width);
    fails([&] { forward(few, y, weights); }, "tokens on rank");
    fails([&] { wrong_here ? forward(x, wide, weights) : forward(x, y, weights); },
          "results on rank");
    std::vector<float> more(wrong_here ? rows + 1 : rows, 1.0f);
    fails([&] { forward(x, y, more); }, "row_weights on rank");
    std::vector<float> gw(job.tokens + (wrong_here ? 1 : 0));
    fails(
        [&] {
            pipe.backward(as_matrix(x, width), as_matrix(out, width), weights, as_matrix(in, width),
                          untouched, as_matrix(out, width), as_matrix(y, width), gw);
        },
        "grad_weights on rank");

    pipe.forward(
        as_matrix(x, width), as_matrix(in, width), [](const auto&...) {}, as_matrix(out, width),
        weights, as_matrix(y, width));
}

/// What a rank finds only where it cuts its plan fails on all ranks.
template <class Backend>
void bad_chunks_fail_on_all_ranks(Backend& backend) {
    const std::size_t ranks = backend.rank_count();
    const small_job job(ranks);
    executor ex(backend, job.nodes, job.placement);
    const exchange_plan right = ex.plan(job.assigned, direct{});
    exchange_plan plan = right;
    if (static_cast<std::size_t>(backend.rank()) == ranks - 1) {  // pairs leave the other way round
        auto& pairs = plan.pair_dispatch.phases[0].pack.from;
        std::swap(pairs.front(), pairs.back());
    }
    std::string what;
    bool right_kind = false;
    try {
        ex.pipeline(plan, 3);
    } catch (const plan_error& e) {
        what = e.what();
        right_kind = backend.rank() == 0;
    } catch (const backend_error& e) {
        what = e.what();
        right_kind = backend.rank() != 0;
    }
    expect(right_kind && what.find("and its pair come in other chunks") != std::string::npos,
           detail::concat("chunks that one rank cannot make fail on every rank: ", what),
           backend.rank());
    ex.pipeline(right, 3);
}

/// The rank whose expert throws gets its exception, after the exchange; no rank waits for it.
template <class Backend>
void a_failing_expert_strands_nobody(Backend& backend) {
    struct out_of_memory {};
    const small_job job(backend.rank_count());
    executor ex(backend, job.nodes, job.placement);
    auto pipe = ex.pipeline(ex.plan(job.assigned, node_aggregated{}), 3);
    const std::size_t rows = pipe.whole().expert_row_count();
    std::vector<float> x(job.tokens * width, 1.0f), y(x), gw(job.tokens), weights(rows, 2.0f);
    for (const bool back : {false, true}) {
        std::vector<float> in(rows * width), out(rows * width, 3.0f), gin(out);
        std::size_t called = 0;
        bool thrown = false;
        const auto expert = [&](const pipeline_chunk& chunk, const auto&, const auto&) {
            ++called;
            if (backend.rank() == 0 && chunk.number == 1) throw out_of_memory{};
        };
        try {
            if (back)
                pipe.backward(as_matrix(x, width), as_matrix(out, width), weights,
                              as_matrix(in, width), expert, as_matrix(gin, width),
                              as_matrix(y, width), gw);
            else
                pipe.forward(as_matrix(x, width), as_matrix(in, width), expert,
                             as_matrix(out, width), weights, as_matrix(y, width));
        } catch (const out_of_memory&) {
            thrown = true;
        }
        expect(thrown == (backend.rank() == 0) && called == (thrown ? 2u : 3u),
               "only the rank whose expert failed hears of it, and calls it no more",
               backend.rank());
        for (const float v : y)
            expect(v == (back ? 3.0f : 6.0f), "the rows travel all the same", backend.rank());
        if (back)
            for (const float v : gw)
                expect(v == 3.0f * width, "and the gradients of weights", backend.rank());
    }
}

}  // namespace pipeline_laws
