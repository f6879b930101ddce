#include "locmoe/exec/pipeline.hpp"

#include <algorithm>
#include <cstddef>
#include <limits>
#include <vector>

#include "catch.hpp"
#include "exec/pipeline_laws.hpp"
#include "locmoe/exec/in_process.hpp"
#include "locmoe/exec/simulated.hpp"
#include "locmoe/exec/simulated_kernels.hpp"
#include "locmoe/plan/chunk_count.hpp"

using namespace locmoe;

TEST_CASE("a pipeline gives the bits of the exchange without chunks", "[exec]") {
    for (const std::size_t ranks : {1u, 2u, 3u, 5u, 8u})
        REQUIRE_NOTHROW(run_in_process(ranks, [&](in_process_backend& backend) {
            pipeline_laws::all_strategies_and_elements(backend, 4);
        }));
}

TEST_CASE("a pipeline of groups gives the bits of the exchange without chunks", "[exec]") {
    for (std::uint32_t seed = 0; seed < 12; ++seed) {
        const auto job = grouped_cases::job_on(1 + seed % 4, 1 + seed / 4 % 3, seed);
        REQUIRE_NOTHROW(run_in_process(job.nodes.rank_count(), [&](in_process_backend& backend) {
            pipeline_laws::groups_as_well(backend, job, seed);
        }));
    }
}

TEST_CASE("zeros keep their signs in a pipeline", "[exec]") {
    REQUIRE_NOTHROW(run_in_process(5, [&](in_process_backend& backend) {
        pipeline_laws::zeros_keep_their_signs(backend, 60);
    }));
}

TEST_CASE("a pipeline over a simulated cluster gives the bits of the exchange without chunks",
          "[exec][simulated]") {
    for (const std::size_t ranks : {2u, 5u})
        REQUIRE_NOTHROW(run_simulated(topology::uniform(ranks, 1), {}, [&](simulated_backend& b) {
            pipeline_laws::all_strategies_and_elements(b, 2);
        }));
}

TEST_CASE("a pipeline that one rank gets wrong fails on all ranks", "[exec]") {
    for (const std::size_t ranks : {1u, 2u, 5u})
        REQUIRE_NOTHROW(run_in_process(ranks, [](in_process_backend& backend) {
            pipeline_laws::bad_input_fails_on_all_ranks(backend);
        }));
}

TEST_CASE("chunks that one rank cannot make fail on all ranks", "[exec]") {
    for (const std::size_t ranks : {2u, 3u, 5u})
        REQUIRE_NOTHROW(run_in_process(ranks, [](in_process_backend& backend) {
            pipeline_laws::bad_chunks_fail_on_all_ranks(backend);
        }));
}

TEST_CASE("an expert that throws strands no other rank", "[exec]") {
    for (const std::size_t ranks : {1u, 2u, 5u})
        REQUIRE_NOTHROW(run_in_process(ranks, [](in_process_backend& backend) {
            pipeline_laws::a_failing_expert_strands_nobody(backend);
        }));
}

namespace {

/// Every token to k experts, spread alike over all ranks.
assignment even_assignment(std::size_t rank, std::size_t ranks, std::size_t tokens, std::size_t k) {
    routing decided;
    decided.token_count = tokens;
    decided.choice_count = k;
    decided.expert_count = ranks;
    decided.weights.assign(tokens * k, 1.0f);
    for (std::size_t t = 0; t < tokens; ++t)
        for (std::size_t s = 0; s < k; ++s)
            decided.chosen.push_back(static_cast<expert_id>((rank + t + s * ranks / k) % ranks));
    return assign(decided);
}

struct timed_layer {
    double without = 0;  ///< dispatch, experts, combine, seconds
    double forward = 0;  ///< in chunks
    double computing = 0;
};

/// A layer whose experts take `seconds_a_row` for each row, on a simulated cluster.
template <class Strategy>
timed_layer time_layer(const topology& nodes, const cluster_costs& costs, const Strategy& strategy,
                       std::size_t tokens, std::size_t k, std::size_t cols, double seconds_a_row,
                       std::size_t chunks) {
    const std::size_t ranks = nodes.rank_count();
    std::vector<timed_layer> times(ranks);
    run_simulated(nodes, costs, [&](simulated_backend& backend) {
        const auto me = static_cast<std::size_t>(backend.rank());
        executor ex(backend, nodes, expert_placement::blocked(ranks, ranks),
                    simulated_kernels(backend));
        const exchange_plan plan = ex.plan(even_assignment(me, ranks, tokens, k), strategy);
        auto pipe = ex.pipeline(plan, chunks);
        const std::size_t rows = plan.expert_row_count();
        std::vector<float> x(tokens * cols), y(x), in(rows * cols), out(in), none;
        const auto compute = [&](std::size_t count) {
            const double seconds = static_cast<double>(count) * seconds_a_row;
            backend.advance(seconds);
            times[me].computing += seconds;
        };
        backend.agree("");
        const double start = backend.now();
        ex.dispatch(plan, as_matrix(x, cols), as_matrix(in, cols));
        compute(rows);
        ex.combine(plan, as_matrix(out, cols), none, as_matrix(y, cols));
        backend.agree("");
        times[me].computing = 0;
        const double middle = backend.now();
        pipe.forward(
            as_matrix(x, cols), as_matrix(in, cols),
            [&](const pipeline_chunk&, const auto& from, const auto&) { compute(from.rows); },
            as_matrix(out, cols), none, as_matrix(y, cols));
        backend.agree("");
        times[me].without = middle - start;
        times[me].forward = backend.now() - middle;
    });
    return times[0];
}

}  // namespace

TEST_CASE("a pipeline saves what the model says and never beats its bounds", "[exec][simulated]") {
    constexpr std::size_t ranks = 4, tokens = 256, k = 2, cols = 1024;
    const topology nodes = topology::uniform(ranks, 1);
    cluster_costs costs;
    costs.inter_node.nic_bandwidth = costs.inter_node.rank_bandwidth = 1e9;
    const exchange_plan plan = [&] {
        std::vector<assignment> all;
        for (std::size_t r = 0; r < ranks; ++r)
            all.push_back(even_assignment(r, ranks, tokens, k));
        return plan_all(direct{}, nodes, expert_placement::blocked(ranks, ranks), all)[0];
    }();
    const double card = static_cast<double>(plan.traffic(cols * 4).inter_node.bytes) / 1e9;
    const double rows = static_cast<double>(plan.expert_row_count());
    const auto packing = [&](const flow& moved) {
        double read = static_cast<double>(moved.deliver.from.size());
        for (const phase& p : moved.phases) read += static_cast<double>(p.pack.from.size());
        return read * cols * 4 / costs.pack_bandwidth;
    };
    for (const double ratio : {0.5, 1.0, 2.0})  // computation over both exchanges
        for (const std::size_t chunks : {1u, 2u, 4u, 8u, 16u}) {
            const double computing = ratio * 2 * card;
            const auto overheads = 2e-6 * static_cast<double>(ranks - 1);
            const std::vector<pipeline_stage> stages{
                {0, 0, 5e-6, overheads, card},
                {1, 1, 0, 0, computing + packing(plan.dispatch) + packing(plan.combine)},
                {2, 0, 5e-6, overheads, card}};
            const auto t = time_layer(nodes, costs, direct{}, tokens, k, cols, computing / rows,
                                      chunks);
            const auto model = [&](std::size_t r) {
                return static_cast<double>(pipelined_nanoseconds(stages, r)) * 1e-9;
            };
            CAPTURE(ratio, chunks, t.without, t.forward, model(1), model(chunks));
            CHECK(t.computing == Approx(computing));
            CHECK(t.forward >= std::max(computing, 2 * card));
            CHECK(t.without == Approx(model(1)).epsilon(0.05));
            if (chunks == 1)
                CHECK(t.forward == Approx(t.without).epsilon(0.02));
            else
                CHECK(t.without - t.forward == Approx(model(1) - model(chunks)).epsilon(0.15));
        }
}

TEST_CASE("a pipeline hides the phases of one chunk behind those of another",
          "[exec][simulated]") {
    // No computation. A token has two experts on each node, so a rank sends a row of each token to
    // its relay on the other node, and three for each two tokens inside its node before and after.
    constexpr std::size_t tokens = 256, cols = 1024;
    const topology nodes = topology::uniform(2, 4);
    cluster_costs costs;
    costs.inter_node.rank_bandwidth = 2e9;
    costs.inter_node.nic_bandwidth = 8e9;
    costs.intra_node.rank_bandwidth = costs.intra_node.message_bandwidth = 6e9;
    costs.pack_bandwidth = std::numeric_limits<double>::infinity();
    const double between = tokens * cols * 4 / 2e9;
    const double inside = 1.5 * tokens * cols * 4 / 6e9;
    enum { card, links };
    const std::vector<pipeline_stage> stages{
        {0, card, 5e-6, 2e-6, between}, {0, links, 2e-6, 3e-6, inside},
        {1, links, 2e-6, 3e-6, inside}, {3, links, 2e-6, 3e-6, inside},
        {3, links, 2e-6, 3e-6, inside}, {4, card, 5e-6, 2e-6, between}};
    for (const std::size_t chunks : {1u, 2u, 4u, 8u}) {
        const auto t = time_layer(nodes, costs, node_aggregated{}, tokens, 4, cols, 0, chunks);
        const auto model = static_cast<double>(pipelined_nanoseconds(stages, chunks)) * 1e-9;
        CAPTURE(chunks, t.without, t.forward);
        CHECK(t.forward == Approx(model).epsilon(0.15));
        CHECK(t.forward >= std::max(2 * between, 4 * inside));
        if (chunks == 8) CHECK(t.forward < 0.8 * t.without);
    }
}
