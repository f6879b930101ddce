// The backend of examples/custom_backend.hpp, in processes of its own.

#include "../../examples/custom_backend.hpp"

#include "catch.hpp"
#include "exec/backend_laws.hpp"

TEST_CASE("the example of a user's own backend keeps the laws of a backend", "[exec]") {
    for (const std::size_t ranks : {1u, 2u, 3u, 5u})
        CHECK(run_in_processes(ranks, [](socket_backend& backend) {
            backend_laws::transfers_arrive(backend, 1);
            backend_laws::windows_let_all_arrive(backend, 2);
            backend_laws::messages_arrive(backend, 3);
            backend_laws::counts_add_up(backend, 4);
            backend_laws::ranks_agree(backend);
            backend_laws::calls_do_not_mix(backend, 5);
        }));
}

TEST_CASE("over a user's own backend a rank that gives up is named by all", "[exec]") {
    CHECK(run_in_processes(3, [](socket_backend& backend) {
        if (backend.rank() == 1) backend.abandon("out of luck");
        std::string told;
        try {
            backend.agree("");
            if (backend.rank() != 1) backend.agree("");
        } catch (const locmoe::backend_error& e) {
            told = e.what();
        }
        backend_laws::expect(told.find("rank 1 gave up: out of luck") != told.npos,
                             "the rank that gave up is named", backend.rank());
    }));
}

TEST_CASE("over a user's own backend a rank that leaves is an error of those that wait for it",
          "[exec]") {
    CHECK(run_in_processes(3, [](socket_backend& backend) {
        if (backend.rank() == 2) return;
        bool told = false;
        try {
            backend.agree("");
        } catch (const locmoe::backend_error&) {
            told = true;
        }
        backend_laws::expect(told, "a rank that left is missed", backend.rank());
    }));
}
