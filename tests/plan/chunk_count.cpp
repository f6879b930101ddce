#include "locmoe/plan/chunk_count.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "catch.hpp"
#include "random_cases.hpp"

using namespace locmoe;

namespace {

/// Up to seven steps on up to four resources, one stage or two a step.
std::vector<pipeline_stage> any_stages(random_cases::generator& g) {
    std::vector<pipeline_stage> stages;
    const auto microseconds = [&](std::size_t most) {
        return static_cast<double>(g.up_to(most)) * 1e-6;
    };
    const std::size_t steps = 1 + g.up_to(6);
    for (std::size_t step = 0; step < steps; ++step)
        for (std::size_t n = 0; n <= g.up_to(1); ++n)
            stages.push_back({step, g.up_to(3), microseconds(10), microseconds(20),
                              microseconds(1000)});
    return stages;
}

double one_chunk(const pipeline_stage& s, std::size_t chunks) {
    return s.latency + s.overhead + s.seconds / static_cast<double>(chunks);
}

}  // namespace

TEST_CASE("one chunk takes its stages one after the other", "[plan]") {
    const std::vector<pipeline_stage> stages{{0, 0, 2e-6, 3e-6, 10e-6}, {1, 1, 0, 1e-6, 40e-6},
                                             {1, 2, 0, 0, 20e-6},       {2, 0, 2e-6, 3e-6, 10e-6}};
    CHECK(pipelined_nanoseconds(stages, 1) == 15'000 + 41'000 + 15'000);
    CHECK(pipelined_nanoseconds({}, 4) == 0);
}

TEST_CASE("an exchange equal to the computation hides behind it but for one chunk", "[plan]") {
    // Dispatch and combine of 500 us on one card, 1,000 us of computation: (r + 1) / r ms.
    const std::vector<pipeline_stage> stages{
        {0, 0, 0, 0, 500e-6}, {1, 1, 0, 0, 1000e-6}, {2, 0, 0, 0, 500e-6}};
    for (const std::int64_t r : {1, 2, 4, 5, 10})
        CHECK(pipelined_nanoseconds(stages, static_cast<std::size_t>(r)) == 1'000'000 * (r + 1) / r);
    CHECK(chunk_count(stages) == 64);
    CHECK(chunk_count(stages, 7) == 7);
}

TEST_CASE("latencies pass together and overheads one after the other", "[plan]") {
    const std::vector<pipeline_stage> late{{0, 0, 9e-6, 0, 0}, {1, 0, 5e-6, 0, 0}};
    const std::vector<pipeline_stage> busy{{0, 0, 0, 9e-6, 0}, {1, 0, 0, 5e-6, 0}};
    CHECK(pipelined_nanoseconds(late, 3) == 9'000 * 3 + 5'000);
    CHECK(pipelined_nanoseconds(busy, 3) == 9'000 + 2 * 14'000 + 5'000);
}

TEST_CASE("no pipeline is faster than its chain or its busiest resource", "[plan]") {
    for (std::uint32_t seed = 0; seed < 500; ++seed) {
        random_cases::generator g(seed);
        std::vector<pipeline_stage> stages = any_stages(g);
        for (pipeline_stage& s : stages) s.latency = 0;
        const std::size_t last = stages.back().step;
        for (const std::size_t chunks : {1u, 2u, 7u, 64u}) {
            const auto r = static_cast<double>(chunks);
            const double time =
                static_cast<double>(pipelined_nanoseconds(stages, chunks)) * 1e-9 + 1e-12;
            std::vector<double> step(last + 1, 0.0);  // of one chunk, by itself
            for (const pipeline_stage& s : stages)
                step[s.step] = std::max(step[s.step], one_chunk(s, chunks));
            double sum = 0;
            for (const double t : step) sum += t;
            CHECK(time >= sum + (r - 1) * *std::max_element(step.begin(), step.end()));
            for (std::size_t resource = 0; resource < 4; ++resource) {
                double own = 0;
                std::size_t from = last + 1;
                std::size_t to = 0;
                for (const pipeline_stage& s : stages)
                    if (s.resource == resource) {
                        own += one_chunk(s, chunks);
                        from = std::min(from, s.step);
                        to = std::max(to, s.step);
                    }
                if (from > last) continue;
                double outside = 0;
                for (std::size_t s = 0; s <= last; ++s)
                    if (s < from || s > to) outside += step[s];
                CHECK(time >= outside + r * own);
            }
        }
    }
}

TEST_CASE("the number of chunks is the best of all that are allowed", "[plan]") {
    for (std::uint32_t seed = 0; seed < 100; ++seed) {
        random_cases::generator g(seed);
        const auto stages = any_stages(g);
        const std::size_t best = chunk_count(stages, 20);
        REQUIRE(best >= 1);
        REQUIRE(best <= 20);
        for (std::size_t r = 1; r <= 20; ++r) {
            CHECK(pipelined_nanoseconds(stages, best) <= pipelined_nanoseconds(stages, r));
            if (r < best)
                CHECK(pipelined_nanoseconds(stages, best) < pipelined_nanoseconds(stages, r));
        }
    }
}

TEST_CASE("times that are none and no chunk are refused", "[plan]") {
    const double none = std::numeric_limits<double>::quiet_NaN();
    for (const double bad : {-1e-9, none, std::numeric_limits<double>::infinity(), 1e9})
        for (int field = 0; field < 3; ++field) {
            pipeline_stage s;
            (field == 0 ? s.latency : field == 1 ? s.overhead : s.seconds) = bad;
            CHECK_THROWS_AS(pipelined_nanoseconds(std::vector{s}, 2), argument_error);
            CHECK_THROWS_AS(chunk_count(std::vector{s}), argument_error);
        }
    CHECK_THROWS_AS(pipelined_nanoseconds({}, 0), argument_error);
}
