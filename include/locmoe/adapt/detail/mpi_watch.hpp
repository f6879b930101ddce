#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "locmoe/adapt/detail/check_mpi.hpp"  // with mpi.h
#include "locmoe/core/error.hpp"
#include "locmoe/exec/detail/kept_memory.hpp"
#include "locmoe/exec/verify_agreement.hpp"

namespace locmoe::inline v0::detail {

/// Waits for other ranks, but never beyond a deadline, nor in a job that was given up. MPI itself
/// has no such notion: a rank that is gone hangs those that wait for it, and which one it was
/// nobody says.
///
/// When a deadline has passed, a roll is called: whoever hears of it while it waits says that it is
/// here, and the lowest of those that are tells all what then is the cause for everyone. A rank
/// that comes later finds these words before it can wait for long.
class mpi_watch {
  public:
    /// `tag` is for this alone. `comm` outlives it.
    mpi_watch(MPI_Comm comm, int tag, std::optional<std::chrono::milliseconds> deadline)
        : comm_(comm), tag_(tag), deadline_(deadline) {
        check_mpi(MPI_Comm_rank(comm, &rank_), "MPI_Comm_rank");
        check_mpi(MPI_Comm_size(comm, &ranks_), "MPI_Comm_size");
    }

    void enter(const char* operation) const {
        if (!cause_.empty())
            throw backend_error(operation, 0, concat("of no use any more: ", cause_));
    }

    /// Throws where another rank has given up already.
    void heed(const char* operation) {
        while (hear())
            if (!cause_.empty()) throw backend_error(operation, 0, cause_);
    }

    /// Returns once `done()` is true. Throws backend_error on all ranks where that takes too long.
    template <class Done>
    void until(const char* operation, Done&& done) {
        if (done()) return;
        const auto since = clock::now();
        for (unsigned polls = 1;; ++polls) {
            if (done()) return;
            if (polls < polls_at_once) continue;
            std::this_thread::yield();  // ranks may outnumber cores
            if (polls % polls_at_once != 0) continue;
            heed(operation);
            const bool late = deadline_ && clock::now() - since >= *deadline_;
            if (late || !here_.empty()) call_roll(operation);
        }
    }

    void wait(const char* operation, MPI_Request& request, MPI_Status* status) {
        int code = MPI_SUCCESS;
        until(operation, [&] {
            int done = 0;
            code = MPI_Test(&request, &done, status);
            return done != 0 || code != MPI_SUCCESS;
        });
        check_mpi(code, "MPI_Test");
    }

    /// All ranks are told, and from then on throw these words. The first cause stays.
    void give_up(std::string cause) {
        if (!cause_.empty()) return;
        cause_ = std::move(cause);
        tell_all(verdict, cause_);
    }

    bool given_up() const { return !cause_.empty(); }

  private:
    using clock = std::chrono::steady_clock;
    static constexpr unsigned polls_at_once = 64;
    static constexpr auto patience = std::chrono::seconds(1);  // for an answer of a rank that waits
    static constexpr char verdict = 'v';
    static constexpr char here = 'h';

    /// To all other ranks. Small messages leave by themselves; their memory stays in any case.
    void tell_all(char kind, std::string_view text) {
        std::vector<char> words{kind};
        words.insert(words.end(), text.begin(), text.end());
        const char* const data = words.data();
        const int length = static_cast<int>(words.size());
        keep_memory(std::move(words));
        for (int r = 0; r < ranks_; ++r) {
            if (r == rank_) continue;
            MPI_Request request = MPI_REQUEST_NULL;
            if (MPI_Isend(data, length, MPI_CHAR, r, tag_, comm_, &request) == MPI_SUCCESS)
                MPI_Request_free(&request);
        }
    }

    /// Takes in what another rank has told, if anything.
    bool hear() {
        int there = 0;
        MPI_Status status;
        check_mpi(MPI_Iprobe(MPI_ANY_SOURCE, tag_, comm_, &there, &status), "MPI_Iprobe");
        if (!there) return false;
        int length = 0;
        check_mpi(MPI_Get_count(&status, MPI_CHAR, &length), "MPI_Get_count");
        std::string text(static_cast<std::size_t>(length), ' ');
        check_mpi(MPI_Recv(text.data(), length, MPI_CHAR, status.MPI_SOURCE, tag_, comm_,
                           MPI_STATUS_IGNORE),
                  "MPI_Recv");
        if (text[0] == verdict && cause_.empty()) cause_ = text.substr(1);
        if (text[0] == here) {
            here_.resize(static_cast<std::size_t>(ranks_));
            here_[static_cast<std::size_t>(status.MPI_SOURCE)] = text.substr(1);
        }
        return true;
    }

    [[noreturn]] void call_roll(const char* operation) {
        here_.resize(static_cast<std::size_t>(ranks_));
        here_[static_cast<std::size_t>(rank_)] = operation;
        tell_all(here, operation);
        const auto listen = [&](auto&& enough) {
            const auto end = clock::now() + patience;
            while (cause_.empty() && !enough() && clock::now() < end)
                if (!hear()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
        };
        listen([&] { return missing().empty(); });
        std::size_t lowest = 0;
        while (here_[lowest].empty()) ++lowest;
        if (lowest != static_cast<std::size_t>(rank_)) listen([] { return false; });
        give_up(roll());
        throw backend_error(operation, 0, cause_);
    }

    std::vector<std::size_t> missing() const {
        std::vector<std::size_t> ranks;
        for (std::size_t r = 0; r < here_.size(); ++r)
            if (here_[r].empty()) ranks.push_back(r);
        return ranks;
    }

    std::string roll() const {
        const std::vector<std::size_t> absent = missing();
        const auto rank = static_cast<std::size_t>(rank_);
        const std::string limit =
            deadline_ ? concat(deadline_->count(), " ms") : std::string("another rank's deadline");
        if (!absent.empty())
            return concat(ranks_text(absent), " did not come within ", limit, " (to ", here_[rank],
                          " of rank ", rank, ")");
        std::string text = concat("no rank went on within ", limit, ":");
        for (std::size_t r = 0; r < here_.size() && r < 8; ++r)
            text += concat(r == 0 ? " " : ", ", "rank ", r, " waits in ", here_[r]);
        return text;
    }

    MPI_Comm comm_;
    int tag_;
    int rank_ = 0;
    int ranks_ = 0;
    std::optional<std::chrono::milliseconds> deadline_;
    std::string cause_;              // why the job was given up
    std::vector<std::string> here_;  // [P], once a roll is called: what each rank waits in
};

}  // namespace locmoe::detail
