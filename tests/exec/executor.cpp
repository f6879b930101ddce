#include "locmoe/exec/executor.hpp"

#include "catch.hpp"
#include "exec/executor_laws.hpp"
#include "locmoe/exec/in_process.hpp"

using namespace locmoe;

TEST_CASE("the executor carries every row, in every element type, under every strategy",
          "[exec]") {
    for (const std::size_t ranks : {1u, 2u, 3u, 4u, 5u, 8u})
        REQUIRE_NOTHROW(run_in_process(ranks, [&](in_process_backend& backend) {
            executor_laws::all_strategies_and_elements(backend, 15);
        }));
}

TEST_CASE("combine adds up in an order that the plan fixes", "[exec]") {
    for (const std::size_t ranks : {2u, 5u, 8u})
        REQUIRE_NOTHROW(run_in_process(ranks, [&](in_process_backend& backend) {
            executor_laws::sums_have_one_order(backend, 20);
        }));
}

TEST_CASE("dispatch carries every bit pattern unharmed", "[exec]") {
    REQUIRE_NOTHROW(run_in_process(3, [](in_process_backend& backend) {
        executor_laws::carries_every_bit_pattern(backend);
    }));
}

TEST_CASE("one rank's bad input fails on all ranks, before anything is sent", "[exec]") {
    for (const std::size_t ranks : {1u, 2u, 5u})
        REQUIRE_NOTHROW(run_in_process(ranks, [](in_process_backend& backend) {
            executor_laws::bad_input_fails_on_all_ranks(backend);
        }));
}

TEST_CASE("ranks that hold different topologies or placements are found out", "[exec]") {
    for (const std::size_t ranks : {2u, 3u})
        REQUIRE_NOTHROW(run_in_process(ranks, [](in_process_backend& backend) {
            executor_laws::disagreement_is_found(backend);
        }));
}
