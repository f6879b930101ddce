#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "locmoe/assign/assignment.hpp"
#include "locmoe/exec/detail/agreed.hpp"
#include "locmoe/exec/executor.hpp"
#include "locmoe/plan/choose.hpp"
#include "locmoe/plan/exchange_plan.hpp"

namespace locmoe::inline v0 {

namespace detail {

inline std::uint64_t fingerprint_of(const plan_options& options) {
    const cluster_costs& c = options.costs;
    fingerprint print;
    print.add(options.row_bytes);
    for (const double value :
         {c.intra_node.latency, c.intra_node.overhead, c.intra_node.message_bandwidth,
          c.intra_node.rank_bandwidth, c.inter_node.latency, c.inter_node.overhead,
          c.inter_node.rank_bandwidth, c.inter_node.nic_bandwidth, c.inter_node.fan_in_loss,
          c.inter_node.fan_in_free, c.pack_bandwidth})
        print.add(std::bit_cast<std::uint64_t>(value));
    if (c.leaves) {
        print.add(c.leaves->nodes);
        print.add(std::bit_cast<std::uint64_t>(c.leaves->uplink_bandwidth));
        print.add(std::bit_cast<std::uint64_t>(c.leaves->latency));
    }
    return print.value();
}

template <class... Strategies>
std::uint64_t fingerprint_of(const candidates<Strategies...>& from) {
    fingerprint print;
    from.for_each([&](const auto& strategy, std::size_t) {
        print.add(std::string_view(strategy.name()));
    });
    return print.value();
}

/// The cheapest candidate for what all ranks have assigned, the same on all of them.
template <class Backend, class Kernels, class... Strategies>
chosen_strategy choose_together(executor<Backend, Kernels>& exchange, const assignment& assigned,
                                const plan_options& options,
                                const candidates<Strategies...>& from) {
    Backend& backend = exchange.backend();
    const common_value same[] = {{"set of plan_options", fingerprint_of(options)},
                                 {"list of candidates", fingerprint_of(from)}};
    std::vector<std::int64_t> words;
    agreed(backend, "best_plan", same, [&] {
        check_costs(options.costs);
        const plan_request request{backend.rank(), exchange.nodes(), exchange.placement(),
                                   assigned};
        check_request(request);
        words = choice_words(from, request, options.costs);
    });
    chosen_strategy best =
        choose(from, exchange.nodes(), options, backend.scan_counts(words).total);
    // All ranks have worked out the same, unless their processors round differently: then rank 0's
    // choice holds.
    std::int64_t own[] = {static_cast<std::int64_t>(best.number),
                          static_cast<std::int64_t>(best.why.chosen().window)};
    if (backend.rank() != 0) own[0] = own[1] = 0;
    const std::vector<std::int64_t> agreed_on = backend.scan_counts(own).total;
    best.number = static_cast<std::size_t>(agreed_on[0]);
    from.for_each([&](const auto& strategy, std::size_t number) {
        std::vector<cost_estimate>& priced = best.why.candidates;
        for (std::size_t i = priced.size(); number == best.number && i-- > 1;)
            if (priced[i].strategy == strategy.name()) std::swap(priced[i], priced[i - 1]);
    });
    best.why.candidates.front().window = static_cast<std::size_t>(agreed_on[1]);
    return best;
}

template <class Backend, class Kernels, class... Strategies>
exchange_plan plan_chosen(executor<Backend, Kernels>& exchange, const assignment& assigned,
                          const candidates<Strategies...>& from, const chosen_strategy& best) {
    exchange_plan plan;
    from.for_each([&](const auto& strategy, std::size_t number) {
        if (number == best.number) plan = exchange.plan(assigned, strategy);
    });
    return in_chosen_order(std::move(plan), exchange.nodes(), best.why);
}

}  // namespace detail

/// This rank's plan under the strategy that is cheapest for what all ranks have assigned, by the
/// cost model of `price`, in a rotated order with a window where fan-in makes that cheaper;
/// `plan.choice` says why. Collective: the same options and candidates on all ranks, otherwise
/// plan_error on all. Sums 4 counts for each phase and rank, so at every step of a training rather
/// use a `plan_cache`.
template <class Backend, class Kernels, class... Strategies>
exchange_plan best_plan(executor<Backend, Kernels>& exchange, const assignment& assigned,
                        const plan_options& options, const candidates<Strategies...>& from) {
    return detail::plan_chosen(exchange, assigned, from,
                               detail::choose_together(exchange, assigned, options, from));
}

/// The same with all strategies of the library.
template <class Backend, class Kernels>
exchange_plan best_plan(executor<Backend, Kernels>& exchange, const assignment& assigned,
                        const plan_options& options) {
    return best_plan(exchange, assigned, options, all_strategies());
}

}  // namespace locmoe
