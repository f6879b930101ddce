#include "locmoe/plan/split.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "catch.hpp"
#include "grouped_cases.hpp"
#include "locmoe/plan/direct.hpp"
#include "locmoe/plan/group_wise.hpp"
#include "locmoe/plan/node_aggregated.hpp"
#include "locmoe/plan/node_balanced.hpp"
#include "locmoe/plan/plan_all.hpp"
#include "locmoe/plan/replay.hpp"
#include "locmoe/plan/store_and_forward.hpp"
#include "locmoe/plan/validate.hpp"
#include "random_cases.hpp"

using namespace locmoe;

namespace {

/// The tokens of one chunk as an assignment of their own.
std::vector<assignment> masked(const random_cases::job& job, std::size_t chunks, std::size_t c) {
    std::vector<assignment> out;
    for (const assignment& a : job.assigned) {
        const std::size_t first = a.token_count * c / chunks;
        const std::size_t end = a.token_count * (c + 1) / chunks;
        const auto begin = a.expert.begin();
        assignment& part = out.emplace_back(a);
        part.token_count = end - first;
        part.expert.assign(begin + static_cast<std::ptrdiff_t>(first * a.choice_count),
                           begin + static_cast<std::ptrdiff_t>(end * a.choice_count));
    }
    return out;
}

/// The rows of one chunk alone, in their order: `of` is the chunk of every row of the flow's space,
/// `delivered` that of every row delivered.
flow filtered(const flow& moved, const std::vector<std::int64_t>& of,
              const std::vector<std::int64_t>& delivered, std::int64_t chunk) {
    flow out;
    std::vector<row_index> place;
    for (std::size_t r = 0; r < of.size(); ++r) {
        const bool source = static_cast<row_index>(r) < moved.source_rows;
        place.push_back(out.source_rows + out.staging_rows);
        if (of[r] == chunk) ++(source ? out.source_rows : out.staging_rows);
    }
    const auto add = [&](const row_sums& rows, std::size_t i, row_sums& to) {
        for (const row_index r : rows.sources(i)) {
            CHECK(of[static_cast<std::size_t>(r)] == chunk);
            to.from.push_back(place[static_cast<std::size_t>(r)]);
        }
        if (!rows.is_gather()) to.first.push_back(static_cast<row_index>(to.from.size()));
    };
    const auto empty = [](const row_sums& like) {
        return like.is_gather() ? row_sums{} : row_sums{{}, {0}};
    };
    row_index received = 0;
    std::size_t staged = static_cast<std::size_t>(moved.source_rows);
    for (const phase& p : moved.phases) {
        phase& part = out.phases.emplace_back();
        part.name = p.name;
        part.pack = empty(p.pack);
        part.needs = p.needs;
        for (const segment& s : p.sends) {
            segment piece{s.peer, s.tier, static_cast<row_index>(part.pack.rows()), 0};
            for (row_index i = s.first; i < s.first + s.rows; ++i) {
                const auto row = static_cast<std::size_t>(i);
                if (of[static_cast<std::size_t>(p.pack.sources(row)[0])] != chunk) continue;
                add(p.pack, row, part.pack);
                ++piece.rows;
            }
            if (piece.rows > 0) part.sends.push_back(piece);
        }
        for (const segment& s : p.receives) {
            segment piece{s.peer, s.tier, received, 0};
            for (row_index i = 0; i < s.rows; ++i)
                if (of[staged++] == chunk) ++piece.rows;
            received += piece.rows;
            if (piece.rows > 0) part.receives.push_back(piece);
        }
    }
    out.deliver = empty(moved.deliver);
    for (std::size_t i = 0; i < delivered.size(); ++i)
        if (delivered[i] == chunk) add(moved.deliver, i, out.deliver);
    return out;
}

/// Waiting for less than the whole plan does is as good.
void same_but_for_needs(flow a, flow b) {
    for (phase& p : a.phases) p.needs = 0;
    for (phase& p : b.phases) p.needs = 0;
    CHECK(a == b);
}

template <class Strategy>
void check_chunks_of(const Strategy& strategy, bool chunk_by_chunk_alike) {
    for (std::uint32_t seed = 0; seed < 200; ++seed) {
        const auto job = random_cases::any_job(seed);
        const std::size_t chunks = 1 + seed % 5 + (seed % 10 == 0 ? 20 : 0);
        INFO(strategy.name() << ", " << chunks << " chunks, " << job.text);
        const auto whole = plan_all(strategy, job.nodes, job.placement, job.assigned);
        const auto cut = split_all(whole, chunks);
        REQUIRE(cut.size() == chunks);
        for (std::size_t c = 0; c < chunks; ++c) {
            REQUIRE_NOTHROW(validate(cut[c]));
            const auto alone =
                plan_all(strategy, job.nodes, job.placement, masked(job, chunks, c));
            for (std::size_t r = 0; r < whole.size(); ++r) {
                CHECK(cut[c][r].pair_slots == alone[r].pair_slots);
                CHECK(cut[c][r].pair_experts == alone[r].pair_experts);
                CHECK(cut[c][r].expert_first == alone[r].expert_first);
                if (!chunk_by_chunk_alike) continue;
                same_but_for_needs(cut[c][r].dispatch, alone[r].dispatch);
                same_but_for_needs(cut[c][r].pair_dispatch, alone[r].pair_dispatch);
            }
        }

        // Combine, cut by itself: a number for the chunk and one that counts, so that sums tell too.
        constexpr std::int64_t one = std::int64_t{1} << 32;
        std::vector<std::vector<std::int64_t>> tokens, rows;
        for (const exchange_plan& plan : whole) {
            const auto of = chunk_of_tokens(plan.token_count, chunks);
            tokens.emplace_back(of.begin(), of.end());
        }
        const auto row_chunks =
            replay<std::int64_t>(whole, &exchange_plan::dispatch, tokens);
        for (const auto& of : row_chunks) {
            rows.emplace_back();
            for (const std::int64_t c : of) rows.back().push_back(one + c);
        }
        auto space = detail::replay_space(std::span<const exchange_plan>(whole),
                                          &exchange_plan::combine, rows);
        for (std::size_t r = 0; r < whole.size(); ++r) {
            for (std::int64_t& n : space[r]) n = n % one / (n / one);
            for (std::size_t c = 0; c < chunks; ++c)
                same_but_for_needs(cut[c][r].combine,
                                   filtered(whole[r].combine, space[r], tokens[r],
                                            static_cast<std::int64_t>(c)));
        }
    }
}

}  // namespace

TEST_CASE("a chunk of a plan is the plan of its tokens and combine cut is what cut dispatch gives",
          "[plan]") {
    check_chunks_of(direct{}, true);
    check_chunks_of(node_aggregated{}, true);
    check_chunks_of(node_aggregated{.exact_combine = true}, true);
    check_chunks_of(store_and_forward{}, true);
    check_chunks_of(store_and_forward{.radix = 3, .exact_combine = true}, true);
    check_chunks_of(node_balanced{}, false);  // it evens out the loads of all chunks together
    check_chunks_of(node_balanced{.exact_combine = true}, false);
}

TEST_CASE("the chunks of a plan share out its expert rows and send what it sends", "[plan]") {
    for (std::uint32_t seed = 0; seed < 100; ++seed) {
        const auto job = random_cases::any_job(seed);
        const auto whole = plan_all(node_aggregated{}, job.nodes, job.placement, job.assigned);
        const std::size_t chunks = 1 + seed % 7;
        std::vector<std::vector<std::int32_t>> tokens, pairs;
        for (const exchange_plan& plan : whole) {
            tokens.push_back(chunk_of_tokens(plan.token_count, chunks));
            pairs.push_back(chunk_of_pairs(plan, chunks));
            CHECK(tokens.back().size() == plan.token_count);
        }
        const std::span<const exchange_plan> plans(whole);
        const auto row_space = detail::replay_space(plans, &exchange_plan::dispatch, tokens);
        const auto pair_space = detail::replay_space(plans, &exchange_plan::pair_dispatch, pairs);
        const auto of_rows = replay(plans, &exchange_plan::dispatch, tokens);
        for (std::size_t r = 0; r < whole.size(); ++r) {
            const auto all = split(whole[r], chunks, std::span(row_space[r]).subspan(tokens[r].size()),
                                   std::span(pair_space[r]).subspan(pairs[r].size()));
            std::vector<std::int32_t> seen(whole[r].expert_row_count(), -1);
            traffic sent;
            std::size_t token = 0;
            for (std::size_t c = 0; c < chunks; ++c) {
                CHECK(all[c].first_token == token);
                token += all[c].plan.token_count;
                CHECK(all[c].expert_rows.size() == all[c].plan.expert_row_count());
                for (const row_index row : all[c].expert_rows)
                    seen.at(static_cast<std::size_t>(row)) = static_cast<std::int32_t>(c);
                sent += all[c].plan.traffic(8);
            }
            CHECK(token == whole[r].token_count);
            CHECK(seen == of_rows[r]);
            CHECK(sent.inter_node.bytes == whole[r].traffic(8).inter_node.bytes);
            CHECK(sent.intra_node.bytes == whole[r].traffic(8).intra_node.bytes);
        }
    }
}

TEST_CASE("the chunks of a plan for groups together give what it gives there and back", "[plan]") {
    using numbers = std::vector<std::vector<std::int64_t>>;
    struct ways {
        flow exchange_plan::* there;
        flow exchange_plan::* back;
    };
    constexpr ways flows[] = {{&exchange_plan::dispatch, &exchange_plan::combine},
                              {&exchange_plan::pair_dispatch, &exchange_plan::pair_combine}};
    for (std::uint32_t seed = 0; seed < 200; ++seed) {
        const auto job = grouped_cases::any_job(seed);
        INFO(job.text);
        const auto whole =
            plan_all(group_wise{job.group_size}, job.nodes, job.placement, job.assigned);
        const std::size_t ranks = whole.size();
        const std::size_t count = 1 + seed % 5;
        const auto chunks = split_all(whole, count);
        for (const ways& way : flows) {
            const auto there = way.there;
            const auto back = way.back;
            numbers sources(ranks);
            for (std::size_t r = 0; r < ranks; ++r)
                for (row_index i = 0; i < (whole[r].*there).source_rows; ++i)
                    sources[r].push_back(1000 * static_cast<std::int64_t>(job.group_of[r]) + i * i);
            const auto there_and_back = [&](std::span<const exchange_plan> plans,
                                            const numbers& from) {
                numbers rows = replay(plans, there, from);
                for (std::size_t r = 0; r < ranks; ++r)  // each rank makes another part of its rows
                    for (std::int64_t& row : rows[r]) row *= static_cast<std::int64_t>(r + 1);
                return replay(plans, back, rows);
            };
            const numbers expected = there_and_back(whole, sources);
            const auto of_chunk = [&](std::size_t r) {  // by source
                return there == &exchange_plan::dispatch
                           ? chunk_of_tokens(whole[r].token_count, count)
                           : chunk_of_pairs(whole[r], count);
            };
            numbers results = sources;
            for (std::size_t c = 0; c < count; ++c) {
                REQUIRE_NOTHROW(validate(chunks[c]));
                numbers some(ranks);
                for (std::size_t r = 0; r < ranks; ++r)
                    for (std::size_t i = 0; i < sources[r].size(); ++i)
                        if (of_chunk(r)[i] == static_cast<std::int32_t>(c))
                            some[r].push_back(sources[r][i]);
                const numbers part = there_and_back(chunks[c], some);
                for (std::size_t r = 0; r < ranks; ++r)
                    for (std::size_t i = 0, next = 0; i < sources[r].size(); ++i)
                        if (of_chunk(r)[i] == static_cast<std::int32_t>(c))
                            results[r][i] = part[r].at(next++);
            }
            CHECK(results == expected);
        }
    }
}

TEST_CASE("a plan is not cut by numbers that do not fit", "[plan]") {
    const auto job = random_cases::job_on(4, 3);
    const auto whole = plan_all(direct{}, job.nodes, job.placement, job.assigned);
    std::size_t r = 0;
    while (whole[r].dispatch.staging_rows == 0) ++r;
    const exchange_plan& plan = whole[r];
    const std::vector<std::int32_t> rows(static_cast<std::size_t>(plan.dispatch.staging_rows), 0);
    CHECK_NOTHROW(split(plan, 1, rows, rows));
    CHECK_THROWS_WITH(split(plan, 0, rows, rows), Catch::Contains("chunks: expected 1 to"));
    CHECK_THROWS_AS(split(plan, 1, {}, rows), argument_error);
    auto wrong = rows;
    wrong.back() = 2;
    CHECK_THROWS_WITH(split(plan, 2, wrong, rows), Catch::Contains("a row of chunk 2 came in"));
    wrong.back() = -1;
    CHECK_THROWS_AS(split(plan, 2, rows, wrong), plan_error);
    wrong.back() = 1;
    CHECK_THROWS_WITH(split(plan, 2, wrong, rows), Catch::Contains("and its pair come in other"));
    auto adding = plan;
    adding.dispatch.deliver = {{}, {0}};
    CHECK_THROWS_WITH(split(adding, 1, rows, rows), Catch::Contains("adds up rows"));
}

TEST_CASE("a sum of rows of several chunks is refused", "[plan]") {
    // Four tokens that both ranks of a group hold, of one expert. Rank 0 adds up what the two made of
    // tokens 0 and 1, its share and chunk 0, and gets the sums of the others from rank 1.
    routing decided;
    decided.token_count = 4;
    decided.choice_count = 1;
    decided.expert_count = 2;
    decided.chosen.assign(4, 0);
    decided.weights.assign(4, 1.0f);
    const exchange_plan plan =
        plan_all(group_wise{2}, topology::uniform(1, 2), expert_placement::blocked(2, 2),
                 std::vector<assignment>(2, assign(decided)))[0];
    const std::vector<std::int32_t> none, home{0, 0, 1, 1}, wrong{1, 0, 1, 1};
    CHECK_NOTHROW(split(plan, 2, none, none, home, home));
    CHECK_THROWS_WITH(split(plan, 2, none, none, wrong, home),
                      Catch::Contains("a row adds up rows of several chunks"));
}

TEST_CASE("a plan whose pairs take more phases than its rows is cut into chunks like it", "[plan]") {
    routing decided;
    decided.token_count = 6;
    decided.choice_count = decided.expert_count = 2;
    decided.chosen = {0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0};
    decided.weights.assign(12, 0.5f);
    std::vector<exchange_plan> plans =
        plan_all(direct{}, topology::uniform(1, 1), expert_placement::blocked(2, 1),
                 std::vector<assignment>{assign(decided)});
    for (const bool exact : {false, true}) {
        plans[0].exact_combine = exact;
        plans[0].pair_dispatch.phases.resize(4);  // in which a single rank sends nothing
        REQUIRE_NOTHROW(validate(plans));
        for (const auto& chunk : split_all(plans, 2)) {
            CHECK_NOTHROW(validate(chunk));
            for (const auto which : {&exchange_plan::dispatch, &exchange_plan::combine,
                                     &exchange_plan::pair_dispatch, &exchange_plan::pair_combine})
                CHECK((chunk[0].*which).phases.size() == (plans[0].*which).phases.size());
        }
    }
}
