#include "locmoe/exec/pipeline.hpp"

#include "catch.hpp"
#include "exec/pipeline_laws.hpp"
#include "locmoe/exec/in_process.hpp"

using namespace locmoe;

TEST_CASE("a pipeline gives the bits of the exchange without chunks", "[exec]") {
    for (const std::size_t ranks : {1u, 2u, 3u, 5u, 8u})
        REQUIRE_NOTHROW(run_in_process(ranks, [&](in_process_backend& backend) {
            pipeline_laws::all_strategies_and_elements(backend, 4);
        }));
}
