#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "locmoe/core/error.hpp"
#include "locmoe/exec/backend.hpp"

/// What every exchange_backend keeps, checked from inside the job: each rank calls each law, in the
/// same order. All ranks draw the same random pattern, so that each knows what must arrive. A
/// broken law throws, since Catch2's assertions may not be used from several threads.
namespace backend_laws {

inline void expect(bool holds, std::string_view law, locmoe::rank_id rank) {
    if (!holds)
        throw std::runtime_error(locmoe::detail::concat("rank ", rank, ": law broken: ", law));
}

using random_numbers = std::mt19937;

inline std::size_t draw(random_numbers& random, std::size_t below) {
    return static_cast<std::size_t>(random()) % below;
}

/// Some number that depends on all four; the same on every rank.
inline std::uint32_t mixed(std::size_t a, std::size_t b, std::size_t c, std::size_t d) {
    std::uint64_t h = 0x9e3779b97f4a7c15u;
    for (const std::size_t part : {a, b, c, d})
        h = (h ^ part) * 0xff51afd7ed558ccdu + (h >> 29);
    return static_cast<std::uint32_t>(h >> 32);
}

/// `[P, P]`: how many bytes each rank sends to each other one; `density` of 8 pairs talk.
inline std::vector<std::size_t> random_pattern(random_numbers& random, std::size_t ranks,
                                               std::size_t density, std::size_t largest) {
    std::vector<std::size_t> bytes(ranks * ranks, 0);
    for (std::size_t from = 0; from < ranks; ++from)
        for (std::size_t to = 0; to < ranks; ++to) {
            const bool talks = draw(random, 8) < density;
            const std::size_t size = 1 + draw(random, largest);
            if (talks && from != to) bytes[from * ranks + to] = size;
        }
    return bytes;
}

/// One rank's buffers of one random transfer. With a window, its receives are paced but for those
/// of every third rank, and all of its blocks are in an order that this rank draws by itself.
template <class Backend>
class random_transfer {
  public:
    random_transfer(Backend& backend, std::vector<std::size_t> pattern, std::size_t number,
                    std::size_t window = 0)
        : backend_(backend),
          pattern_(std::move(pattern)),
          number_(number),
          window_(window),
          under_way_(post()) {}

    void finish() {
        backend_.wait(under_way_);
        const std::size_t ranks = backend_.rank_count();
        const auto me = static_cast<std::size_t>(backend_.rank());
        for (std::size_t from = 0; from < ranks; ++from)
            for (std::size_t i = 0; i < pattern_[from * ranks + me]; ++i)
                expect(in_[from][i] == byte(from, me, i), "what was sent arrives", backend_.rank());
    }

  private:
    std::byte byte(std::size_t from, std::size_t to, std::size_t i) const {
        return static_cast<std::byte>(mixed(number_, from, to, i));
    }

    typename Backend::transfer post() {
        const std::size_t ranks = backend_.rank_count();
        const auto me = static_cast<std::size_t>(backend_.rank());
        out_.resize(ranks);
        in_.resize(ranks);
        std::vector<locmoe::send_block> sends;
        std::vector<locmoe::receive_block> receives;
        std::vector<locmoe::receive_block> paced;
        for (std::size_t other = 0; other < ranks; ++other) {
            const auto peer = static_cast<locmoe::rank_id>(other);
            out_[other].resize(pattern_[me * ranks + other]);
            for (std::size_t i = 0; i < out_[other].size(); ++i)
                out_[other][i] = byte(me, other, i);
            in_[other].resize(pattern_[other * ranks + me]);
            if (!out_[other].empty())
                sends.push_back({peer, out_[other].data(), out_[other].size()});
            if (!in_[other].empty())
                (window_ > 0 && other % 3 != 2 ? paced : receives)
                    .push_back({peer, in_[other].data(), in_[other].size()});
        }
        if (window_ == 0) return backend_.start(sends, receives);
        random_numbers own(mixed(number_, me, 7, 7));
        const auto shuffle = [&](auto& blocks) {
            for (auto& block : blocks) std::swap(block, blocks[draw(own, blocks.size())]);
        };
        shuffle(sends);
        shuffle(receives);
        shuffle(paced);
        return backend_.start(sends, receives, paced, window_);
    }

    Backend& backend_;
    std::vector<std::size_t> pattern_;
    std::size_t number_;
    std::size_t window_;
    std::vector<std::vector<std::byte>> out_;
    std::vector<std::vector<std::byte>> in_;
    typename Backend::transfer under_way_;
};

/// Random sparse transfers, down to none at all, several under way, arrive as they were sent.
template <class Backend>
void transfers_arrive(Backend& backend, unsigned seed) {
    random_numbers random(seed);
    std::size_t number = 0;
    for (std::size_t round = 0; round < 30; ++round) {
        std::vector<random_transfer<Backend>> flights;
        flights.reserve(4);
        const std::size_t several = 1 + draw(random, 4);
        const std::size_t density = draw(random, 9);
        const std::size_t largest = round % 10 == 9 ? 200'000 : 3'000;
        for (std::size_t f = 0; f < several; ++f)
            flights.emplace_back(
                backend, random_pattern(random, backend.rank_count(), density, largest), number++);
        for (auto& flight : flights)
            flight.finish();
    }
}

/// Any window and any order of any rank: nothing is mixed up, and nobody waits for ever. Transfers
/// with a window and without are under way together; large and small blocks too.
template <class Backend>
void windows_let_all_arrive(Backend& backend, unsigned seed) {
    random_numbers random(seed);
    std::size_t number = 1'000;
    for (std::size_t round = 0; round < 40; ++round) {
        std::vector<random_transfer<Backend>> flights;
        flights.reserve(3);
        const std::size_t several = 1 + draw(random, 3);
        const std::size_t density = 4 + draw(random, 5);
        const std::size_t largest = round % 4 == 3 ? 200'000 : 3'000;
        for (std::size_t f = 0; f < several; ++f) {
            const std::size_t window = draw(random, 4);
            flights.emplace_back(
                backend, random_pattern(random, backend.rank_count(), density, largest), number++,
                window);
        }
        for (auto& flight : flights) flight.finish();
    }
}

/// Sparse messages, exchanged back to back, come once each, with their words, sorted by sender.
template <class Backend>
void messages_arrive(Backend& backend, unsigned seed) {
    random_numbers random(seed);
    const std::size_t ranks = backend.rank_count();
    const auto me = static_cast<std::size_t>(backend.rank());
    for (std::size_t round = 0; round < 100; ++round) {
        const std::size_t density = draw(random, 9);
        std::vector<locmoe::message> messages;
        std::vector<locmoe::message> expected;
        for (std::size_t from = 0; from < ranks; ++from)
            for (std::size_t to = 0; to < ranks; ++to) {  // to itself too
                const bool talks = draw(random, 8) < density;
                std::vector<std::int64_t> words(draw(random, 20) * draw(random, 20));
                for (std::size_t i = 0; i < words.size(); ++i)
                    words[i] = mixed(round, from, to, i);
                if (!talks) continue;
                if (to == me) expected.push_back({static_cast<locmoe::rank_id>(from), words});
                if (from == me) messages.push_back({static_cast<locmoe::rank_id>(to), words});
            }
        const auto got = backend.exchange_messages(std::move(messages));
        expect(got.size() == expected.size(), "each message arrives once", backend.rank());
        for (std::size_t i = 0; i < got.size(); ++i) {
            expect(got[i].peer == expected[i].peer, "messages come by sender", backend.rank());
            expect(got[i].words == expected[i].words, "a message's words arrive", backend.rank());
        }
    }
}

/// `scan_counts` is what adding up all ranks' arrays by hand gives.
template <class Backend>
void counts_add_up(Backend& backend, unsigned seed) {
    random_numbers random(seed);
    const std::size_t ranks = backend.rank_count();
    const auto me = static_cast<std::size_t>(backend.rank());
    for (std::size_t round = 0; round < 30; ++round) {
        const std::size_t length = round == 0 ? 0 : draw(random, 50);
        std::vector<std::int64_t> mine(length), before(length, 0), total(length, 0);
        for (std::size_t r = 0; r < ranks; ++r)
            for (std::size_t i = 0; i < length; ++i) {
                const std::int64_t count =
                    (std::int64_t{mixed(round, r, i, 0)} << 20) - (1LL << 50);
                if (r == me) mine[i] = count;
                if (r < me) before[i] += count;
                total[i] += count;
            }
        const locmoe::count_scan scan = backend.scan_counts(mine);
        expect(scan.before == before, "before is the sum over lower ranks", backend.rank());
        expect(scan.total == total, "total is the sum over all ranks", backend.rank());
    }
}

/// The words of the lowest failing rank reach every rank; where none fails, none throws.
template <class Backend>
void ranks_agree(Backend& backend) {
    const auto ranks = static_cast<locmoe::rank_id>(backend.rank_count());
    const locmoe::rank_id me = backend.rank();
    backend.agree("");
    for (locmoe::rank_id low = 0; low < ranks; ++low)
        for (locmoe::rank_id high = low; high < ranks; ++high) {  // one failing rank, or two
            const bool fails = me == low || me == high;
            const std::string words = locmoe::detail::concat("no room for ", me, " of mine");
            std::string told;
            try {
                backend.agree(fails ? words : std::string());
            } catch (const locmoe::backend_error& e) {
                told = e.what();
            }
            const std::string expected =
                locmoe::detail::concat("rank ", low, ": no room for ", low, " of mine");
            expect(told.find(expected) != std::string::npos, "all hear the lowest failing rank",
                   me);
            backend.agree("");
        }
}

/// Other calls may come between a transfer's start and its end, and do not mix with it.
template <class Backend>
void calls_do_not_mix(Backend& backend, unsigned seed) {
    random_numbers random(seed);
    for (std::size_t round = 0; round < 3; ++round) {
        random_transfer<Backend> first(
            backend, random_pattern(random, backend.rank_count(), 6, 100'000), 2 * round);
        messages_arrive(backend, seed + 1);
        random_transfer<Backend> second(
            backend, random_pattern(random, backend.rank_count(), 6, 100), 2 * round + 1);
        counts_add_up(backend, seed + 2);
        backend.agree("");
        first.finish();
        second.finish();
    }
}

/// What the backend says it has sent is what it was given.
template <class Backend>
void traffic_is_counted(Backend& backend, unsigned seed) {
    random_numbers random(seed);
    const std::size_t ranks = backend.rank_count();
    const auto me = static_cast<std::size_t>(backend.rank());
    std::vector<std::int64_t> bytes(ranks, 0), messages(ranks, 0);
    backend.sent().clear();
    for (std::size_t round = 0; round < 10; ++round) {
        const auto pattern = random_pattern(random, ranks, 4, 2'000);
        for (std::size_t to = 0; to < ranks; ++to) {
            bytes[to] += static_cast<std::int64_t>(pattern[me * ranks + to]);
            messages[to] += pattern[me * ranks + to] != 0;
        }
        random_transfer<Backend>(backend, pattern, round).finish();
        backend.exchange_messages({{0, {1, 2, 3}}});
    }
    for (std::size_t to = 0; to < ranks; ++to) {
        const auto peer = static_cast<locmoe::rank_id>(to);
        expect(backend.sent().bytes_to(peer) == bytes[to], "sent bytes are counted",
               backend.rank());
        expect(backend.sent().messages_to(peer) == messages[to], "sent messages are counted",
               backend.rank());
    }
}

/// All laws, one after the other.
template <class Backend>
void all(Backend& backend, unsigned seed) {
    static_assert(locmoe::exchange_backend<Backend>);
    transfers_arrive(backend, seed);
    windows_let_all_arrive(backend, seed + 5);
    messages_arrive(backend, seed + 1);
    counts_add_up(backend, seed + 2);
    ranks_agree(backend);
    calls_do_not_mix(backend, seed + 3);
    traffic_is_counted(backend, seed + 4);
}

}  // namespace backend_laws
