// Many steps on 8 ranks, and the same bits over backends, strategies and runs.

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <vector>

#include "catch.hpp"
#include "exec/soak_laws.hpp"
#include "locmoe/exec/in_process.hpp"
#include "locmoe/exec/simulated.hpp"

using namespace locmoe;

namespace {

std::vector<soak_laws::outcome> in_threads(std::size_t ranks, std::size_t steps, int only = -1) {
    std::vector<soak_laws::outcome> all(ranks);
    run_in_process(ranks, [&](in_process_backend& backend) {
        auto& own = all[static_cast<std::size_t>(backend.rank())];
        own = soak_laws::run(backend, steps, only);
        soak_laws::check_memory(own, steps, backend.rank());
    });
    return all;
}

std::vector<std::uint64_t> bits(const std::vector<soak_laws::outcome>& all) {
    std::vector<std::uint64_t> out;
    for (const auto& own : all) {
        out.push_back(own.integers.value);
        out.push_back(own.floats.value);
    }
    return out;
}

}  // namespace

TEST_CASE("many steps on 8 threads lose no row, hold no memory and repeat to the bit", "[exec]") {
    const std::size_t steps = soak_laws::steps();
    const auto first = in_threads(8, steps);
    const auto again = in_threads(8, steps);
    CHECK(bits(first) == bits(again));
    if (steps >= 1000)
        std::printf("soak in threads: %zu steps twice, %zu KiB early, %zu KiB in the end\n", steps,
                    first[0].early_kib, again[0].late_kib);
}

TEST_CASE("threads and the simulated cluster give the same bits", "[exec]") {
    for (const std::size_t ranks : {1u, 3u, 6u}) {
        std::vector<soak_laws::outcome> simulated(ranks);
        run_simulated(topology::uniform(ranks, 1), {}, [&](simulated_backend& backend) {
            simulated[static_cast<std::size_t>(backend.rank())] = soak_laws::run(backend, 20);
        });
        CHECK(bits(simulated) == bits(in_threads(ranks, 20)));
    }
}

TEST_CASE("integers are the same bits under every strategy, floats where combine is exact",
          "[exec]") {
    const auto direct_bits = in_threads(5, 20, 0);
    for (const int strategy : {1, 2, 3, 4}) {
        const auto other = in_threads(5, 20, strategy);
        for (std::size_t r = 0; r < 5; ++r) {
            CHECK(other[r].integers.value == direct_bits[r].integers.value);
            if (strategy == 4) CHECK(other[r].floats.value == direct_bits[r].floats.value);
        }
    }
}
