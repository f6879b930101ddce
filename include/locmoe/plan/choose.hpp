#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "locmoe/core/error.hpp"
#include "locmoe/plan/cost_estimate.hpp"
#include "locmoe/plan/detail/once_counter.hpp"
#include "locmoe/plan/direct.hpp"
#include "locmoe/plan/message_order.hpp"
#include "locmoe/plan/node_aggregated.hpp"
#include "locmoe/plan/node_balanced.hpp"
#include "locmoe/plan/plan_all.hpp"
#include "locmoe/plan/price.hpp"
#include "locmoe/plan/row_loads.hpp"
#include "locmoe/plan/store_and_forward.hpp"
#include "locmoe/topology/cluster_costs.hpp"

namespace locmoe::inline v0 {

/// The strategies to choose from, one at least, in this order where prices are equal. The first
/// serves where all others decline: let it be one that never does.
template <priced_strategy... Strategies>
struct candidates {
    static_assert(sizeof...(Strategies) > 0, "locmoe: candidates holds no strategy to choose");

    std::tuple<Strategies...> strategies;  ///< as they were passed

    /// Keeps them in this order, on which the choice between equal prices hangs.
    explicit candidates(Strategies... values) : strategies(std::move(values)...) {}

    /// How many candidates there are.
    static constexpr std::size_t count = sizeof...(Strategies);

    /// Calls `visit(strategy, number)` for each.
    template <class Visit>
    void for_each(Visit&& visit) const {
        std::apply(
            [&](const Strategies&... one) {
                std::size_t number = 0;
                (visit(one, number++), ...);
            },
            strategies);
    }
};

/// All strategies of the library that carry any routing. `capacity_padded` and `group_wise` are the
/// caller's decision: a padded plan sends more rows, and fails where a rank keeps more than C, to
/// save metadata that prices leave out; a grouped one asks that the ranks of a group hold the same
/// tokens.
inline auto all_strategies() {
    return candidates(direct{}, node_aggregated{}, node_aggregated{.chunks = 2},
                      node_aggregated{.chunks = 4}, node_aggregated{.chunks = 8},
                      node_aggregated{.chunks = 16}, node_balanced{},
                      store_and_forward{.radix = 2}, store_and_forward{.radix = 4});
}

/// What a plan is chosen for.
struct plan_options {
    std::size_t row_bytes = 0;  ///< of the rows that the plan will mostly carry
    cluster_costs costs;        ///< the same on all ranks, or they may choose differently
};

namespace detail {

inline std::size_t leaf_nodes(const topology& nodes, const cluster_costs& costs) {
    return costs.leaves ? costs.leaves->nodes : nodes.node_count();
}

/// Where in one array the words of each name are: behind those of the names asked for before.
class named_places {
  public:
    explicit named_places(std::size_t begin) : end_(begin) {}

    std::size_t of(const std::string& name, std::size_t words) {
        for (const auto& [known, place] : places_)
            if (known == name) return place;
        places_.emplace_back(name, end_);
        end_ += words;
        return places_.back().second;
    }

  private:
    std::size_t end_;
    std::vector<std::pair<std::string, std::size_t>> places_;
};

/// With a rotated order too, where fan-in costs bandwidth: the cheaper of the two. A window is held
/// in one phase at a time, so it is of no use where chunks are under way side by side.
inline cost_estimate price_in_order(const std::string& strategy, const row_loads& loads,
                                    std::span<const std::int64_t> expert_rows,
                                    const plan_options& options) {
    const auto priced = [&](std::size_t window) {
        return price(strategy, loads, expert_rows, options.row_bytes, options.costs, window);
    };
    cost_estimate posted_at_once = priced(0);
    std::size_t outside = 0;
    for (const phase_shape& p : loads.phases()) outside += p.tier == link_tier::inter_node;
    const std::size_t window = options.costs.inter_node.window();
    if (window == 0 || window + 1 >= loads.nodes().node_count() || outside != 1)
        return posted_at_once;
    cost_estimate in_order = priced(window);
    return in_order.nanoseconds < posted_at_once.nanoseconds ? in_order : posted_at_once;
}

inline exchange_plan in_chosen_order(exchange_plan plan, const topology& nodes,
                                     const plan_choice& why) {
    const std::size_t window = why.chosen().window;
    if (window > 0)
        plan = ordered(std::move(plan), nodes,
                       rotated_order(nodes, nodes.node_of(plan.rank), window));
    plan.choice = why;
    return plan;
}

template <class Strategy>
row_loads empty_loads(const Strategy& strategy, const topology& nodes,
                      const cluster_costs& costs) {
    return row_loads(nodes, strategy.phase_shapes(nodes), leaf_nodes(nodes, costs));
}

}  // namespace detail

/// What this rank's routing adds to the loads of every candidate: numbers to be summed over ranks
/// for `choose`. O(P) of them for each phase, so choose now and then, not at every step.
template <class... Strategies>
std::vector<std::int64_t> choice_words(const candidates<Strategies...>& from,
                                       const plan_request& request, const cluster_costs& costs) {
    const topology& nodes = request.nodes;
    std::vector<std::int64_t> words(nodes.rank_count() + 2 * nodes.node_count(), 0);
    detail::once_counter by_node(nodes.node_count());
    detail::for_each_pair(request, [&](std::int64_t token, rank_id to) {
        ++words[static_cast<std::size_t>(to)];
        by_node.add(static_cast<std::size_t>(nodes.node_of(to)), token);
    });
    const node_id home = nodes.node_of(request.rank);
    for (std::size_t n = 0; n < nodes.node_count(); ++n) {
        if (static_cast<node_id>(n) == home) continue;
        words[nodes.rank_count() + 2 * static_cast<std::size_t>(home)] += by_node.rows(n);
        words[nodes.rank_count() + 2 * n + 1] += by_node.rows(n);
    }
    detail::named_places places(words.size());
    from.for_each([&](const auto& strategy, std::size_t) {
        if (!std::string(strategy.declines(nodes)).empty()) return;
        row_loads loads = detail::empty_loads(strategy, nodes, costs);
        if (places.of(strategy.loads_name(), loads.words().size()) < words.size()) return;
        strategy.add_loads(request, loads);
        words.insert(words.end(), loads.words().begin(), loads.words().end());
    });
    return words;
}

/// What `choose` found.
struct chosen_strategy {
    std::size_t number = 0;  ///< among the candidates
    plan_choice why;         ///< all prices, the chosen strategy's first
};

/// Prices all candidates and takes the first of those within 1 % of the cheapest, or the very first
/// within 3 %: prices are no more exact, and earlier candidates are simpler. `sums` are the
/// `choice_words` of all ranks added up; the same sums give the same choice. Throws argument_error
/// for costs or sums that do not fit.
template <class... Strategies>
chosen_strategy choose(const candidates<Strategies...>& from, const topology& nodes,
                       const plan_options& options, std::span<const std::int64_t> sums) {
    using detail::concat;
    check_costs(options.costs);
    const std::size_t ranks = nodes.rank_count();
    const std::size_t common = ranks + 2 * nodes.node_count();
    const auto expect = [&](std::size_t words) {
        if (sums.size() < words)
            detail::throw_argument("choose", "sums", concat("at least ", words, " words"),
                                   concat(sums.size()));
    };
    expect(common);
    chosen_strategy best;
    best.why.row_bytes = options.row_bytes;
    std::int64_t most = 0;
    for (std::size_t i = ranks; i < common; ++i) most = sums[i] > most ? sums[i] : most;
    best.why.lower_bound = detail::nanoseconds(static_cast<double>(most) *
                                               static_cast<double>(options.row_bytes) /
                                               options.costs.inter_node.nic_bandwidth);

    detail::named_places places(common);
    std::vector<std::size_t> numbers;  // of why.candidates
    from.for_each([&](const auto& strategy, std::size_t number) {
        cost_estimate priced;
        priced.strategy = strategy.name();
        priced.declined = strategy.declines(nodes);
        if (priced.declined.empty()) {
            row_loads loads = detail::empty_loads(strategy, nodes, options.costs);
            const std::size_t at = places.of(strategy.loads_name(), loads.words().size());
            expect(at + loads.words().size());
            loads.assign(sums.subspan(at, loads.words().size()));
            if constexpr (requires { strategy.settle(loads); }) loads = strategy.settle(loads);
            priced = detail::price_in_order(priced.strategy, loads, sums.first(ranks), options);
        }
        // Insertion by price: those that decline stay last.
        std::size_t place = best.why.candidates.size();
        const auto before = [&](const cost_estimate& other) {
            if (priced.declined.empty() != other.declined.empty()) return priced.declined.empty();
            return priced.declined.empty() && priced.nanoseconds < other.nanoseconds;
        };
        while (place > 0 && before(best.why.candidates[place - 1])) --place;
        numbers.insert(numbers.begin() + static_cast<std::ptrdiff_t>(place), number);
        best.why.candidates.insert(
            best.why.candidates.begin() + static_cast<std::ptrdiff_t>(place), std::move(priced));
    });
    std::vector<cost_estimate>& priced = best.why.candidates;
    std::size_t first = 0;
    for (std::size_t i = 1; i < priced.size() && priced[i].declined.empty(); ++i) {
        const std::int64_t margin = priced[0].nanoseconds * (numbers[i] == 0 ? 3 : 1) / 100;
        if (priced[i].nanoseconds - priced[0].nanoseconds <= margin && numbers[i] < numbers[first])
            first = i;
    }
    best.number = numbers[first];
    for (; first > 0; --first) std::swap(priced[first], priced[first - 1]);
    return best;
}

/// The plans of all ranks under the strategy that is cheapest by `options.costs`, made in one
/// process, as `plan_all`. Each says in `choice` why it is of that strategy.
template <class... Strategies>
std::vector<exchange_plan> best_plan_all(const topology& nodes, const expert_placement& placement,
                                         std::span<const assignment> assigned,
                                         const plan_options& options,
                                         const candidates<Strategies...>& from) {
    std::vector<std::int64_t> sums;
    for (std::size_t r = 0; r < assigned.size(); ++r) {
        const plan_request request{static_cast<rank_id>(r), nodes, placement, assigned[r]};
        check_request(request);
        const std::vector<std::int64_t> words = choice_words(from, request, options.costs);
        sums.resize(words.size(), 0);
        for (std::size_t i = 0; i < words.size(); ++i) sums[i] += words[i];
    }
    const chosen_strategy best = choose(from, nodes, options, sums);
    std::vector<exchange_plan> plans;
    from.for_each([&](const auto& strategy, std::size_t number) {
        if (number == best.number) plans = plan_all(strategy, nodes, placement, assigned);
    });
    for (exchange_plan& plan : plans)
        plan = detail::in_chosen_order(std::move(plan), nodes, best.why);
    return plans;
}

/// The same with all strategies of the library. A template, so that only its callers compile them.
template <class = void>
std::vector<exchange_plan> best_plan_all(const topology& nodes, const expert_placement& placement,
                                         std::span<const assignment> assigned,
                                         const plan_options& options) {
    return best_plan_all(nodes, placement, assigned, options, all_strategies());
}

}  // namespace locmoe
