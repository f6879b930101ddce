#include "locmoe/exec/in_process.hpp"

#include <chrono>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "catch.hpp"
#include "exec/backend_laws.hpp"

using namespace locmoe;

namespace {

const std::size_t rank_counts[] = {1, 2, 3, 4, 5, 8};

/// What each rank's `function` threw, "" where nothing; the job's own exception is dropped.
template <class Function>
std::vector<std::string> errors_by_rank(std::size_t ranks, Function function,
                                        in_process_options options = {}) {
    std::vector<std::string> errors(ranks);
    try {
        run_in_process(
            ranks,
            [&](in_process_backend& backend) {
                try {
                    function(backend);
                } catch (const std::exception& e) {
                    errors[static_cast<std::size_t>(backend.rank())] = e.what();
                    throw;
                }
            },
            options);
    } catch (const std::exception&) {
    }
    return errors;
}

bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

/// Sends `send` bytes from rank 0 to rank 1, which expects `receive`.
void send_one(in_process_backend& backend, std::size_t send, std::size_t receive) {
    std::vector<std::byte> room(send + receive);
    std::vector<send_block> sends;
    std::vector<receive_block> receives;
    if (backend.rank() == 0 && send != 0) sends.push_back({1, room.data(), send});
    if (backend.rank() == 1 && receive != 0) receives.push_back({0, room.data(), receive});
    auto under_way = backend.start(sends, receives);
    backend.wait(under_way);
}

/// One of the operations that meet all ranks, by number.
void meet(in_process_backend& backend, int operation) {
    if (operation == 0) backend.agree("");
    if (operation == 1) backend.exchange_messages({});
    if (operation == 2) backend.scan_counts({});
}

}  // namespace

TEST_CASE("threads as ranks keep the laws of a backend", "[exec][in_process]") {
    for (const std::size_t ranks : rank_counts) {
        CAPTURE(ranks);
        CHECK_NOTHROW(run_in_process(
            ranks, [](in_process_backend& backend) { backend_laws::all(backend, 2024); }));
    }
}

TEST_CASE("each rank runs once, and knows itself", "[exec][in_process]") {
    for (const std::size_t ranks : rank_counts) {
        std::vector<int> runs(ranks, 0);
        std::vector<std::size_t> counts(ranks, 0);
        run_in_process(ranks, [&](in_process_backend& backend) {
            const auto me = static_cast<std::size_t>(backend.rank());
            ++runs[me];
            counts[me] = backend.rank_count();
        });
        CHECK(runs == std::vector<int>(ranks, 1));
        CHECK(counts == std::vector<std::size_t>(ranks, ranks));
    }
    CHECK_THROWS_AS(run_in_process(0, [](in_process_backend&) {}), argument_error);
}

TEST_CASE("the exception of the rank that failed comes out, not the ones it caused",
          "[exec][in_process]") {
    struct own_error : std::runtime_error {
        using std::runtime_error::runtime_error;
    };
    for (int operation = 0; operation < 3; ++operation)
        CHECK_THROWS_AS(run_in_process(5,
                                       [&](in_process_backend& backend) {
                                           if (backend.rank() == 3) throw own_error("out of rows");
                                           meet(backend, operation);
                                       }),
                        own_error);
    CHECK_THROWS_WITH(run_in_process(4,
                                     [](in_process_backend& backend) {
                                         if (backend.rank() >= 2)
                                             throw own_error(std::to_string(backend.rank()));
                                     }),
                      "2");
    CHECK_THROWS_AS(run_in_process(3,
                                   [](in_process_backend& backend) {
                                       if (backend.rank() == 1) throw 7;
                                       backend.agree("");
                                   }),
                    int);
    // The words of agree reach the caller as they reach each rank.
    CHECK_THROWS_WITH(run_in_process(8,
                                     [](in_process_backend& backend) {
                                         backend.agree(backend.rank() == 5 ? "no capacity" : "");
                                     }),
                      "locmoe: agree: rank 5: no capacity");
}

TEST_CASE("a rank that throws ends what the others wait for and all they begin later",
          "[exec][in_process]") {
    for (int operation = 0; operation < 4; ++operation) {
        const auto errors = errors_by_rank(4, [&](in_process_backend& backend) {
            if (backend.rank() == 3) throw std::runtime_error("bad tensor");
            if (backend.rank() == 2)  // comes when the others are told already
                std::this_thread::sleep_for(std::chrono::milliseconds(20));
            if (operation < 3) return meet(backend, operation);
            std::byte room{};
            const receive_block from_three{3, &room, 1};
            auto under_way = backend.start({}, {&from_three, 1});
            backend.wait(under_way);
        });
        CAPTURE(operation);
        for (std::size_t r = 0; r < 3; ++r)
            CHECK(contains(errors[r], "rank 3 left: bad tensor"));
    }
}

TEST_CASE("a rank that returns early is an error for those who wait for it, and for them alone",
          "[exec][in_process]") {
    for (int operation = 0; operation < 3; ++operation) {
        const auto errors = errors_by_rank(3, [&](in_process_backend& backend) {
            if (backend.rank() != 1) meet(backend, operation);
        });
        CHECK(contains(errors[0], "rank 1 left: its function returned"));
        CHECK(contains(errors[2], "rank 1 left: its function returned"));
    }
    const auto receiving = errors_by_rank(2, [](in_process_backend& backend) {
        if (backend.rank() == 1) send_one(backend, 0, 4);
    });
    CHECK(contains(receiving[1], "rank 0 left: its function returned"));
    const auto sending = errors_by_rank(2, [](in_process_backend& backend) {
        if (backend.rank() == 0) send_one(backend, 4, 0);
    });
    CHECK(contains(sending[0], "rank 1 left: its function returned"));
    CHECK_NOTHROW(run_in_process(3, [](in_process_backend& backend) {
        if (backend.rank() != 2) send_one(backend, 4, 4);
    }));
}

TEST_CASE("a block of another size than expected names both ranks and both sizes",
          "[exec][in_process]") {
    for (const std::size_t sent : {8u, 12u}) {
        const std::size_t expected = 20 - sent;
        const auto errors = errors_by_rank(
            2, [&](in_process_backend& backend) { send_one(backend, sent, expected); });
        const std::string told =
            detail::concat("rank 1 expected ", expected, " bytes from rank 0, got ", sent);
        CHECK(contains(errors[0], told));
        CHECK(contains(errors[1], told));
    }
}

TEST_CASE("blocks that no backend takes are refused before anything is sent",
          "[exec][in_process]") {
    std::byte room[4]{};
    for (const send_block& bad : {send_block{2, room, 4}, send_block{-1, room, 4},
                                  send_block{0, room, 4}, send_block{1, room, 0}})
        CHECK_THROWS_AS(run_in_process(2,
                                       [&](in_process_backend& backend) {
                                           if (backend.rank() == 0) backend.start({&bad, 1}, {});
                                       }),
                        argument_error);
    for (const rank_id peer : {-1, 2})
        CHECK_THROWS_AS(run_in_process(2,
                                       [&](in_process_backend& backend) {
                                           backend.exchange_messages({{peer, {}}});
                                       }),
                        argument_error);
    CHECK_THROWS_AS(run_in_process(3,
                                   [](in_process_backend& backend) {
                                       const std::vector<std::int64_t> counts(
                                           backend.rank() == 1 ? 2 : 3, 1);
                                       backend.scan_counts(counts);
                                   }),
                    argument_error);
}

TEST_CASE("ranks that enter different operations are told so", "[exec][in_process]") {
    const auto errors =
        errors_by_rank(2, [](in_process_backend& backend) { meet(backend, backend.rank()); });
    CHECK(contains(errors[0], "entered"));
    CHECK(contains(errors[1], "entered"));
}

TEST_CASE("a rank that never comes is named when the deadline has passed", "[exec][in_process]") {
    const in_process_options options{.deadline = std::chrono::milliseconds(30)};
    const auto wait_for_two = [](in_process_backend& backend) {
        if (backend.rank() == 2) {  // busy with something else
            std::this_thread::sleep_for(std::chrono::milliseconds(120));
            return;
        }
        backend.agree("");
    };
    const auto errors = errors_by_rank(3, wait_for_two, options);
    for (const std::size_t r : {0u, 1u}) {
        CHECK(contains(errors[r], "waited for rank 2 for 30 ms"));
        CHECK(contains(errors[r], "agree"));
    }
    CHECK(errors[2].empty());
    const auto late = errors_by_rank(3, wait_for_two, {.deadline = std::nullopt});
    CHECK(contains(late[0], "rank 2 left"));  // no deadline: it waited until rank 2 was gone
}

TEST_CASE("a transfer dropped before its end leaves nobody reading its memory",
          "[exec][in_process]") {
    const auto errors = errors_by_rank(2, [](in_process_backend& backend) {
        std::vector<std::byte> room(1 << 16);
        if (backend.rank() == 0) {
            const send_block block{1, room.data(), room.size()};
            { const auto dropped = backend.start({&block, 1}, {}); }
            room = {};
            backend.agree("");
            throw std::runtime_error("changed its mind");
        }
        const receive_block block{0, room.data(), room.size()};
        auto under_way = backend.start({}, {&block, 1});
        backend.agree("");
        backend.wait(under_way);
    });
    CHECK(contains(errors[1], "rank 0 left: changed its mind"));
}

TEST_CASE("of two transfers under way each gets its own blocks, in whatever order they are waited for",
          "[exec][in_process]") {
    const auto errors = errors_by_rank(2, [](in_process_backend& backend) {
        std::vector<std::byte> first(8, std::byte{1});
        std::vector<std::byte> second(8, std::byte{2});
        if (backend.rank() == 0) {
            const send_block a{1, first.data(), 8};
            const send_block b{1, second.data(), 8};
            auto one = backend.start({&a, 1}, {});
            auto two = backend.start({&b, 1}, {});
            backend.wait(one);
            backend.wait(two);
            return;
        }
        std::vector<std::byte> in_one(8);
        std::vector<std::byte> in_two(8);
        const receive_block a{0, in_one.data(), 8};
        const receive_block b{0, in_two.data(), 8};
        auto one = backend.start({}, {&a, 1});
        auto two = backend.start({}, {&b, 1});
        backend.wait(two);
        backend.wait(one);
        if (in_one != first || in_two != second) throw std::runtime_error("blocks mixed up");
    });
    CHECK(errors[0].empty());
    CHECK(errors[1].empty());
}
