#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "locmoe/core/error.hpp"
#include "locmoe/core/ids.hpp"
#include "locmoe/exec/backend.hpp"
#include "locmoe/exec/verify_agreement.hpp"
#include "locmoe/plan/flow.hpp"
#include "locmoe/plan/message.hpp"

namespace locmoe::inline v0::detail {

/// A number for each message that this rank sends in the flows, less one for each that it expects:
/// over all ranks the sum is 0, modulo 2^64, where every message meets a receive of as many rows,
/// and most likely is not where one does not. Costs about 4 ns a message.
inline std::uint64_t count_balance(std::span<const flow* const> flows, rank_id rank) {
    std::uint64_t sum = 0;
    std::uint64_t place = 0;  // of the phase among those of all flows
    const auto number = [&](rank_id from, rank_id to, row_index rows) {
        return fingerprint()
            .add((place << 48) ^ (static_cast<std::uint64_t>(from) << 24) ^
                 static_cast<std::uint64_t>(to))
            .add(static_cast<std::uint64_t>(rows))
            .value();
    };
    for (const flow* moved : flows)
        for (const phase& p : moved->phases) {
            for (const segment& s : p.sends) sum += number(rank, s.peer, s.rows);
            for (const segment& s : p.receives) sum -= number(s.peer, rank, s.rows);
            ++place;
        }
    return sum;
}

/// What all ranks' shares of the flows have alike beside their messages.
inline common_value phase_value(std::span<const flow* const> flows) {
    fingerprint windows;
    for (const flow* moved : flows) {
        for (const phase& p : moved->phases) windows.add(p.window.messages == 0 ? 0 : 1);
        windows.add(moved->phases.size());
    }
    return {"number of phases, or window in a phase,", windows.value()};
}

/// Throws plan_error with the same words on all ranks, which name the first message that does not
/// meet its receive: the pair of ranks, the phase, and both counts. Collective, and dear: for when
/// `count_balance` says that there is one.
template <exchange_backend Backend>
void name_mismatch(Backend& backend, std::string_view caller, const flow& moved) {
    std::vector<message> sent(backend.rank_count());  // to each rank: phase, rows, ..
    for (std::size_t r = 0; r < sent.size(); ++r) sent[r].peer = static_cast<rank_id>(r);
    for (std::size_t p = 0; p < moved.phases.size(); ++p)
        for (const segment& s : moved.phases[p].sends) {
            auto& words = sent[static_cast<std::size_t>(s.peer)].words;
            words.push_back(static_cast<std::int64_t>(p));
            words.push_back(s.rows);
        }
    std::erase_if(sent, [](const message& m) { return m.words.empty(); });
    const std::vector<message> received = backend.exchange_messages(std::move(sent));
    const std::size_t ranks = backend.rank_count();
    std::vector<row_index> coming(moved.phases.size() * ranks, 0);  // [phases, ranks]
    std::vector<row_index> expected(coming.size(), 0);
    std::string text;
    for (std::size_t p = 0; p < moved.phases.size(); ++p)
        for (const segment& s : moved.phases[p].receives)
            expected[p * ranks + static_cast<std::size_t>(s.peer)] += s.rows;
    for (const message& m : received)
        for (std::size_t i = 0; i + 1 < m.words.size(); i += 2)
            coming[static_cast<std::size_t>(m.words[i]) * ranks +
                   static_cast<std::size_t>(m.peer)] += m.words[i + 1];
    for (std::size_t p = 0; p < moved.phases.size() && text.empty(); ++p)
        for (std::size_t r = 0; r < ranks && text.empty(); ++r)
            if (coming[p * ranks + r] != expected[p * ranks + r])
                text = concat("locmoe: ", caller, ": phase ", p, " (", moved.phases[p].name,
                              "): rank ", backend.rank(), " expected ", expected[p * ranks + r],
                              " rows from rank ", r, ", which sends ", coming[p * ranks + r]);
    text = first_text(backend, text);
    if (!text.empty()) throw plan_error(text);
}

}  // namespace locmoe::detail
