#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "locmoe/core/detail/heap.hpp"
#include "locmoe/core/error.hpp"
#include "locmoe/core/matrix_view.hpp"
#include "locmoe/plan/message_order.hpp"

namespace locmoe::inline v0 {

namespace detail {

/// Nodes as machines that send to one, and take from one, at a time, a row in a unit of time.
class open_shop {
  public:
    explicit open_shop(matrix_view<const std::int64_t> rows)
        : rows_(rows), nodes_(rows.rows), to_send_(nodes_, 0), to_take_(nodes_, 0) {
        taking_.assign(nodes_, 0);
        done_.assign(nodes_ * nodes_, 0);
        for (std::size_t s = 0; s < nodes_; ++s)
            for (std::size_t r = 0; r < nodes_; ++r) {
                done_[s * nodes_ + r] = s == r || rows(s, r) == 0;
                if (s == r) continue;
                to_send_[s] += rows(s, r);
                to_take_[r] += rows(s, r);
            }
    }

    /// Each pair (sender, receiver) that has rows, by the time at which it begins.
    std::vector<std::pair<std::size_t, std::size_t>> run() {
        std::vector<std::size_t> senders, receivers;  // that have just become free
        for (std::size_t n = 0; n < nodes_; ++n) {
            senders.push_back(n);
            receivers.push_back(n);
        }
        match(0, senders, receivers);
        while (!ends_.empty()) {
            const std::int64_t now = ends_.top().time;
            senders.clear();
            receivers.clear();
            for (; !ends_.empty() && ends_.top().time == now; ends_.pop()) {
                senders.push_back(ends_.top().sender);
                receivers.push_back(ends_.top().receiver);
            }
            match(now, senders, receivers);
        }
        return std::move(begun_);
    }

  private:
    struct end {
        std::int64_t time;
        std::size_t sender, receiver;
        bool operator<(const end& other) const {  // the top of a queue is the least
            return time != other.time ? time > other.time : sender > other.sender;
        }
    };

    /// Machines that are free, the one with the most left first. What is left of a machine does not
    /// change while it is free.
    struct free_list {
        const std::vector<std::int64_t>& left;
        std::vector<std::size_t> machines = {};

        void add(std::size_t machine) {
            if (left[machine] == 0) return;
            const auto more = [&](std::size_t a, std::size_t b) {
                return left[a] != left[b] ? left[a] > left[b] : a < b;
            };
            auto place = machines.end();
            while (place != machines.begin() && more(machine, *(place - 1))) --place;
            machines.insert(place, machine);
        }

        /// The first that `may` be taken; of several with as much left, that with the least
        /// `distance`. `none` where there is none.
        template <class May, class Distance>
        std::size_t best(May may, Distance distance) const {
            std::size_t found = none;
            for (const std::size_t m : machines) {
                if (found != none && left[m] < left[found]) break;
                if (may(m) && (found == none || distance(m) < distance(found))) found = m;
            }
            return found;
        }

        void take(std::size_t machine) { std::erase(machines, machine); }
    };

    static constexpr std::size_t none = static_cast<std::size_t>(-1);

    /// New senders first, the one with the most left first; then what is left of new receivers.
    /// Others that are free have nothing for one another. Of partners alike it takes the next one
    /// round, so that equal rows give the rotated order.
    void match(std::int64_t now, const std::vector<std::size_t>& senders,
               const std::vector<std::size_t>& receivers) {
        free_list ready{to_send_};
        for (const std::size_t s : senders) ready.add(s);
        for (const std::size_t r : receivers) {
            taking_[r] = 0;
            free_receivers_.add(r);
        }
        for (const std::size_t s : ready.machines) {
            const std::size_t r = free_receivers_.best(
                [&](std::size_t m) { return !done_[s * nodes_ + m]; },
                [&](std::size_t m) { return m > s ? m - s : m + nodes_ - s; });
            if (r == none)
                free_senders_.add(s);
            else
                begin(now, s, r);
        }
        free_list left_over{to_take_};
        for (const std::size_t r : receivers)
            if (!taking_[r]) left_over.add(r);
        for (const std::size_t r : left_over.machines) {
            const std::size_t s = free_senders_.best(
                [&](std::size_t m) { return !done_[m * nodes_ + r]; },
                [&](std::size_t m) { return m < r ? r - m : r + nodes_ - m; });
            if (s != none) {
                free_senders_.take(s);
                begin(now, s, r);
            }
        }
    }

    void begin(std::int64_t now, std::size_t s, std::size_t r) {
        free_receivers_.take(r);
        taking_[r] = 1;
        done_[s * nodes_ + r] = 1;
        to_send_[s] -= rows_(s, r);
        to_take_[r] -= rows_(s, r);
        begun_.emplace_back(s, r);
        ends_.push({now + rows_(s, r), s, r});
    }

    matrix_view<const std::int64_t> rows_;
    std::size_t nodes_;
    std::vector<std::int64_t> to_send_;  // by node, what has not begun
    std::vector<std::int64_t> to_take_;
    std::vector<char> done_;             // [N, N]: begun, or nothing to do
    std::vector<char> taking_;           // [N]: the receiver is not free
    free_list free_senders_{to_send_};
    free_list free_receivers_{to_take_};
    heap<end> ends_;
    std::vector<std::pair<std::size_t, std::size_t>> begun_;
};

}  // namespace detail

/// Greedy open-shop orders, one for each node: when a sender or a receiver frees up, it is matched
/// with the free partner that has the most left. `rows`: [N, N], how many go from node to node;
/// the diagonal does not count. Pairs without rows come last, rotated. The same rows give the same
/// orders, on every rank. O(N^2 log N) for rows that differ, O(N^3) where all end together.
/// Throws argument_error for a matrix that is not square or has a negative number.
inline std::vector<message_order> open_shop_orders(matrix_view<const std::int64_t> rows,
                                                   std::size_t window = 0) {
    using detail::concat;
    const std::size_t nodes = rows.rows;
    if (rows.cols != nodes)
        detail::throw_argument("open_shop_orders", "rows", "as many columns as rows",
                               concat("[", nodes, ", ", rows.cols, "]"));
    for (std::size_t s = 0; s < nodes; ++s)
        for (std::size_t r = 0; r < nodes; ++r)
            if (rows(s, r) < 0)
                detail::throw_argument("open_shop_orders", concat("rows from ", s, " to ", r),
                                       "0 or more", concat(rows(s, r)));
    std::vector<message_order> orders(nodes, {"open-shop", {}, {}, window});
    const auto meet = [&](std::size_t sender, std::size_t receiver) {
        orders[sender].to.push_back(static_cast<node_id>(receiver));
        orders[receiver].from.push_back(static_cast<node_id>(sender));
    };
    for (const auto& [sender, receiver] : detail::open_shop(rows).run()) meet(sender, receiver);
    for (std::size_t distance = 1; distance < nodes; ++distance)
        for (std::size_t s = 0; s < nodes; ++s) {
            const std::size_t r = (s + distance) % nodes;
            if (rows(s, r) == 0) meet(s, r);
        }
    return orders;
}

}  // namespace locmoe
