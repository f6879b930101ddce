#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "locmoe/core/error.hpp"
#include "locmoe/plan/detail/exact_combine.hpp"
#include "locmoe/plan/exchange_plan.hpp"
#include "locmoe/plan/replay.hpp"
#include "locmoe/plan/transpose.hpp"

namespace locmoe::inline v0 {

/// One rank's share of one chunk of an exchange.
struct plan_chunk {
    exchange_plan plan;                  ///< of the chunk's tokens alone, numbered from 0
    std::size_t first_token = 0;         ///< that token 0 of the chunk is in the whole plan
    std::vector<row_index> expert_rows;  ///< [R_c]: expert rows in the whole plan, ascending
};

namespace detail {

/// floor(T c / chunks), however many tokens there are.
constexpr std::size_t first_of_chunk(std::size_t tokens, std::size_t c, std::size_t chunks) {
    return tokens / chunks * c + tokens % chunks * c / chunks;
}

}  // namespace detail

/// [T]: the chunk that each of a rank's tokens falls into: consecutive tokens, of all chunks
/// equally many give or take one. Chunks beyond the tokens stay empty.
inline std::vector<std::int32_t> chunk_of_tokens(std::size_t token_count, std::size_t chunks) {
    std::vector<std::int32_t> of;
    of.reserve(token_count);
    for (std::size_t c = 0; c < chunks; ++c)
        of.resize(detail::first_of_chunk(token_count, c + 1, chunks), static_cast<std::int32_t>(c));
    return of;
}

/// [K]: the chunk that each of a plan's pairs falls into: that of its token.
inline std::vector<std::int32_t> chunk_of_pairs(const exchange_plan& plan, std::size_t chunks) {
    const std::vector<std::int32_t> of_token = chunk_of_tokens(plan.token_count, chunks);
    std::vector<std::int32_t> of;
    of.reserve(plan.pair_count());
    for (const std::int64_t slot : plan.pair_slots)
        of.push_back(of_token[static_cast<std::size_t>(slot) / plan.choice_count]);
    return of;
}

/// Whether combine goes the way of dispatch back, phase by phase: not so in `group_wise`, where one
/// more gives the results to the whole group.
inline bool is_mirrored(const exchange_plan& plan) {
    const std::size_t phases = plan.dispatch.phases.size();
    return plan.combine.phases.size() == phases && plan.pair_dispatch.phases.size() == phases &&
           plan.pair_combine.phases.size() == phases;
}

namespace detail {

[[noreturn]] inline void refuse_split(const exchange_plan& whole, std::string_view what) {
    throw plan_error(concat("locmoe: split: plan of rank ", whole.rank, ": ", what));
}

inline bool only_copies(const flow& moved) {
    bool copies = moved.deliver.is_gather();
    for (const phase& p : moved.phases) copies = copies && p.pack.is_gather();
    return copies;
}

/// The chunk that all sources of a row are of; `otherwise` where it has none.
inline std::size_t chunk_of_row(const exchange_plan& whole, std::span<const row_index> sources,
                                std::span<const std::int32_t> of, std::size_t otherwise) {
    if (sources.empty()) return otherwise;
    const std::int32_t chunk = of[static_cast<std::size_t>(sources[0])];
    for (const row_index r : sources)
        if (of[static_cast<std::size_t>(r)] != chunk)
            refuse_split(whole, "a row adds up rows of several chunks");
    return static_cast<std::size_t>(chunk);
}

/// Cuts a flow. Within a chunk everything keeps its order. `of`: the chunk of every source and then
/// of every row of staging; `of_results`: of every row delivered, for those without a source.
inline std::vector<flow> split_flow(const exchange_plan& whole, const flow& moved,
                                    std::size_t chunks, std::span<const std::int32_t> of,
                                    std::span<const std::int32_t> of_results) {
    std::vector<flow> pieces(chunks);
    const auto piece_of = [&](row_index row) -> flow& {
        return pieces[static_cast<std::size_t>(of[static_cast<std::size_t>(row)])];
    };
    std::vector<row_index> place(of.size());  // where a row lies in the space of its chunk
    for (row_index r = 0; r < static_cast<row_index>(of.size()); ++r) {
        flow& piece = piece_of(r);
        place[static_cast<std::size_t>(r)] = piece.source_rows + piece.staging_rows;
        ++(r < moved.source_rows ? piece.source_rows : piece.staging_rows);
    }
    const auto grow = [](std::vector<segment>& segments, const segment& like, row_index first) {
        if (segments.empty() || segments.back().peer != like.peer)
            segments.push_back({like.peer, like.tier, first, 0});
        ++segments.back().rows;
    };
    const auto add = [&](row_sums& to, bool sums, std::span<const row_index> sources) {
        if (!sums && sources.empty()) to.from.push_back(empty_row);
        for (const row_index r : sources) to.from.push_back(place[static_cast<std::size_t>(r)]);
        if (sums) to.first.push_back(static_cast<row_index>(to.from.size()));
    };
    const auto begin_sums = [](row_sums& to, const row_sums& like) {
        if (!like.is_gather()) to.first.push_back(0);
    };

    for (std::size_t p = 0; p < moved.phases.size(); ++p) {
        const phase& step = moved.phases[p];
        for (flow& piece : pieces) {
            phase& part = piece.phases.emplace_back();
            part.name = step.name;
            part.needs = step.needs;
            begin_sums(part.pack, step.pack);
        }
        for (const segment& s : step.sends)
            for (row_index i = s.first; i < s.first + s.rows; ++i) {
                const auto sources = step.pack.sources(static_cast<std::size_t>(i));
                phase& part = pieces[chunk_of_row(whole, sources, of, 0)].phases[p];
                grow(part.sends, s, static_cast<row_index>(part.pack.rows()));
                add(part.pack, !step.pack.is_gather(), sources);
            }
        for (const segment& s : step.receives)
            for (row_index i = s.first; i < s.first + s.rows; ++i) {
                const row_index r = moved.source_rows + i;
                flow& piece = piece_of(r);
                grow(piece.phases[p].receives, s,
                     place[static_cast<std::size_t>(r)] - piece.source_rows);
            }
    }
    for (flow& piece : pieces) begin_sums(piece.deliver, moved.deliver);
    for (std::size_t i = 0; i < moved.deliver.rows(); ++i) {
        const auto sources = moved.deliver.sources(i);
        const std::size_t otherwise =
            i < of_results.size() ? static_cast<std::size_t>(of_results[i]) : 0;
        flow& piece = pieces[chunk_of_row(whole, sources, of, otherwise)];
        add(piece.deliver, !moved.deliver.is_gather(), sources);
    }
    return pieces;
}

/// What each delivered row of a flow that copies has of `space`, which numbers its rows.
inline std::vector<std::int32_t> delivered(const flow& moved, std::span<const std::int32_t> space) {
    std::vector<std::int32_t> numbers;
    for (const row_index r : moved.deliver.from)
        numbers.push_back(space[static_cast<std::size_t>(r)]);
    return numbers;
}

/// Sources' chunks, then those of the rows that came in, which are checked.
inline std::vector<std::int32_t> chunks_of_space(const exchange_plan& whole, const flow& moved,
                                                 std::size_t chunks,
                                                 std::vector<std::int32_t> sources,
                                                 std::span<const std::int32_t> staged) {
    if (staged.size() != static_cast<std::size_t>(moved.staging_rows))
        throw_argument("split", "staged rows", concat(moved.staging_rows, " chunk numbers"),
                       concat(staged.size()), whole.rank);
    for (const std::int32_t c : staged)
        if (c < 0 || static_cast<std::size_t>(c) >= chunks)
            refuse_split(whole, concat("a row of chunk ", c, " came in, of ", chunks));
    sources.insert(sources.end(), staged.begin(), staged.end());
    return sources;
}

/// Marks rows of one source each as sums wherever the whole plan's are, so that the same kernel
/// makes them: a sum turns -0 into 0, a copy does not.
inline void keep_sums(flow& piece, const flow& whole) {
    const auto keep = [](row_sums& rows, const row_sums& of_whole) {
        if (of_whole.is_gather() || !rows.is_gather()) return;
        for (row_index i = 0; i <= static_cast<row_index>(rows.from.size()); ++i)
            rows.first.push_back(i);
    };
    for (std::size_t p = 0; p < piece.phases.size(); ++p)
        keep(piece.phases[p].pack, whole.phases[p].pack);
    keep(piece.deliver, whole.deliver);
}

inline void check_chunks(std::size_t chunks) {
    if (chunks < 1 || chunks > 0x7fffffff)
        throw_argument("split", "chunks", "1 to 2147483647", concat(chunks));
}

}  // namespace detail

/// Cuts one rank's plan into the plans of `chunks` chunks, each of the tokens of `chunk_of_tokens`
/// with all their pairs, so that every sum keeps its order: moving the chunks one by one gives the
/// bits of moving all at once. Within a chunk everything keeps the order of the whole plan, in
/// which combine is dispatch's transpose, or exact. Dropped pairs are counted in the whole plan
/// alone.
///
/// The rank must know the chunks of the rows that it receives: `staged_rows` and `staged_pairs` are
/// what `dispatch` and `pair_dispatch` leave in staging where each token and each pair travels as
/// the number of its chunk. Where combine has phases of its own (`is_mirrored` says no), the same
/// of the ways back: `staged_results` and `staged_pair_results`. Linear in the plan. Throws
/// argument_error unless there is a chunk and the numbers are as many as the rows, plan_error where
/// a number is none of the chunks or rows and pairs do not fit together.
inline std::vector<plan_chunk> split(const exchange_plan& whole, std::size_t chunks,
                                     std::span<const std::int32_t> staged_rows,
                                     std::span<const std::int32_t> staged_pairs,
                                     std::span<const std::int32_t> staged_results = {},
                                     std::span<const std::int32_t> staged_pair_results = {}) {
    detail::check_chunks(chunks);
    if (whole.rows_per_source != 0) detail::refuse_split(whole, "its rows are padded");
    const std::vector<std::int32_t> of_row =
        detail::chunks_of_space(whole, whole.dispatch, chunks,
                                chunk_of_tokens(whole.token_count, chunks), staged_rows);
    const std::vector<std::int32_t> of_pair = detail::chunks_of_space(
        whole, whole.pair_dispatch, chunks, chunk_of_pairs(whole, chunks), staged_pairs);
    for (const flow* moved : {&whole.dispatch, &whole.pair_dispatch})
        if (!detail::only_copies(*moved)) detail::refuse_split(whole, "its dispatch adds up rows");
    std::vector<flow> rows = detail::split_flow(whole, whole.dispatch, chunks, of_row, {});
    std::vector<flow> pairs = detail::split_flow(whole, whole.pair_dispatch, chunks, of_pair, {});
    std::vector<flow> results, pair_results;
    if (!is_mirrored(whole)) {
        const auto back = [&](const flow& forward, std::span<const std::int32_t> space,
                              const flow& moved, std::span<const std::int32_t> staged,
                              std::span<const std::int32_t> of_results) {
            const std::vector<std::int32_t> of = detail::chunks_of_space(
                whole, moved, chunks, detail::delivered(forward, space), staged);
            return detail::split_flow(whole, moved, chunks, of, of_results);
        };
        results = back(whole.dispatch, of_row, whole.combine, staged_results,
                       std::span(of_row).first(whole.token_count));
        pair_results = back(whole.pair_dispatch, of_pair, whole.pair_combine, staged_pair_results,
                            std::span(of_pair).first(whole.pair_count()));
    }

    std::vector<plan_chunk> all(chunks);
    for (std::size_t c = 0; c < chunks; ++c) {
        exchange_plan& plan = all[c].plan;
        all[c].first_token = detail::first_of_chunk(whole.token_count, c, chunks);
        plan.strategy = detail::concat(whole.strategy, ", chunk ", c, " of ", chunks);
        plan.rank = whole.rank;
        plan.rank_count = whole.rank_count;
        plan.token_count =
            detail::first_of_chunk(whole.token_count, c + 1, chunks) - all[c].first_token;
        plan.choice_count = whole.choice_count;
        plan.experts = whole.experts;
        plan.expert_first.assign(1, 0);
        plan.exact_combine = whole.exact_combine;
        plan.group = whole.group;
    }
    for (std::size_t i = 0; i < whole.pair_count(); ++i) {
        plan_chunk& chunk = all[static_cast<std::size_t>(of_pair[i])];
        chunk.plan.pair_slots.push_back(
            whole.pair_slots[i] -
            static_cast<std::int64_t>(chunk.first_token * whole.choice_count));
        chunk.plan.pair_experts.push_back(whole.pair_experts[i]);
    }
    for (std::size_t e = 0; e < whole.experts.size(); ++e) {
        for (row_index i = whole.expert_first[e]; i < whole.expert_first[e + 1]; ++i) {
            const auto row = static_cast<std::size_t>(i);
            const std::int32_t c =
                of_row[static_cast<std::size_t>(whole.dispatch.deliver.from[row])];
            if (of_pair[static_cast<std::size_t>(whole.pair_dispatch.deliver.from[row])] != c)
                detail::refuse_split(whole, detail::concat("expert row ", i, " and its pair come "
                                                                             "in other chunks"));
            all[static_cast<std::size_t>(c)].expert_rows.push_back(i);
        }
        for (plan_chunk& chunk : all)
            chunk.plan.expert_first.push_back(static_cast<row_index>(chunk.expert_rows.size()));
    }
    for (std::size_t c = 0; c < chunks; ++c) {
        exchange_plan& plan = all[c].plan;
        plan.dispatch = std::move(rows[c]);
        plan.pair_dispatch = std::move(pairs[c]);
        if (!results.empty()) {
            plan.combine = std::move(results[c]);
            plan.pair_combine = std::move(pair_results[c]);
            continue;
        }
        plan.pair_combine = transpose(plan.pair_dispatch);
        plan.combine =
            plan.exact_combine ? detail::exact_combine(plan) : transpose(plan.dispatch);
        detail::keep_sums(plan.combine, whole.combine);
    }
    return all;
}

namespace detail {

/// What the way back leaves in every rank's staging where each row is the number of its chunk,
/// which dispatch left in `space`. A row that adds up m others comes as m times its chunk, and as m
/// where each is 1.
inline std::vector<std::vector<std::int32_t>> replay_chunks(
    std::span<const exchange_plan> plans, flow exchange_plan::* back, flow exchange_plan::* forward,
    const std::vector<std::vector<std::int32_t>>& space) {
    std::vector<std::vector<std::int32_t>> chunk, one;
    for (std::size_t r = 0; r < plans.size(); ++r) {
        chunk.push_back(delivered(plans[r].*forward, space[r]));
        one.emplace_back(chunk.back().size(), 1);
    }
    const auto sums = replay_space(plans, back, chunk);
    const auto counts = replay_space(plans, back, one);
    std::vector<std::vector<std::int32_t>> staged(plans.size());
    for (std::size_t r = 0; r < plans.size(); ++r)
        for (std::size_t i = chunk[r].size(); i < sums[r].size(); ++i)
            staged[r].push_back(counts[r][i] == 0 ? 0 : sums[r][i] / counts[r][i]);
    return staged;
}

}  // namespace detail

/// The chunks of all ranks' plans, made in one process: for tests, and for asking what an exchange
/// would cost in chunks. The result's [c][r] is chunk c of rank r.
inline std::vector<std::vector<exchange_plan>> split_all(std::span<const exchange_plan> plans,
                                                         std::size_t chunks) {
    detail::check_chunks(chunks);
    std::vector<std::vector<std::int32_t>> tokens;
    std::vector<std::vector<std::int32_t>> pairs;
    for (const exchange_plan& plan : plans) {
        if (plan.rows_per_source != 0) detail::refuse_split(plan, "its rows are padded");
        tokens.push_back(chunk_of_tokens(plan.token_count, chunks));
        pairs.push_back(chunk_of_pairs(plan, chunks));
    }
    const auto row_space = detail::replay_space(plans, &exchange_plan::dispatch, tokens);
    const auto pair_space = detail::replay_space(plans, &exchange_plan::pair_dispatch, pairs);
    const auto results = detail::replay_chunks(plans, &exchange_plan::combine,
                                               &exchange_plan::dispatch, row_space);
    const auto pair_results = detail::replay_chunks(plans, &exchange_plan::pair_combine,
                                                    &exchange_plan::pair_dispatch, pair_space);
    std::vector<std::vector<exchange_plan>> all(chunks);
    for (std::size_t r = 0; r < plans.size(); ++r) {
        std::vector<plan_chunk> own =
            split(plans[r], chunks, std::span(row_space[r]).subspan(tokens[r].size()),
                  std::span(pair_space[r]).subspan(pairs[r].size()), results[r], pair_results[r]);
        for (std::size_t c = 0; c < chunks; ++c) all[c].push_back(std::move(own[c].plan));
    }
    return all;
}

}  // namespace locmoe
