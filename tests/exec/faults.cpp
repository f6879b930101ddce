// What becomes of faults among threads as ranks; tests/mpi/faults.cpp has the same over MPI.

#include <atomic>
#include <chrono>
#include <cstddef>
#include <string>
#include <thread>
#include <vector>

#include "catch.hpp"
#include "exec/fault_laws.hpp"
#include "locmoe/exec/in_process.hpp"
#include "locmoe/exec/simulated.hpp"

using namespace locmoe;
using namespace std::chrono_literals;

namespace {

/// The law's own complaint, "" where it holds: ranks that it leaves with a broken job have thrown.
template <class Law>
std::string broken_law(std::size_t ranks, Law law, in_process_options options = {}) {
    try {
        run_in_process(ranks, law, options);
    } catch (const std::exception& e) {
        return e.what();
    }
    return "";
}

}  // namespace

TEST_CASE("a message whose ends disagree is named on every rank before anything is sent",
          "[exec][faults]") {
    for (const std::size_t ranks : {1u, 2u, 3u, 5u, 8u}) {
        std::vector<std::size_t> found(ranks);
        CHECK(broken_law(ranks, [&](in_process_backend& backend) {
                  found[static_cast<std::size_t>(backend.rank())] =
                      fault_laws::other_counts_are_named(backend, direct{}, 12) +
                      fault_laws::other_counts_are_named(backend, node_aggregated{}, 12);
              }) == "");
        CHECK((found[0] > 4) == (ranks > 1));
    }
}

TEST_CASE("a plan that would leave its buffers is refused on every rank", "[exec][faults]") {
    for (const std::size_t ranks : {2u, 3u, 5u})
        CHECK(broken_law(ranks, [](in_process_backend& backend) {
                  fault_laws::broken_plans_are_refused(backend);
              }) == "");
}

TEST_CASE("calls that do not fit together are named on every rank", "[exec][faults]") {
    for (const std::size_t ranks : {2u, 3u, 8u})
        CHECK(broken_law(ranks, [](in_process_backend& backend) {
                  fault_laws::other_calls_are_named(backend);
              }) == "");
}

TEST_CASE("a rank that throws while it plans strands nobody", "[exec][faults]") {
    for (const std::size_t ranks : {1u, 2u, 5u})
        CHECK(broken_law(ranks, [](in_process_backend& backend) {
                  fault_laws::failing_planners_strand_nobody(backend);
              }) == "");
}

TEST_CASE("an exchange that fails on one rank ends on all and poisons the executor",
          "[exec][faults]") {
    for (const std::size_t ranks : {1u, 2u, 5u})
        for (const int gathers : {1, 2})
            for (const bool pipelined : {false, true}) {
                CAPTURE(ranks, gathers, pipelined);
                CHECK(broken_law(ranks, [&](in_process_backend& backend) {
                          fault_laws::failed_exchange_poisons(backend, gathers, pipelined);
                      }) == "");
            }
    CHECK_NOTHROW(run_simulated(topology::uniform(2, 2), {}, [](simulated_backend& backend) {
        fault_laws::failed_exchange_poisons(backend, 1, false);
    }));
}

TEST_CASE("a rank slower than the deadline is named on every rank", "[exec][faults]") {
    const in_process_options options{.deadline = 400ms};
    const auto law = [](std::atomic<std::size_t>& told, int operation) {
        return [&told, operation](auto& backend) {
            fault_laws::slow_rank_is_named(
                backend, operation,
                [&] {  // until the others have given up
                    while (told < backend.rank_count() - 1) std::this_thread::sleep_for(1ms);
                },
                [&] { ++told; });
        };
    };
    for (const std::size_t ranks : {2u, 3u, 5u})
        for (const int operation : {0, 1, 2, 3}) {
            CAPTURE(ranks, operation);
            std::atomic<std::size_t> told = 0;
            CHECK(broken_law(ranks, law(told, operation), options) == "");
        }
    for (const int operation : {0, 3}) {
        std::atomic<std::size_t> told = 0;
        CHECK_NOTHROW(
            run_simulated(topology::uniform(3, 1), {}, law(told, operation), {}, options));
    }
}
