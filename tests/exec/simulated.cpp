#include "locmoe/exec/simulated.hpp"

#include <chrono>
#include <cstddef>
#include <limits>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "catch.hpp"
#include "exec/executor_laws.hpp"
#include "locmoe/exec/simulated_kernels.hpp"
#include "locmoe/plan/simulate.hpp"

using namespace locmoe;

namespace {

const topology several_nodes[] = {
    topology::single_node(1), topology::uniform(2, 1), topology::single_node(3),
    topology::from_node_of_rank({0, 1, 0, 0, 1}), topology::uniform(4, 2)};

/// What each rank's `function` threw, "" where nothing; the job's own exception is dropped.
template <class Function>
std::vector<std::string> errors_by_rank(const topology& nodes, Function function) {
    std::vector<std::string> errors(nodes.rank_count());
    try {
        run_simulated(nodes, {}, [&](simulated_backend& backend) {
            try {
                function(backend);
            } catch (const std::exception& e) {
                errors[static_cast<std::size_t>(backend.rank())] = e.what();
                throw;
            }
        });
    } catch (const std::exception&) {
    }
    return errors;
}

bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

/// Sends `send` bytes from rank 0 to rank 1, which expects `receive`.
void send_one(simulated_backend& backend, std::size_t send, std::size_t receive) {
    std::vector<std::byte> room(send + receive);
    std::vector<send_block> sends;
    std::vector<receive_block> receives;
    if (backend.rank() == 0 && send != 0) sends.push_back({1, room.data(), send});
    if (backend.rank() == 1 && receive != 0) receives.push_back({0, room.data(), receive});
    auto under_way = backend.start(sends, receives);
    backend.wait(under_way);
}

/// One of the operations that meet all ranks, by number.
void meet(simulated_backend& backend, int operation) {
    if (operation == 0) backend.agree("");
    if (operation == 1) backend.exchange_messages({});
    if (operation == 2) backend.scan_counts({});
}

}  // namespace

TEST_CASE("simulated ranks keep the laws of a backend", "[exec][simulated]") {
    for (const topology& nodes : several_nodes) {
        CAPTURE(nodes.rank_count());
        CHECK_NOTHROW(run_simulated(
            nodes, {}, [](simulated_backend& backend) { backend_laws::all(backend, 2024); }));
    }
}

TEST_CASE("the executor over simulated ranks keeps its laws", "[exec][simulated]") {
    for (const topology& nodes : several_nodes)
        CHECK_NOTHROW(run_simulated(nodes, {}, [](simulated_backend& backend) {
            executor_laws::all_strategies_and_elements(backend, 5);
            executor_laws::sums_have_one_order(backend, 5);
            executor_laws::carries_every_bit_pattern(backend);
            executor_laws::bad_input_fails_on_all_ranks(backend);
            executor_laws::disagreement_is_found(backend);
        }));
}

TEST_CASE("a transfer takes its rank's computation, overhead, latency and bytes",
          "[exec][simulated]") {
    const double bytes = 1 << 20;
    const double flight = 5e-6 + bytes / 12.5e9;
    std::vector<double> clock(3, -1);
    const double latest =
        run_simulated(topology::uniform(3, 1), {}, [&](simulated_backend& backend) {
            if (backend.rank() == 1) backend.advance(1e-3);  // posts its side late
            if (backend.rank() < 2) send_one(backend, 1 << 20, 1 << 20);
            if (backend.rank() == 2) backend.advance(2e-3);
            clock[static_cast<std::size_t>(backend.rank())] = backend.now();
        });
    CHECK(clock[0] == Approx(1e-3 + flight).epsilon(1e-12));
    CHECK(clock[1] == Approx(1e-3 + flight).epsilon(1e-12));
    CHECK(clock[2] == 2e-3);
    CHECK(latest == 2e-3);
}

TEST_CASE("what is computed between start and wait hides the transfer", "[exec][simulated]") {
    for (const double work : {1e-6, 1e-3}) {
        const double latest =
            run_simulated(topology::uniform(2, 1), {}, [&](simulated_backend& backend) {
                std::vector<std::byte> out(1 << 20), in(1 << 20);
                const rank_id other = 1 - backend.rank();
                const send_block send{other, out.data(), out.size()};
                const receive_block receive{other, in.data(), in.size()};
                auto under_way = backend.start({&send, 1}, {&receive, 1});
                backend.advance(work);
                backend.wait(under_way);
            });
        const double transfer = 1e-6 + 5e-6 + (1 << 20) / 12.5e9;
        CHECK(latest == Approx(work < transfer ? transfer : 1e-6 + work).epsilon(1e-9));
    }
}

TEST_CASE("a meeting ends for all after the last has come", "[exec][simulated]") {
    for (int operation = 0; operation < 3; ++operation) {
        std::vector<double> clock(6, -1);
        run_simulated(topology::uniform(3, 2), {}, [&](simulated_backend& backend) {
            backend.advance(1e-3 * backend.rank());
            meet(backend, operation);
            clock[static_cast<std::size_t>(backend.rank())] = backend.now();
        });
        CHECK(clock == std::vector<double>(6, 5e-3 + 3 * (5e-6 + 1e-6)));
    }
}

TEST_CASE("the executor takes as long as simulate says of its plan", "[exec][simulated]") {
    for (std::uint32_t seed = 0; seed < 40; ++seed) {
        auto job = random_cases::any_job(seed);
        random_cases::generator g(seed);
        const bool in_order = seed % 8 >= 3;
        if (in_order) {  // enough messages for a window
            job.nodes = topology::uniform(4, 2);
            job.placement = expert_placement::blocked(8, 8);
            job.assigned.clear();
            for (int r = 0; r < 8; ++r)
                job.assigned.push_back(assign(random_cases::any_routing(g, 8, g.up_to(40), 2)));
        }
        cluster_costs costs;
        costs.pack_bandwidth = 20e9;
        if (seed % 2 == 0) costs.inter_node.rank_bandwidth = 5e9;
        if (seed % 3 == 0) costs.leaves = leaf_switches{2, 10e9};
        if (seed % 5 == 0) costs.inter_node.fan_in_loss = 0.3;
        if (seed % 5 > 2) costs.intra_node.message_bandwidth = 0.5e9;  // waits while others come in
        const bool aggregated = seed % 4 < 2;
        auto plans = aggregated ? plan_all(node_aggregated{}, job.nodes, job.placement, job.assigned)
                                : plan_all(direct{}, job.nodes, job.placement, job.assigned);
        const std::size_t window = g.up_to(2);
        if (in_order)
            for (exchange_plan& plan : plans)
                plan = ordered(plan, job.nodes,
                               random_cases::any_order(g, job.nodes, job.nodes.node_of(plan.rank),
                                                       window));
        constexpr std::size_t cols = 3000;
        std::vector<double> agreed(plans.size()), dispatched(agreed), combined(agreed);
        run_simulated(job.nodes, costs,
                      [&](simulated_backend& backend) {
                          const auto me = static_cast<std::size_t>(backend.rank());
                          executor run(backend, job.nodes, job.placement,
                                       simulated_kernels(backend));
                          const exchange_plan& plan = plans[me];
                          std::vector<float> tokens(plan.token_count * cols);
                          std::vector<float> rows(plan.expert_row_count() * cols);
                          const matrix_view<float> t{tokens.data(), plan.token_count, cols};
                          const matrix_view<float> r{rows.data(), plan.expert_row_count(), cols};
                          backend.agree("");
                          double before = backend.now();
                          const auto lap = [&] {
                              const double now = backend.now();
                              return now - std::exchange(before, now);
                          };
                          backend.agree("");
                          agreed[me] = lap();
                          run.dispatch(plan, t, r);
                          dispatched[me] = lap() - agreed[me];
                          backend.agree("");
                          lap();
                          run.combine(plan, r, std::vector<float>(), t);
                          combined[me] = lap() - agreed[me];
                      },
                      {0});
        const auto dispatch =
            simulate(plans, &exchange_plan::dispatch, cols * 4, job.nodes, costs, {0});
        const auto combine =
            simulate(plans, &exchange_plan::combine, cols * 4, job.nodes, costs, {0});
        CAPTURE(job.text, aggregated);
        for (std::size_t r = 0; r < plans.size(); ++r) {
            CHECK(dispatched[r] == Approx(dispatch.finished[r]).epsilon(1e-6).margin(1e-11));
            CHECK(combined[r] == Approx(combine.finished[r]).epsilon(1e-6).margin(1e-11));
        }
    }
}

TEST_CASE("two runs give the same clocks, to the bit, however the threads take turns",
          "[exec][simulated]") {
    for (std::uint32_t seed = 0; seed < 10; ++seed) {
        const auto job = random_cases::job_on(6, seed);
        std::vector<double> first, second;
        for (auto* clocks : {&first, &second}) {
            clocks->resize(6);
            run_simulated(job.nodes, {}, [&](simulated_backend& backend) {
                const auto me = static_cast<std::size_t>(backend.rank());
                const bool dawdles = clocks == &first ? me == 0 : me == 4;
                backend_laws::random_numbers random(seed);
                for (std::size_t round = 0; round < 5; ++round) {
                    if (dawdles) std::this_thread::sleep_for(std::chrono::milliseconds(1));
                    backend_laws::random_transfer<simulated_backend> one(
                        backend, backend_laws::random_pattern(random, 6, 8, 20'000), round);
                    backend.advance(1e-6 * static_cast<double>(me));
                    backend_laws::random_transfer<simulated_backend> two(
                        backend, backend_laws::random_pattern(random, 6, 8, 100), round);
                    one.finish();
                    two.finish();
                }
                (*clocks)[me] = backend.now();
            });
        }
        CHECK(first == second);
    }
}

TEST_CASE("of two messages that arrive together, the lower rank's is taken in first",
          "[exec][simulated]") {
    for (const rank_id late : {1, 2}) {  // by its thread, not by its clock
        double first = 0, second = 0;
        run_simulated(topology::uniform(3, 1), {}, [&](simulated_backend& backend) {
            std::vector<std::byte> room(1000), more(1000);
            if (backend.rank() != 0) {
                if (backend.rank() == late)
                    std::this_thread::sleep_for(std::chrono::milliseconds(30));
                const send_block block{0, room.data(), room.size()};
                auto under_way = backend.start({&block, 1}, {});
                backend.wait(under_way);
                return;
            }
            const receive_block from_one{1, room.data(), room.size()};
            const receive_block from_two{2, more.data(), more.size()};
            auto one = backend.start({}, {&from_one, 1});
            auto two = backend.start({}, {&from_two, 1});
            backend.wait(one);
            first = backend.now();
            backend.wait(two);
            second = backend.now();
        });
        CHECK(second - first == Approx(1e-6));  // one overhead
    }
}

TEST_CASE("the failure of one simulated rank ends the others, by its words", "[exec][simulated]") {
    struct own_error : std::runtime_error {
        using std::runtime_error::runtime_error;
    };
    for (int operation = 0; operation < 4; ++operation) {
        const auto errors = errors_by_rank(topology::uniform(2, 2), [&](simulated_backend& b) {
            if (b.rank() == 3) throw own_error("bad tensor");
            if (operation < 3) return meet(b, operation);
            std::byte room{};
            const receive_block from_three{3, &room, 1};
            auto under_way = b.start({}, {&from_three, 1});
            b.wait(under_way);
        });
        CAPTURE(operation);
        for (std::size_t r = 0; r < 3; ++r) CHECK(contains(errors[r], "rank 3 left: bad tensor"));
    }
    CHECK_THROWS_AS(run_simulated(topology::uniform(2, 2), {},
                                  [](simulated_backend& backend) {
                                      if (backend.rank() == 2) throw own_error("out of rows");
                                      backend.agree("");
                                  }),
                    own_error);
}

TEST_CASE("a simulated rank that nobody will serve is told so at once", "[exec][simulated]") {
    const topology nodes = topology::uniform(2, 1);
    const auto left = errors_by_rank(nodes, [](simulated_backend& b) {
        if (b.rank() == 1) send_one(b, 0, 4);
    });
    CHECK(contains(left[1], "rank 0 left: its function returned"));
    const auto early = errors_by_rank(nodes, [](simulated_backend& b) {
        if (b.rank() == 1) b.agree("");
    });
    CHECK(contains(early[1], "rank 0 left: its function returned"));
    const auto stuck = errors_by_rank(nodes, [](simulated_backend& b) {
        if (b.rank() == 1) send_one(b, 0, 4);
        b.agree("");
    });
    CHECK(contains(stuck[1], "rank 1 waits for a transfer that its peers have not started"));
    const auto different = errors_by_rank(nodes, [](simulated_backend& b) { meet(b, b.rank()); });
    CHECK(contains(different[0], "entered"));
    CHECK(contains(different[1], "entered"));
}

TEST_CASE("a simulated block of another size than expected names both ranks and sizes",
          "[exec][simulated]") {
    for (const std::size_t sent : {8u, 12u}) {
        const std::size_t expected = 20 - sent;
        const auto errors = errors_by_rank(
            topology::uniform(2, 1), [&](simulated_backend& b) { send_one(b, sent, expected); });
        const std::string told =
            detail::concat("rank 1 expected ", expected, " bytes from rank 0, got ", sent);
        CHECK(contains(errors[0], told));
        CHECK(contains(errors[1], told));
    }
}

TEST_CASE("a simulated transfer dropped before its end leaves its memory alone",
          "[exec][simulated]") {
    const auto errors = errors_by_rank(topology::uniform(2, 1), [](simulated_backend& backend) {
        std::vector<std::byte> room(1 << 16);
        if (backend.rank() == 0) {
            const send_block block{1, room.data(), room.size()};
            { const auto dropped = backend.start({&block, 1}, {}); }
            room = {};
            backend.agree("");
        } else {
            const receive_block block{0, room.data(), room.size()};
            auto under_way = backend.start({}, {&block, 1});
            backend.agree("");
            backend.wait(under_way);
        }
        backend.agree("");
    });
    CHECK(contains(errors[1], "rank 1 waits for a transfer"));
    CHECK(contains(errors[1], "dropped"));
}

TEST_CASE("simulated ranks refuse what makes no sense before anything is sent",
          "[exec][simulated]") {
    const topology nodes = topology::uniform(2, 1);
    const auto run = [&](auto function) { run_simulated(nodes, {}, function); };
    for (const double seconds :
         {-1.0, std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()})
        CHECK_THROWS_AS(run([&](simulated_backend& b) { b.advance(seconds); }), argument_error);
    std::byte room[4]{};
    const send_block bad{2, room, 4};
    CHECK_THROWS_AS(run([&](simulated_backend& b) { b.start({&bad, 1}, {}); }), argument_error);
    CHECK_THROWS_AS(run([](simulated_backend& b) {
                        b.exchange_messages({{2, {}}});
                    }),
                    argument_error);
    cluster_costs costs;
    costs.inter_node.latency = -1;
    CHECK_THROWS_AS(run_simulated(nodes, costs, [](simulated_backend&) {}), argument_error);
}
