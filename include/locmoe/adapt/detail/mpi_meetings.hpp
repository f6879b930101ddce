#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "locmoe/adapt/detail/mpi_watch.hpp"
#include "locmoe/adapt/detail/mpi_words.hpp"
#include "locmoe/adapt/detail/own_communicator.hpp"  // with mpi.h
#include "locmoe/core/error.hpp"
#include "locmoe/core/ids.hpp"
#include "locmoe/exec/backend.hpp"

namespace locmoe::inline v0::detail {

/// The small collectives of a backend. Ranks meet in pairs, log2 P times, and tell each other what
/// they know by then: each ends with what all of them said. Where P is no power of two, some ranks
/// first tell all to the one below, and hear the result from it. Messages have the length that
/// their sender gave them, so ranks that do not agree on it find out.
class mpi_meetings {
  public:
    /// `tag` is for this alone. `comm` and `watch` outlive it.
    mpi_meetings(const own_communicator& comm, mpi_watch& watch, int tag)
        : comm_(comm), watch_(watch), tag_(tag) {}

    /// None where not all ranks have as many counts.
    std::optional<count_scan> scan(std::span<const std::int64_t> counts) {
        const std::size_t length = counts.size();
        count_scan sums{std::vector<std::int64_t>(length, 0), {counts.begin(), counts.end()}};
        bool equal = true;  // all lengths so far
        const auto add = [](std::vector<std::int64_t>& to, std::span<const std::int64_t> more) {
            for (std::size_t i = 0; i < more.size(); ++i) to[i] += more[i];
        };
        butterfly(
            "scan_counts",
            [&](bool result) {
                std::vector<std::int64_t> words{equal ? 1 : 0};
                if (result) {  // for the next rank, whose counts are in the total already
                    words.insert(words.end(), sums.before.begin(), sums.before.end());
                    for (std::size_t i = 0; i < length; ++i) words[1 + i] += counts[i];
                }
                words.insert(words.end(), sums.total.begin(), sums.total.end());
                return words;
            },
            [&](std::span<const std::int64_t> words, from_whom from) {
                const bool result = from == from_whom::merged;
                equal = equal && words[0] != 0 &&
                        words.size() == 1 + (result ? 2 * length : length);
                if (!equal) return;
                words = words.subspan(1);
                if (result) {
                    sums.before.assign(words.begin(), words.begin() + std::ptrdiff_t(length));
                    sums.total.assign(words.begin() + std::ptrdiff_t(length), words.end());
                    return;
                }
                if (from == from_whom::lower) add(sums.before, words);
                add(sums.total, words);
            });
        if (!equal) return std::nullopt;
        return sums;
    }

    /// The sum of all numbers. Throws on all ranks where one has a failure, with the words of the
    /// lowest that has.
    std::uint64_t agree(std::string_view failure, std::uint64_t number) {
        std::int64_t lowest = failure.empty() ? comm_.rank_count() : comm_.rank();
        butterfly(
            "agree",
            [&](bool) {
                return std::vector<std::int64_t>{lowest, static_cast<std::int64_t>(number)};
            },
            [&](std::span<const std::int64_t> words, from_whom from) {
                if (words[0] < lowest) lowest = words[0];
                number = static_cast<std::uint64_t>(words[1]) +
                         (from == from_whom::merged ? 0 : number);
            });
        if (lowest == comm_.rank_count()) return number;
        const auto culprit = static_cast<rank_id>(lowest);
        message words{culprit, {failure.begin(), failure.end()}};
        if (culprit == comm_.rank()) {
            std::vector<words_under_way> sends;
            for (int r = 0; r < comm_.rank_count(); ++r)
                if (r != comm_.rank()) send(r, sends.emplace_back(words.words));
            for (words_under_way& s : sends) watch_.wait("agree", s.request, MPI_STATUS_IGNORE);
        } else {
            watch_.until("agree", [&] { return receive("agree", culprit, words); });
        }
        throw backend_error("agree", 0,
                            concat("rank ", lowest, ": ",
                                   std::string(words.words.begin(), words.words.end())));
    }

  private:
    enum class from_whom { lower, higher, merged };

    /// `tell(result)` makes the words, `hear(words, from_whom)` takes them.
    template <class Tell, class Hear>
    void butterfly(const char* operation, Tell&& tell, Hear&& hear) {
        watch_.enter(operation);
        const int own = comm_.rank();
        int meeting = 1;  // ranks that meet: a power of two
        while (meeting * 2 <= comm_.rank_count()) meeting *= 2;
        const int merged = comm_.rank_count() - meeting;  // pairs of which one does so for both
        const auto tell_to = [&](int rank, bool result) {
            words_under_way said(tell(result));
            said.words.insert(said.words.begin(), operation[0]);
            send(rank, said);
            return said;
        };
        message heard;
        const auto hear_from = [&](int rank, from_whom as) {
            watch_.until(operation, [&] { return receive(operation, rank, heard); });
            if (heard.words.empty() || heard.words[0] != operation[0]) {
                watch_.give_up(concat("rank ", own, " entered ", operation, " where rank ", rank,
                                      " entered something else"));
                watch_.enter(operation);
            }
            hear(std::span<const std::int64_t>(heard.words).subspan(1), as);
        };
        const auto end = [&](words_under_way& said) {
            watch_.wait(operation, said.request, MPI_STATUS_IGNORE);
        };
        if (own < 2 * merged && own % 2 == 1) {
            words_under_way said = tell_to(own - 1, false);
            hear_from(own - 1, from_whom::merged);
            return end(said);
        }
        if (own < 2 * merged) hear_from(own + 1, from_whom::higher);
        const int place = own < 2 * merged ? own / 2 : own - merged;
        for (int apart = 1; apart < meeting; apart *= 2) {
            const int other = place ^ apart;
            const int rank = other < merged ? 2 * other : other + merged;
            words_under_way said = tell_to(rank, false);
            hear_from(rank, rank < own ? from_whom::lower : from_whom::higher);
            end(said);
        }
        if (own < 2 * merged) {
            words_under_way said = tell_to(own + 1, true);
            end(said);
        }
    }

    void send(int to, words_under_way& what) {
        const int words = mpi_count(what.words.size(), "mpi_backend", "words");
        check_mpi(MPI_Isend(what.words.data(), words, MPI_INT64_T, to, tag_, comm_.get(),
                            &what.request),
                  "MPI_Isend");
    }
    bool receive(const char* operation, int from, message& received) {
        return receive_words(watch_, comm_.get(), operation, from, tag_, received);
    }

    const own_communicator& comm_;
    mpi_watch& watch_;
    int tag_;
};

}  // namespace locmoe::detail
