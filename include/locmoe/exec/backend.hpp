#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "locmoe/core/error.hpp"
#include "locmoe/core/ids.hpp"
#include "locmoe/plan/message.hpp"

namespace locmoe::inline v0 {

/// Bytes to one rank. They stay untouched until the transfer has been waited for.
struct send_block {
    rank_id to = 0;                   ///< another rank, 0 to P - 1
    const std::byte* data = nullptr;  ///< not null
    std::size_t bytes = 0;            ///< at least 1
};

/// Bytes from one rank, whose number the plan knows beforehand.
struct receive_block {
    rank_id from = 0;           ///< another rank, 0 to P - 1
    std::byte* data = nullptr;  ///< not null; holds what was sent once the transfer is over
    std::size_t bytes = 0;      ///< at least 1, as many as are sent
};

/// Per-expert counts of all ranks: of the lower ranks together, and of all.
struct count_scan {
    std::vector<std::int64_t> before;  ///< [n]: 0 on rank 0
    std::vector<std::int64_t> total;   ///< [n]: the same on all ranks
};

/// Moves bytes between the ranks of one job. All but `abandon` are called by every rank in the same
/// order.
///
/// - `start` posts all blocks of one phase and returns at once; `wait` ends when all have arrived
///   and all have left. At most one block in each direction per pair of ranks and transfer, none to
///   the own rank, none empty. Several transfers may be under way; they match in the order of
///   starting and are waited for in that order. Receives that are `paced` are posted in their
///   order, at most `window` at a time: the first at once, the next by `wait` when one has arrived.
///   All sends are posted at once, so no order of receives can leave two ranks waiting for each
///   other. A window is 0 on all ranks or on none; with 0, all receives are posted at once. A block
///   of another size than its receiver expects is a backend_error there; so the sizes must agree
///   before, as the executor proves.
/// - `exchange_messages` delivers messages whose receivers do not know of them; what comes back is
///   sorted by sender. A rank may send none and get none, and may send itself one.
/// - `scan_counts` sums arrays over the ranks, exactly. Where their lengths differ it throws
///   argument_error on every rank.
/// - `agree` takes "" from a rank where all is well, else what went wrong there, and a number. It
///   returns the sum of all ranks' numbers, modulo 2^64, where all ranks are well; otherwise it
///   throws backend_error on every rank, with the words of the lowest failing rank and its number.
/// - `abandon` is for one rank that cannot go on in the middle of something: with its words it ends
///   all that any rank has under way or begins later, with backend_error. The first cause stays.
///
/// A rank that another one has waited for beyond the backend's deadline ends everything in the same
/// way, with words that name it. Whatever was being received is then undefined.
///
/// It asks for no collective of the transport's, no shared memory and no threads.
template <class Backend>
concept exchange_backend =
    requires(Backend& backend, const Backend& fixed, std::span<const send_block> sends,
             std::span<const receive_block> receives, std::size_t window,
             typename Backend::transfer& transfer,
             std::vector<message> messages, std::span<const std::int64_t> counts,
             std::string_view failure, std::uint64_t number) {
        { fixed.rank() } -> std::convertible_to<rank_id>;
        { fixed.rank_count() } -> std::convertible_to<std::size_t>;
        { backend.start(sends, receives) } -> std::same_as<typename Backend::transfer>;
        {
            backend.start(sends, receives, receives, window)
        } -> std::same_as<typename Backend::transfer>;
        { backend.wait(transfer) } -> std::same_as<void>;
        { backend.exchange_messages(std::move(messages)) } -> std::same_as<std::vector<message>>;
        { backend.scan_counts(counts) } -> std::same_as<count_scan>;
        { backend.agree(failure) } -> std::same_as<std::uint64_t>;
        { backend.agree(failure, number) } -> std::same_as<std::uint64_t>;
        { backend.abandon(failure) } -> std::same_as<void>;
    };

namespace detail {

/// What every backend asks of the blocks given to `start`. Throws argument_error, naming `rank`.
inline void check_blocks(rank_id rank, std::size_t ranks, std::span<const send_block> sends,
                         std::span<const receive_block> receives) {
    const auto check = [&](const char* kind, std::size_t i, rank_id peer, const std::byte* data,
                           std::size_t bytes) {
        if (peer < 0 || static_cast<std::size_t>(peer) >= ranks || peer == rank)
            throw_argument("start", concat(kind, " ", i),
                           concat("another rank, 0 to P - 1 with P = ", ranks), concat(peer), rank);
        if (bytes == 0 || data == nullptr)
            throw_argument("start", concat(kind, " ", i), "at least one byte",
                           bytes == 0 ? "none" : "no memory", rank);
    };
    for (std::size_t i = 0; i < sends.size(); ++i)
        check("send block", i, sends[i].to, sends[i].data, sends[i].bytes);
    for (std::size_t i = 0; i < receives.size(); ++i)
        check("receive block", i, receives[i].from, receives[i].data, receives[i].bytes);
}

/// What every backend asks of the messages given to `exchange_messages`.
inline void check_messages(rank_id rank, std::size_t ranks, std::span<const message> messages) {
    for (const message& m : messages)
        if (m.peer < 0 || static_cast<std::size_t>(m.peer) >= ranks)
            throw_argument("exchange_messages", "peer", concat("0 to P - 1 with P = ", ranks),
                           concat(m.peer), rank);
}

}  // namespace detail
}  // namespace locmoe
