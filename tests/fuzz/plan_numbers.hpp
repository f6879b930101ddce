#pragma once

// Every number and every list of a plan, for breaking one of them.

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>
#include <vector>

#include "fuzz/bytes.hpp"
#include "locmoe/plan/exchange_plan.hpp"

namespace fuzz {

template <class Visit>
void each_list(locmoe::exchange_plan& plan, Visit&& visit) {
    visit(plan.pair_slots);
    visit(plan.pair_experts);
    visit(plan.experts);
    visit(plan.expert_first);
    visit(plan.group);
    for (locmoe::flow* moved :
         {&plan.dispatch, &plan.combine, &plan.pair_dispatch, &plan.pair_combine}) {
        visit(moved->deliver.from);
        visit(moved->deliver.first);
        for (locmoe::phase& p : moved->phases) {
            visit(p.pack.from);
            visit(p.pack.first);
            visit(p.sends);
            visit(p.receives);
            visit(p.send_order);
            visit(p.receive_order);
        }
        visit(moved->phases);
    }
}

template <class Visit>
void each_number(locmoe::exchange_plan& plan, Visit&& visit) {
    visit(plan.rank);
    visit(plan.rank_count);
    visit(plan.token_count);
    visit(plan.choice_count);
    visit(plan.rows_per_source);
    visit(plan.dropped_pairs);
    for (locmoe::flow* moved :
         {&plan.dispatch, &plan.combine, &plan.pair_dispatch, &plan.pair_combine}) {
        visit(moved->source_rows);
        visit(moved->staging_rows);
        for (locmoe::phase& p : moved->phases) {
            visit(p.needs);
            visit(p.window.messages);
            visit(p.window.bytes);
        }
    }
    each_list(plan, [&](auto& list) {
        using item = typename std::remove_reference_t<decltype(list)>::value_type;
        if constexpr (std::is_integral_v<item>) {
            for (item& number : list) visit(number);
        } else if constexpr (std::is_same_v<item, locmoe::segment>) {
            for (locmoe::segment& s : list) {
                visit(s.peer);
                visit(s.first);
                visit(s.rows);
                auto tier = static_cast<std::uint8_t>(s.tier);
                visit(tier);
                s.tier = static_cast<locmoe::link_tier>(tier);
            }
        }
    });
}

template <class Number>
void change(Number& number, bytes& from) {
    using word = std::make_unsigned_t<Number>;
    constexpr std::uint64_t values[] = {0,
                                        1,
                                        ~std::uint64_t{0},
                                        std::uint64_t{1} << 31,
                                        std::uint64_t{1} << 40,
                                        std::uint64_t{1} << 62,
                                        (std::uint64_t{1} << 63) - 1,
                                        std::uint64_t{1} << 63,
                                        (std::uint64_t{1} << 31) - 1};
    const std::size_t how = from.below(16);
    if (how < 8)
        number = static_cast<Number>(static_cast<word>(number) +
                                     static_cast<word>(from.below(9)) - word{4});
    else if (how < 12)
        number = static_cast<Number>(from.below(32));
    else
        number = static_cast<Number>(values[from.below(std::size(values))]);
}

template <class Item>
void change(std::vector<Item>& list, bytes& from) {
    if (list.empty()) {
        list.resize(from.below(3));
        return;
    }
    const std::size_t a = from.below(list.size());
    const std::size_t b = from.below(list.size());
    const auto at = list.begin() + static_cast<std::ptrdiff_t>(a);
    switch (from.below(5)) {
        case 0: std::swap(list[a], list[b]); break;
        case 1: list.erase(at); break;
        case 2: list.insert(at, Item(list[b])); break;
        case 3: list[a] = Item(list[b]); break;
        default: list.clear();
    }
}

/// One small change somewhere in one of the plans. `touched` gets the ranks whose plans it changes.
inline void change_somewhere(std::vector<locmoe::exchange_plan>& plans, bytes& from,
                             std::vector<std::size_t>& touched) {
    touched.push_back(from.below(plans.size()));
    locmoe::exchange_plan& plan = plans[touched.back()];
    const std::size_t kind = from.below(16);
    if (kind == 0) {
        touched.push_back(from.below(plans.size()));
        std::swap(plan, plans[touched.back()]);
        return;
    }
    if (kind == 2) {
        plan.exact_combine = !plan.exact_combine;
        return;
    }
    if (kind == 1) {
        locmoe::flow* const flows[] = {&plan.dispatch, &plan.combine, &plan.pair_dispatch,
                                       &plan.pair_combine};
        *flows[from.below(4)] = locmoe::flow(*flows[from.below(4)]);
        return;
    }
    const auto pick = [&](auto each) {
        std::size_t count = 0;
        each(plan, [&](auto&) { ++count; });
        std::size_t chosen = from.below(count);
        each(plan, [&](auto& part) {
            if (chosen-- == 0) change(part, from);
        });
    };
    if (kind < 11)
        pick([](auto& p, auto visit) { each_number(p, visit); });
    else
        pick([](auto& p, auto visit) { each_list(p, visit); });
}

}  // namespace fuzz
