#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "exec/backend_laws.hpp"
#include "locmoe/exec/executor.hpp"
#include "locmoe/plan/capacity_padded.hpp"
#include "locmoe/plan/direct.hpp"
#include "locmoe/plan/node_aggregated.hpp"
#include "locmoe/plan/node_balanced.hpp"
#include "locmoe/plan/plan_all.hpp"
#include "locmoe/plan/store_and_forward.hpp"
#include "locmoe/plan/validate.hpp"
#include "locmoe/tensor/standard.hpp"
#include "random_cases.hpp"

/// What every executor keeps over any backend, checked from inside the job. All ranks draw the same
/// random job, so that each knows every other rank's tokens and can place them by hand. Numbers are
/// chosen so that every sum is exact in every element type, whatever its order.
namespace executor_laws {

using backend_laws::expect;
using namespace locmoe;

constexpr std::size_t width = 5;

template <class E>
E number(std::int64_t value) {
    if constexpr (std::is_arithmetic_v<E>)
        return static_cast<E>(value);
    else
        return E(static_cast<float>(value));
}

/// The value of one column of one token, 0 to 7; `kind` tells tokens, outputs and gradients apart.
inline std::int64_t value(std::size_t rank, std::size_t token, std::size_t col, std::size_t kind) {
    return backend_laws::mixed(rank, token, col, kind) % 8;
}

template <class E>
std::vector<E> token_numbers(std::size_t rank, std::size_t tokens, std::size_t kind) {
    std::vector<E> all;
    for (std::size_t t = 0; t < tokens; ++t)
        for (std::size_t c = 0; c < width; ++c) all.push_back(number<E>(value(rank, t, c, kind)));
    return all;
}

/// A kept pair, where it starts and at which row of which rank it must arrive.
struct placed_pair {
    std::size_t source, slot, rank, row;
};

/// `per_source`: rows that a padded plan has for each expert and source, 0 where it is not.
inline std::vector<placed_pair> place_by_hand(const random_cases::job& job,
                                              std::size_t per_source) {
    std::vector<placed_pair> all;
    for (std::size_t rank = 0; rank < job.nodes.rank_count(); ++rank) {
        std::size_t row = 0;
        for (const expert_id e : job.placement.experts_of(static_cast<rank_id>(rank)))
            for (std::size_t source = 0; source < job.assigned.size(); ++source) {
                const std::size_t block_end = row + per_source;
                for (std::size_t i = 0; i < job.assigned[source].expert.size(); ++i)
                    if (job.assigned[source].expert[i] == e) all.push_back({source, i, rank, row++});
                if (per_source > 0) row = block_end;
            }
    }
    return all;
}

/// Weights 0.5, 1, 1.5 or 2: exact in every floating-point element.
inline float weight(std::size_t rank, std::size_t slot) {
    return 0.5f * static_cast<float>(1 + backend_laws::mixed(rank, slot, 1, 9) % 4);
}

template <class E>
bool same_bits(const std::vector<E>& a, const std::vector<E>& b) {
    return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(),
                                                             a.size() * sizeof(E)) == 0);
}

/// Dispatch, combine and both backward passes of one random job against placing by hand.
template <class E, class Backend, class Strategy>
void carries_every_row(Backend& backend, const Strategy& strategy, const random_cases::job& job) {
    const auto me = static_cast<std::size_t>(backend.rank());
    const auto law = [&](const char* what) {
        return detail::concat(what, " (", strategy.name(), ", ",
                              element_name(element_traits<E>::type), ", ", job.text, ")");
    };
    executor ex(backend, job.nodes, job.placement);
    const assignment& mine = job.assigned[me];
    const exchange_plan plan = ex.plan(mine, strategy);
    const auto reference = plan_all(strategy, job.nodes, job.placement, job.assigned);
    expect(plan.dispatch == reference[me].dispatch && plan.combine == reference[me].combine &&
               plan.pair_combine == reference[me].pair_combine,
           law("the plan made over the backend is the one made in one process"), backend.rank());

    const auto pairs = place_by_hand(job, static_cast<std::size_t>(plan.rows_per_source));
    const std::size_t tokens = mine.token_count;
    const std::size_t rows = plan.expert_row_count();
    const std::vector<E> x = token_numbers<E>(me, tokens, 0);
    std::vector<E> arrived(rows * width, number<E>(99));
    backend.sent().clear();
    ex.dispatch(plan, as_matrix(x, width), as_matrix(arrived, width));
    std::vector<E> expected(rows * width);
    for (const placed_pair& p : pairs)
        if (p.rank == me)
            for (std::size_t c = 0; c < width; ++c)
                expected[p.row * width + c] = number<E>(
                    value(p.source, p.slot / job.assigned[p.source].choice_count, c, 0));
    expect(same_bits(arrived, expected), law("dispatch brings each row to its place"),
           backend.rank());

    traffic wire;
    for (std::size_t r = 0; r < backend.rank_count(); ++r) {
        const auto to = static_cast<rank_id>(r);
        tier_traffic& t = wire.of(job.nodes.tier(backend.rank(), to));
        t.bytes += backend.sent().bytes_to(to);
        t.messages += backend.sent().messages_to(to);
    }
    traffic planned = plan.traffic(width * sizeof(E));
    planned.intra_node.rows = planned.inter_node.rows = 0;
    expect(wire == planned, law("the plan's traffic is what the backend sent"), backend.rank());

    // The experts answer with numbers of their own, combine weights and adds them up.
    constexpr bool real = !std::is_integral_v<E>;
    std::vector<float> weights(tokens * mine.choice_count);
    for (std::size_t i = 0; i < weights.size(); ++i) weights[i] = weight(me, i);
    std::vector<float> row_weights;
    if constexpr (real) row_weights = ex.dispatch_weights(plan, weights);
    const std::vector<E> y = token_numbers<E>(me, rows, 1);
    std::vector<E> out(tokens * width, number<E>(99));
    ex.combine(plan, as_matrix(y, width), row_weights, as_matrix(out, width));
    std::vector<double> sums(tokens * width, 0.0);
    for (const placed_pair& p : pairs)
        if (p.source == me)
            for (std::size_t c = 0; c < width; ++c)
                sums[p.slot / mine.choice_count * width + c] +=
                    (real ? static_cast<double>(weight(me, p.slot)) : 1.0) *
                    static_cast<double>(value(p.rank, p.row, c, 1));
    bool equal = true;
    for (std::size_t i = 0; i < sums.size(); ++i)
        equal = equal && static_cast<double>(element_traits<E>::load(out[i])) == sums[i];
    expect(equal, law("combine is the weighted sum over a token's kept pairs"), backend.rank());

    // Backward of dispatch: the same way home, unweighted.
    ex.dispatch_backward(plan, as_matrix(y, width), as_matrix(out, width));
    sums.assign(sums.size(), 0.0);
    for (const placed_pair& p : pairs)
        if (p.source == me)
            for (std::size_t c = 0; c < width; ++c)
                sums[p.slot / mine.choice_count * width + c] +=
                    static_cast<double>(value(p.rank, p.row, c, 1));
    for (std::size_t i = 0; i < sums.size(); ++i)
        equal = equal && static_cast<double>(element_traits<E>::load(out[i])) == sums[i];
    expect(equal, law("dispatch_backward is the sum over a token's kept pairs"), backend.rank());

    if constexpr (real) {
        // Backward of combine: the token's gradient times the weight, and its product with the output.
        std::vector<E> grad_rows(rows * width);
        std::vector<float> grad_weights(weights.size(), -1.0f);
        ex.combine_backward(plan, as_matrix(token_numbers<E>(me, tokens, 2), width),
                            as_matrix(y, width), row_weights, as_matrix(grad_rows, width),
                            grad_weights);
        std::vector<double> row_sums(rows * width, 0.0);
        std::vector<double> products(weights.size(), 0.0);
        for (const placed_pair& p : pairs) {
            const std::size_t token = p.slot / job.assigned[p.source].choice_count;
            for (std::size_t c = 0; c < width; ++c) {
                const auto g = static_cast<double>(value(p.source, token, c, 2));
                if (p.rank == me)
                    row_sums[p.row * width + c] =
                        static_cast<double>(weight(p.source, p.slot)) * g;
                if (p.source == me)
                    products[p.slot] += g * static_cast<double>(value(p.rank, p.row, c, 1));
            }
        }
        for (std::size_t i = 0; i < row_sums.size(); ++i)
            equal = equal &&
                    static_cast<double>(element_traits<E>::load(grad_rows[i])) == row_sums[i];
        expect(equal, law("combine_backward weights the gradient at the expert"), backend.rank());
        for (std::size_t i = 0; i < products.size(); ++i)
            equal = equal && static_cast<double>(grad_weights[i]) == products[i];
        expect(equal, law("a weight's gradient is <gradient, output> of its pair"),
               backend.rank());
    }
}

template <class E, class Backend, class Strategy>
void carries_every_row(Backend& backend, const Strategy& strategy, std::uint32_t seed) {
    carries_every_row<E>(backend, strategy, random_cases::job_on(backend.rank_count(), seed));
}

/// The padded forms of the strategy: empty rows arrive as zeros, and nothing comes back from them.
template <class E, class Backend, class Strategy>
void carries_every_row_padded(Backend& backend, const Strategy& strategy, std::uint32_t seed) {
    const auto job = random_cases::job_on(backend.rank_count(), seed);
    const std::int64_t capacity = random_cases::least_padded_capacity(job) + seed % 2;
    carries_every_row<E>(backend, capacity_padded{strategy, capacity}, job);
}

template <class Backend>
void all_strategies_and_elements(Backend& backend, std::uint32_t seeds) {
    for (std::uint32_t seed = 0; seed < seeds; ++seed) {
        carries_every_row<float>(backend, direct{}, seed);
        carries_every_row<float>(backend, node_aggregated{}, seed);
        carries_every_row<float>(backend, node_aggregated{.exact_combine = true}, seed);
        carries_every_row<float>(backend, node_balanced{}, seed);
        carries_every_row<float>(backend, store_and_forward{.radix = 2 + seed % 2}, seed);
        carries_every_row_padded<float>(backend, direct{}, seed);
        carries_every_row_padded<bf16>(backend, node_aggregated{}, seed);
        carries_every_row_padded<std::int64_t>(backend, store_and_forward{}, seed);
        carries_every_row<double>(backend, node_aggregated{}, seed + 1);
        carries_every_row<bf16>(backend, node_aggregated{}, seed + 2);
        carries_every_row<fp16>(backend, direct{}, seed + 3);
        carries_every_row<std::int64_t>(backend, node_aggregated{}, seed + 4);
        carries_every_row<std::int32_t>(backend, direct{}, seed + 5);
    }
}

/// On floats of any size: exact combine gives the bits of direct, and a second run those of the first.
template <class Backend>
void sums_have_one_order(Backend& backend, std::uint32_t seeds) {
    for (std::uint32_t seed = 0; seed < seeds; ++seed) {
        const auto job = random_cases::job_on(backend.rank_count(), seed);
        const auto me = static_cast<std::size_t>(backend.rank());
        executor ex(backend, job.nodes, job.placement);
        const assignment& mine = job.assigned[me];
        const exchange_plan flat = ex.plan(mine, direct{});
        const std::vector<exchange_plan> exact{
            ex.plan(mine, node_aggregated{.exact_combine = true}),
            ex.plan(mine, node_balanced{.exact_combine = true}),
            ex.plan(mine, store_and_forward{.exact_combine = true})};
        const std::vector<exchange_plan> summed{ex.plan(mine, node_aggregated{}),
                                                ex.plan(mine, node_balanced{}),
                                                ex.plan(mine, store_and_forward{})};
        std::vector<float> y(flat.expert_row_count() * width);
        std::vector<float> w(flat.expert_row_count());
        random_cases::generator g(seed * 64 + static_cast<std::uint32_t>(me));
        for (float& v : y) v = static_cast<float>(g.up_to(1 << 20)) / 1023.0f - 300.0f;
        for (float& v : w) v = static_cast<float>(g.up_to(1 << 20)) / 1048576.0f;
        const auto combined = [&](const exchange_plan& plan) {
            std::vector<float> out(mine.token_count * width);
            ex.combine(plan, as_matrix(y, width), w, as_matrix(out, width));
            return out;
        };
        const auto reference = combined(flat);
        for (const exchange_plan& plan : exact)
            expect(same_bits(combined(plan), reference),
                   detail::concat("exact combine gives the bits of direct (", plan.strategy, ", ",
                                  job.text, ")"),
                   backend.rank());
        for (const exchange_plan& plan : summed)
            expect(same_bits(combined(plan), combined(plan)),
                   detail::concat("partial sums give the same bits every time (", plan.strategy,
                                  ")"),
                   backend.rank());
    }
}

/// Dispatch moves bits, whatever they mean: every 16-bit pattern, signalling NaNs included.
template <class Backend>
void carries_every_bit_pattern(Backend& backend) {
    const std::size_t ranks = backend.rank_count();
    executor ex(backend, topology::uniform(ranks, 1), expert_placement::blocked(ranks, ranks));
    routing decided;
    decided.token_count = 256;
    decided.choice_count = 1;
    decided.expert_count = ranks;
    decided.chosen.assign(
        256, static_cast<expert_id>((static_cast<std::size_t>(backend.rank()) + 1) % ranks));
    decided.weights.assign(256, 1.0f);
    const exchange_plan plan = ex.plan(assign(decided), node_aggregated{});
    std::vector<std::array<bf16, 256>> sent(256);
    for (std::size_t t = 0; t < 256; ++t)
        for (std::size_t c = 0; c < 256; ++c)
            sent[t][c].bits = static_cast<std::uint16_t>(t * 256 + c);
    std::vector<std::array<bf16, 256>> got(plan.expert_row_count());
    ex.dispatch(plan, sent, got);
    bool equal = got.size() == 256;
    for (std::size_t t = 0; equal && t < 256; ++t)
        for (std::size_t c = 0; c < 256; ++c) equal = equal && got[t][c].bits == sent[t][c].bits;
    expect(equal, "dispatch carries every bit pattern unharmed", backend.rank());
}

/// The rank that is wrong throws argument_error, every other one backend_error that names it, all with
/// the same words.
template <class Backend, class Call>
void fails_alike(Backend& backend, rank_id wrong, Call&& call, const char* words) {
    const bool wrong_here = backend.rank() == wrong;
    std::string what;
    bool right_kind = false;
    try {
        call();
    } catch (const argument_error& e) {
        what = e.what();
        right_kind = wrong_here;
    } catch (const backend_error& e) {
        what = e.what();
        right_kind =
            !wrong_here && what.find(detail::concat("rank ", wrong)) != std::string::npos;
    }
    expect(right_kind && what.find(words) != std::string::npos,
           detail::concat("the same words on every rank: wanted '", words, "', got '", what, "'"),
           backend.rank());
}

/// Of as many experts; weights of 1.
inline routing three_tokens_to(std::size_t experts, std::vector<expert_id> chosen) {
    routing decided{3, 1, experts};
    decided.chosen = std::move(chosen);
    decided.weights.assign(3, 1.0f);
    return decided;
}

/// One rank's wrong argument: that rank gets its own error, the others hear of it, nobody hangs, and
/// the executor goes on working.
template <class Backend>
void bad_input_fails_on_all_ranks(Backend& backend) {
    const std::size_t ranks = backend.rank_count();
    const bool wrong_here = static_cast<std::size_t>(backend.rank()) == ranks - 1;
    executor ex(backend, topology::single_node(ranks), expert_placement::blocked(ranks, ranks));
    const routing decided = three_tokens_to(ranks, {0, 0, 0});
    const exchange_plan plan = ex.plan(assign(decided), direct{});
    const auto fails = [&](auto&& call, const char* words) {
        fails_alike(backend, static_cast<rank_id>(ranks - 1), call, words);
    };

    std::vector<float> rows(plan.expert_row_count() * width);
    std::vector<float> tokens((wrong_here ? 2 : 3) * width);
    fails([&] { ex.dispatch(plan, as_matrix(tokens, width), as_matrix(rows, width)); },
          "tokens on rank");
    tokens.resize(3 * width);
    std::vector<float> weights(wrong_here ? 4 : 3, 1.0f);
    fails([&] { ex.dispatch_weights(plan, weights); }, "expected T k = 3 numbers, got 4");
    std::vector<double> wide(3 * width);
    fails(
        [&] {
            if (wrong_here)
                ex.combine(plan, as_matrix(rows, width), std::vector<float>{},
                           as_matrix(wide, width));
            else
                ex.combine(plan, as_matrix(rows, width), std::vector<float>{},
                           as_matrix(tokens, width));
        },
        "5 f32 as in expert_rows");
    routing bad = decided;
    if (wrong_here) bad.expert_count = ranks + 1;
    fails([&] { ex.plan(assign(bad), direct{}); }, "assignment on rank");

    for (float& v : tokens) v = 1.0f;
    ex.dispatch(plan, as_matrix(tokens, width), as_matrix(rows, width));
    for (const float v : rows) expect(v == 1.0f, "after an error, all goes on", backend.rank());
}

/// Whatever is wrong with rows, weights or plan is named. Three tokens a rank, as many expert rows.
template <class Backend>
void each_wrong_argument_is_named(Backend& backend) {
    const std::size_t ranks = backend.rank_count();
    const bool wrong_here = static_cast<std::size_t>(backend.rank()) == ranks - 1;
    executor ex(backend, topology::single_node(ranks), expert_placement::blocked(ranks, ranks));
    const auto next = [&](rank_id by) {
        return (backend.rank() + by) % static_cast<rank_id>(ranks);
    };
    const exchange_plan plan =
        ex.plan(assign(three_tokens_to(ranks, {next(0), next(1), next(2)})), direct{});
    std::vector<float> x(3 * width), y(x), grad(x), weights(3, 1.0f), grad_weights(3);
    std::vector<std::int32_t> ints(3 * width);
    std::vector<std::int64_t> longs(3 * width);
    std::vector<double> doubles(3 * width);
    const auto view = [](auto& numbers) { return as_matrix(numbers, width); };
    const auto fails = [&](auto&& right, auto&& wrong, const char* words) {
        fails_alike(
            backend, static_cast<rank_id>(ranks - 1), [&] { wrong_here ? wrong() : right(); },
            words);
    };

    const auto dispatch = [&] { ex.dispatch(plan, view(x), view(y)); };
    using rows = matrix_view<float>;
    fails(dispatch, [&] { ex.dispatch(plan, rows(x.data(), 3, width, width - 1), view(y)); },
          "expected a row stride of at least 20 bytes, got 16");
    fails(dispatch, [&] { ex.dispatch(plan, view(x), rows(nullptr, 3, width)); },
          "expert_rows on rank");
    fails(dispatch, [&] { ex.dispatch(plan, view(ints), view(y)); },
          "rows of 5 i32 as in tokens, got 5 f32");
    for (const std::size_t beyond : {0u, 1u}) {
        exchange_plan other = plan;
        other.rank += static_cast<rank_id>(1 - beyond);
        other.rank_count += beyond;
        fails(dispatch, [&] { ex.dispatch(other, view(x), view(y)); }, "expected that of rank");
    }
    for (const std::int64_t slot : {-1, 3}) {
        exchange_plan other = plan;
        other.pair_slots[1] = slot;
        fails([&] { ex.dispatch_weights(plan, weights); },
              [&] { ex.dispatch_weights(other, weights); },
              "expected 0 to T k - 1 with T k = 3, got");
    }

    const auto combine = [&] { ex.combine(plan, view(x), weights, view(y)); };
    fails(combine, [&] { ex.combine(plan, view(ints), weights, view(ints)); },
          "expected none with integer rows, got 3");
    fails(combine, [&] { ex.combine(plan, view(longs), weights, view(longs)); },
          "expected none with integer rows, got 3");

    const auto back = [&](const auto& outputs, const std::vector<float>& row_weights) {
        ex.combine_backward(plan, view(x), outputs, row_weights, view(grad), grad_weights);
    };
    const auto backward = [&] { back(view(y), weights); };
    fails(backward, [&] { back(view(doubles), weights); },
          "expected [3, 5] of f32 as grad_expert_rows, got [3, 5] of f64");
    fails(backward, [&] { back(view(ints), weights); }, "got [3, 5] of i32");
    fails(backward, [&] { back(view(y), std::vector<float>(2)); },
          "expected R = 3 weights, got 2");
    backward();

    // Wrong on every rank: each has its own words.
    std::string what;
    try {
        executor other(backend, topology::single_node(ranks),
                       expert_placement::blocked(ranks + 1, ranks + 1));
    } catch (const argument_error& e) {
        what = e.what();
    }
    expect(what.find("placement on rank") != std::string::npos,
           "the executor refuses a placement over more ranks", backend.rank());
}

/// Ranks with another topology or placement are found out when the executor is built, on all of them.
template <class Backend>
void disagreement_is_found(Backend& backend) {
    const std::size_t ranks = backend.rank_count();
    if (ranks < 2) return;
    const bool odd_one = backend.rank() == 1;
    const auto refused = [&](topology nodes, expert_placement placement) {
        bool thrown = false;
        try {
            executor ex(backend, std::move(nodes), std::move(placement));
        } catch (const error&) {
            thrown = true;
        }
        expect(thrown, "the executor refuses ranks that disagree", backend.rank());
    };
    refused(odd_one ? topology::uniform(ranks, 1) : topology::single_node(ranks),
            expert_placement::blocked(ranks, ranks));
    refused(topology::single_node(ranks), odd_one
                                              ? expert_placement::blocked(ranks + 1, ranks)
                                              : expert_placement::blocked(ranks, ranks));
    refused(odd_one ? topology::single_node(ranks + 1) : topology::single_node(ranks),
            expert_placement::blocked(ranks, ranks));

    // So are ranks that plan by other strategies, of as many rounds or of none.
    executor ex(backend, topology::uniform(ranks, 1), expert_placement::blocked(ranks, ranks));
    routing none;
    none.choice_count = 1;
    none.expert_count = ranks;
    const assignment nothing = assign(none);
    const auto refuses = [&](const auto& ours, const auto& the_odd_ones) {
        bool thrown = false;
        try {
            if (odd_one)
                ex.plan(nothing, the_odd_ones);
            else
                ex.plan(nothing, ours);
        } catch (const plan_error& e) {
            thrown = std::string(e.what()).find("rank 1 holds another strategy") !=
                     std::string::npos;
        }
        expect(thrown, "the executor refuses ranks with other strategies", backend.rank());
    };
    refuses(direct{}, node_aggregated{});
    refuses(capacity_padded{direct{}, 4}, capacity_padded{direct{}, 5});
}

}  // namespace executor_laws
