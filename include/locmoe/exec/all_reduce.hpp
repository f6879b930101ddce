#pragma once

#include <concepts>
#include <cstddef>
#include <span>
#include <vector>

#include "locmoe/core/ids.hpp"
#include "locmoe/exec/backend.hpp"
#include "locmoe/exec/verify_agreement.hpp"

namespace locmoe::inline v0 {

/// Replaces `values` by their sums over all ranks, for gradients. Each rank adds up its share in
/// ascending order of ranks and sends the sums round, so that every backend and every run gives the
/// same bits; a transport's own reduction (MPI_Allreduce) promises no order.
/// Moves 2 (P - 1) / P of the bytes of `values` off each rank, which is the least possible, and
/// holds (P - 1) / P of them beside it. Throws plan_error on every rank where the ranks pass
/// different lengths.
template <exchange_backend Backend, std::floating_point Real>
void all_reduce_sum(Backend& backend, std::span<Real> values) {
    const std::size_t ranks = static_cast<std::size_t>(backend.rank_count());
    const rank_id self = backend.rank();
    const auto me = static_cast<std::size_t>(self);
    verify_agreement(backend, "all_reduce_sum",
                     {{"number of values", values.size(), true},
                      {"width of values in bytes", sizeof(Real), true}});

    const auto first = [&](std::size_t r) { return values.size() * r / ranks; };
    const auto share = [&](std::size_t r) {
        return values.subspan(first(r), first(r + 1) - first(r));
    };
    const std::span<Real> mine = share(me);
    std::vector<Real> others((ranks - 1) * mine.size());
    std::vector<send_block> sends;
    std::vector<receive_block> receives;
    const auto move_blocks = [&] {
        auto under_way = backend.start(sends, receives);
        backend.wait(under_way);
        sends.clear();
        receives.clear();
    };
    const auto send = [&](std::size_t to, std::span<const Real> part) {
        const auto bytes = std::as_bytes(part);
        if (!part.empty()) sends.push_back({static_cast<rank_id>(to), bytes.data(), bytes.size()});
    };
    const auto receive = [&](std::size_t from, std::span<Real> part) {
        const auto bytes = std::as_writable_bytes(part);
        if (!part.empty())
            receives.push_back({static_cast<rank_id>(from), bytes.data(), bytes.size()});
    };
    const auto share_from = [&](std::size_t r) {
        return std::span(others).subspan((r < me ? r : r - 1) * mine.size(), mine.size());
    };

    for (std::size_t r = 0; r < ranks; ++r) {
        if (r == me) continue;
        send(r, share(r));
        receive(r, share_from(r));
    }
    move_blocks();
    for (std::size_t i = 0; i < mine.size(); ++i) {
        Real sum = me == 0 ? mine[i] : share_from(0)[i];
        for (std::size_t r = 1; r < ranks; ++r)
            sum += r == me ? mine[i] : share_from(r)[i];
        mine[i] = sum;
    }
    for (std::size_t r = 0; r < ranks; ++r) {
        if (r == me) continue;
        send(r, mine);
        receive(r, share(r));
    }
    move_blocks();
}

}  // namespace locmoe
