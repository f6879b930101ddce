// Catch2 under mpirun: every rank runs every test case, and one failed assertion on any rank fails
// the job. Rank 0 reports; what another rank has to say is kept back and shown where it failed.
#ifndef OMPI_SKIP_MPICXX
#define OMPI_SKIP_MPICXX 1
#endif
#ifndef MPICH_SKIP_MPICXX
#define MPICH_SKIP_MPICXX 1
#endif
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <thread>

#include <mpi.h>
#include <unistd.h>

#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
#else
#define CATCH_CONFIG_RUNNER
#include <catch2/catch.hpp>
#endif

namespace {

int rank_here = 0;
std::FILE* kept_back = nullptr;  // stands for standard output on all ranks but rank 0

void keep_output_back() {
    kept_back = std::tmpfile();
    if (kept_back != nullptr) dup2(fileno(kept_back), STDOUT_FILENO);
}

void show_output() {
    std::cout.flush();
    if (kept_back == nullptr) return;
    std::fprintf(stderr, "---- rank %d ----\n", rank_here);
    std::rewind(kept_back);
    char text[4096];
    for (std::size_t n = 0; (n = std::fread(text, 1, sizeof text, kept_back)) != 0;)
        std::fwrite(text, 1, n, stderr);
    std::fflush(stderr);
}

/// After each test case the ranks meet. One that threw leaves the others waiting for it in some
/// operation: then it says so and ends the job, rather than let it hang.
class meet_after_each_case : public Catch::TestEventListenerBase {
  public:
    using TestEventListenerBase::TestEventListenerBase;

    void testCaseEnded(const Catch::TestCaseStats& stats) override {
        using namespace std::chrono_literals;
        Catch::TestEventListenerBase::testCaseEnded(stats);
        const bool failed = stats.totals.assertions.failed != 0;
        const auto patience = failed ? 5s : 60s;
        const auto end = std::chrono::steady_clock::now() + patience;
        MPI_Request barrier = MPI_REQUEST_NULL;
        MPI_Ibarrier(MPI_COMM_WORLD, &barrier);
        for (int here = 0;;) {
            MPI_Test(&barrier, &here, MPI_STATUS_IGNORE);
            if (here) return;
            if (std::chrono::steady_clock::now() > end) break;
            std::this_thread::sleep_for(1ms);
        }
        show_output();
        std::fprintf(stderr, "rank %d: other ranks do not come to the end of \"%s\"\n", rank_here,
                     stats.testInfo.name.c_str());
        MPI_Abort(MPI_COMM_WORLD, EXIT_FAILURE);
    }
};
CATCH_REGISTER_LISTENER(meet_after_each_case)

}  // namespace

int main(int argc, char** argv) {
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank_here);
    if (rank_here != 0) keep_output_back();
    const int failed_here = Catch::Session().run(argc, argv) != 0 ? 1 : 0;
    if (failed_here) show_output();
    int failed_anywhere = 0;
    MPI_Allreduce(&failed_here, &failed_anywhere, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
    MPI_Finalize();
    return failed_anywhere;
}
