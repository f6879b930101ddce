#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "locmoe/adapt/mpi.hpp"
#include "locmoe/exec/all_reduce.hpp"
#include "locmoe/exec/in_process.hpp"

#include "catch.hpp"
#include "exec/backend_laws.hpp"

using namespace locmoe;

namespace {

std::size_t world_size() {
    int ranks = 0;
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    return static_cast<std::size_t>(ranks);
}

/// Rank 0 sends `send` bytes to rank 1, which expects `receive`. What rank 1 threw, "" if nothing.
std::string send_one(mpi_backend& backend, std::size_t send, std::size_t receive) {
    std::vector<std::byte> room(send + receive);  // a transport may write past what is expected
    std::vector<send_block> sends;
    std::vector<receive_block> receives;
    if (backend.rank() == 0) sends.push_back({1, room.data(), send});
    if (backend.rank() == 1) receives.push_back({0, room.data(), receive});
    try {
        auto under_way = backend.start(sends, receives);
        backend.wait(under_way);
    } catch (const backend_error& e) {
        return e.what();
    }
    return "";
}

template <class Function>
std::string argument_error_of(Function function) {
    try {
        function();
    } catch (const argument_error& e) {
        return e.what();
    }
    return "";
}

}  // namespace

TEST_CASE("a plain communicator keeps the laws of a backend", "[mpi]") {
    mpi_backend backend(MPI_COMM_WORLD);
    CHECK_NOTHROW(backend_laws::all(backend, 11));
}

TEST_CASE("persistent requests keep the laws of a backend", "[mpi]") {
    mpi_backend whole(MPI_COMM_WORLD, {.persistent_requests = true});
    CHECK_NOTHROW(backend_laws::all(whole, 18));
    mpi_backend chunks(MPI_COMM_WORLD, {.chunk_bytes = 1000, .persistent_requests = true});
    CHECK_NOTHROW(backend_laws::transfers_arrive(chunks, 19));
    CHECK_NOTHROW(backend_laws::windows_let_all_arrive(chunks, 20));
}

TEST_CASE("the same blocks may be started again, and twice at once", "[mpi]") {
    if (world_size() < 2) return;
    for (const bool persistent : {false, true}) {
        mpi_backend backend(MPI_COMM_WORLD, {.persistent_requests = persistent});
        const auto ranks = static_cast<rank_id>(world_size());
        std::byte out{}, in[2]{};
        const send_block send{(backend.rank() + 1) % ranks, &out, 1};
        const receive_block first{(backend.rank() + ranks - 1) % ranks, &in[0], 1};
        const receive_block second{first.from, &in[1], 1};
        for (int round = 1; round < 50; ++round) {
            out = static_cast<std::byte>(round);
            in[0] = in[1] = std::byte{};
            auto one = backend.start({&send, 1}, {&first, 1});
            auto two = backend.start({&send, 1}, {&second, 1});
            backend.wait(one);
            backend.wait(two);
            REQUIRE(in[0] == static_cast<std::byte>(round));
            REQUIRE(in[1] == static_cast<std::byte>(round));
        }
    }
}

TEST_CASE("blocks over the limit go in chunks and arrive whole", "[mpi]") {
    mpi_backend small(MPI_COMM_WORLD, {.chunk_bytes = 7});
    CHECK_NOTHROW(backend_laws::traffic_is_counted(small, 13));
    mpi_backend medium(MPI_COMM_WORLD, {.chunk_bytes = 10'000});
    CHECK_NOTHROW(backend_laws::transfers_arrive(medium, 14));
    if (world_size() > 1) CHECK(send_one(small, 21, 21) == "");  // a whole multiple of the limit
    CHECK(argument_error_of([] { mpi_backend(MPI_COMM_WORLD, {.chunk_bytes = 0}); }) != "");
    const std::size_t too_large = std::size_t{1} << 31;
    CHECK(argument_error_of([&] { mpi_backend(MPI_COMM_WORLD, {.chunk_bytes = too_large}); }) !=
          "");
}

TEST_CASE("our messages do not meet the user's, nor those of a second backend", "[mpi]") {
    mpi_backend first(MPI_COMM_WORLD);
    mpi_backend second(MPI_COMM_WORLD);
    const int ranks = static_cast<int>(world_size());
    int mine = first.rank();
    int got = -1;
    MPI_Request request = MPI_REQUEST_NULL;
    MPI_Irecv(&got, 1, MPI_INT, MPI_ANY_SOURCE, MPI_ANY_TAG, MPI_COMM_WORLD, &request);
    CHECK_NOTHROW(backend_laws::calls_do_not_mix(first, 15));
    backend_laws::random_numbers random(16);
    backend_laws::random_transfer<mpi_backend> a(
        first, backend_laws::random_pattern(random, world_size(), 8, 50), 0);
    backend_laws::random_transfer<mpi_backend> b(
        second, backend_laws::random_pattern(random, world_size(), 8, 50), 1);
    CHECK_NOTHROW(b.finish());
    CHECK_NOTHROW(a.finish());
    MPI_Send(&mine, 1, MPI_INT, (mine + 1) % ranks, 0, MPI_COMM_WORLD);
    MPI_Wait(&request, MPI_STATUS_IGNORE);
    CHECK(got == (mine + ranks - 1) % ranks);
}

TEST_CASE("a block of another size than expected names both ranks and both sizes", "[mpi]") {
    if (world_size() < 2) return;
    // MPICH takes a message that is too long to this handler, and would end the job.
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    struct sizes {
        std::size_t chunk, sent, expected;
        const char* told;
    };
    for (const sizes& s : {sizes{1000, 8, 12, "rank 1 expected 12 bytes from rank 0, got 8"},
                           sizes{1000, 12, 8, "rank 1 expected 8 bytes from rank 0, got more"},
                           sizes{8, 16, 25, "rank 1 expected 8 bytes from rank 0, got 0"},
                           sizes{8, 5, 25, "rank 1 expected 8 bytes from rank 0, got 5"},
                           sizes{8, 20, 16, "rank 1 expected 0 bytes from rank 0, got more"}}) {
        mpi_backend backend(MPI_COMM_WORLD, {.chunk_bytes = s.chunk});
        const std::string told = send_one(backend, s.sent, s.expected);
        CAPTURE(s.chunk, s.sent, s.expected, told);
        CHECK((told.find(s.told) != std::string::npos) == (backend.rank() == 1));
    }
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_ARE_FATAL);
}

TEST_CASE("MPI finds all ranks of one machine on one node", "[mpi]") {
    CHECK(node_topology(MPI_COMM_WORLD) == topology::single_node(world_size()));
}

TEST_CASE("what is no job of ranks is refused", "[mpi]") {
    CHECK(argument_error_of([] { mpi_backend{MPI_COMM_NULL}; }).find("MPI_COMM_NULL") !=
          std::string::npos);
    if (world_size() < 2) return;
    int rank = 0;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm half = MPI_COMM_NULL;
    MPI_Comm between = MPI_COMM_NULL;
    MPI_Comm_split(MPI_COMM_WORLD, rank == 0, rank, &half);
    MPI_Intercomm_create(half, 0, MPI_COMM_WORLD, rank == 0 ? 1 : 0, 5, &between);
    CHECK(argument_error_of([&] { mpi_backend{between}; }).find("intra-communicator") !=
          std::string::npos);
    CHECK(argument_error_of([&] { node_topology(between); }).find("intra-communicator") !=
          std::string::npos);
    mpi_backend backend(half);  // a part of the ranks is a job of its own
    CHECK(backend.rank_count() == (rank == 0 ? 1 : world_size() - 1));
    CHECK_NOTHROW(backend_laws::all(backend, 17));
    MPI_Comm_free(&between);
    MPI_Comm_free(&half);
}

TEST_CASE("sums over ranks have the same bits over MPI and over threads", "[mpi]") {
    const std::size_t length = 1003;
    const auto values_of = [&](rank_id rank) {
        std::mt19937 random(static_cast<unsigned>(rank));
        std::vector<float> values(length);
        for (float& v : values)
            v = static_cast<float>(random()) / 3.0f - 5e8f;
        return values;
    };
    mpi_backend backend(MPI_COMM_WORLD);
    auto over_mpi = values_of(backend.rank());
    all_reduce_sum(backend, std::span(over_mpi));
    std::vector<float> over_threads;
    run_in_process(world_size(), [&](in_process_backend& threads) {
        auto values = values_of(threads.rank());
        all_reduce_sum(threads, std::span(values));
        if (threads.rank() == 0) over_threads = values;
    });
    CHECK(over_mpi == over_threads);
}
