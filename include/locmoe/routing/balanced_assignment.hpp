#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "locmoe/core/error.hpp"
#include "locmoe/core/ids.hpp"
#include "locmoe/core/matrix_view.hpp"

namespace locmoe::inline v0 {

namespace detail {
template <class Real>
class auction;
}  // namespace detail

/// One expert for each token `[T]`, so that no two experts' loads differ by more than 1 and the sum
/// of the chosen `values` `[T, n]` is the largest possible, or less by `tolerance` times T + n
/// times their range at most. Values are finite; `tolerance` > 0.
///
/// Bertsekas' auction with falling increments: each token bids for the slot that is worth most to
/// it after its price. In whole numbers, so that every bid raises a price by at least 1: whatever
/// T, n and the values, ties and remainders included, it ends, and in the same way on every
/// platform. About T n log(1 / tolerance) steps.
template <class Real>
std::vector<expert_id> balanced_assignment(matrix_view<const Real> values, double tolerance) {
    if (!(tolerance > 0 && tolerance <= 1))
        detail::throw_argument("balanced_assignment", "tolerance", "above 0, 1 at most",
                               detail::concat(tolerance));
    if (values.rows != 0 && values.cols == 0)
        detail::throw_argument("balanced_assignment", "values", "at least one column", "none");
    if (values.rows == 0) return {};
    return detail::auction<Real>(values, tolerance).run();
}

namespace detail {

// Bidders are the T tokens, then as many dummies as fill the last slots. Goods are the experts'
// slots, in two lots an expert: floor(T / n) slots that only tokens may have, so that each expert
// gets so many, and where n does not divide T one more that a dummy may have, to whom all are worth
// the same. With as many bidders as slots, prices can be kept from one increment to the next.
template <class Real>
class auction {
  public:
    auction(matrix_view<const Real> values, double tolerance)
        : tokens_(values.rows), experts_(values.cols) {
        const std::size_t whole = tokens_ / experts_;
        const bool rest = tokens_ % experts_ != 0;
        dummies_ = rest ? experts_ - tokens_ % experts_ : 0;
        for (std::size_t e = 0; e < experts_ && whole != 0; ++e) add_lot(e, whole, false);
        for (std::size_t e = 0; e < experts_ && rest; ++e) add_lot(e, 1, true);
        Real low = values(0, 0), high = low;
        for (std::size_t t = 0; t < tokens_; ++t)
            for (const Real v : values.row(t)) {
                low = v < low ? v : low;
                high = v > high ? v : high;
            }
        // Rounding to steps costs a step a token at most, and an increment of one step costs a step
        // a bidder: 2 (T + n) steps in all.
        const double steps = std::fmin(std::ceil(2 / tolerance), 0x1p40);
        const double range = static_cast<double>(high) - static_cast<double>(low);
        range_ = range > 0 ? static_cast<std::int64_t>(steps) : 0;
        worth_.resize(tokens_ * experts_, 0);
        for (std::size_t t = 0; t < tokens_ && range > 0; ++t)
            for (std::size_t e = 0; e < experts_; ++e)
                worth_[t * experts_ + e] = static_cast<std::int64_t>(
                    (static_cast<double>(values(t, e)) - static_cast<double>(low)) / range * steps +
                    0.5);
    }

    std::vector<expert_id> run() {
        for (std::int64_t increment = range_ / 4;; increment /= 5) {
            if (increment < 1) increment = 1;
            sell_all(increment);
            if (increment == 1) break;
        }
        std::vector<expert_id> expert_of(tokens_, no_expert);
        for (const lot& l : lots_)
            for (const slot& s : l.slots)
                if (s.bidder < tokens_) expert_of[s.bidder] = static_cast<expert_id>(l.expert);
        return expert_of;
    }

  private:
    struct slot {
        std::int64_t price;
        std::size_t bidder;
    };
    struct lot {
        std::size_t expert;
        bool for_dummies;
        std::vector<slot> slots;  // a heap, the cheapest first
    };

    static constexpr std::size_t nobody = static_cast<std::size_t>(-1);

    void add_lot(std::size_t expert, std::size_t slots, bool for_dummies) {
        lots_.push_back({expert, for_dummies, std::vector<slot>(slots, slot{0, nobody})});
    }

    // Everybody bids until everybody has a slot; the last turned out is the next to bid.
    void sell_all(std::int64_t increment) {
        // What a lot's holders paid beyond its cheapest slot is no price of the lot's: left
        // standing, it would have to be reached elsewhere in steps of the smaller increment.
        for (lot& l : lots_) {
            const std::int64_t price = l.slots[0].price;
            for (slot& s : l.slots) s = {price, nobody};
        }
        std::vector<std::size_t> waiting;
        for (std::size_t b = tokens_ + dummies_; b-- > 0;) waiting.push_back(b);
        while (!waiting.empty()) {
            const std::size_t bidder = waiting.back();
            waiting.pop_back();
            const std::size_t out = bid(bidder, increment);
            if (out != nobody) waiting.push_back(out);
        }
    }

    // Takes the cheapest slot of the lot that is worth most, the first of equals, at the price at
    // which the second best would do as well, plus the increment. Returns who had it before.
    std::size_t bid(std::size_t bidder, std::int64_t increment) {
        const bool dummy = bidder >= tokens_;
        const std::int64_t* worth = dummy ? nullptr : worth_.data() + bidder * experts_;
        lot* best = nullptr;
        std::int64_t most = 0, second = 0;
        bool two = false;
        for (lot& l : lots_) {
            if (dummy && !l.for_dummies) continue;
            const std::int64_t gain = (dummy ? 0 : worth[l.expert]) - l.slots[0].price;
            if (best == nullptr || gain > most) {
                two = best != nullptr;
                second = most;
                most = gain;
                best = &l;
            } else if (!two || gain > second) {
                second = gain;
                two = true;
            }
        }
        slot& cheapest = best->slots[0];
        const std::size_t out = cheapest.bidder;
        cheapest.bidder = bidder;
        cheapest.price += increment + (two ? most - second : 0);
        sink(best->slots);
        return out;
    }

    // Free slots before taken ones of the same price, so that nobody is turned out for nothing.
    static bool before(const slot& a, const slot& b) {
        return a.price != b.price ? a.price < b.price : a.bidder == nobody && b.bidder != nobody;
    }

    static void sink(std::vector<slot>& heap) {
        for (std::size_t i = 0;;) {
            std::size_t least = i;
            for (const std::size_t child : {2 * i + 1, 2 * i + 2})
                if (child < heap.size() && before(heap[child], heap[least])) least = child;
            if (least == i) return;
            std::swap(heap[i], heap[least]);
            i = least;
        }
    }

    std::size_t tokens_;
    std::size_t experts_;
    std::size_t dummies_ = 0;
    std::int64_t range_ = 0;
    std::vector<std::int64_t> worth_;  // [T, n], in steps
    std::vector<lot> lots_;
};

}  // namespace detail
}  // namespace locmoe
