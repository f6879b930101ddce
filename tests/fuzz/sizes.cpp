// Every entry that takes sizes, given any: argument_error before anything is done with them, or a
// result that fits.

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "fuzz/bytes.hpp"
#include "locmoe/assign/padding.hpp"
#include "locmoe/capacity/capacity_factor.hpp"
#include "locmoe/capacity/capacity_rule.hpp"
#include "locmoe/plan/message_order.hpp"
#include "locmoe/plan/split.hpp"
#include "locmoe/plan/validate.hpp"
#include "locmoe/topology/rank_groups.hpp"
#include "locmoe/topology/replicated_placement.hpp"

using namespace locmoe;

namespace {

/// Small, or beyond all ranks, experts and rows that there can be: what lies between would only ask
/// for memory.
std::size_t size_of(fuzz::bytes& from) {
    const std::uint64_t word = from.word();
    return word % 4 != 0 ? word / 4 % 9 : word | std::uint64_t{1} << 32;
}

std::int64_t count_of(fuzz::bytes& from) {
    const std::uint64_t word = from.word();
    return word % 2 != 0 ? static_cast<std::int64_t>(word / 2 % 9)
                         : static_cast<std::int64_t>(word | std::uint64_t{1} << 62);
}

std::vector<std::int64_t> counts_of(fuzz::bytes& from) {
    std::vector<std::int64_t> all(from.below(5));
    for (std::int64_t& count : all) count = count_of(from);
    return all;
}

routing routing_of(fuzz::bytes& from) {
    routing decided;
    decided.token_count = size_of(from);
    decided.choice_count = size_of(from);
    decided.expert_count = from.below(9);
    decided.chosen.resize(from.below(13));
    if (decided.choice_count == 0) decided.token_count %= 5;  // tokens that no list bears out
    if (from.below(2) == 0) {
        decided.token_count %= 5;
        decided.choice_count %= 4;
        decided.chosen.resize(decided.token_count * decided.choice_count);
    }
    for (expert_id& e : decided.chosen) e = static_cast<expert_id>(from.below(10)) - 1;
    decided.weights.assign(decided.chosen.size(), 1.0f);
    return decided;
}

void place(fuzz::bytes& from) {
    switch (from.below(6)) {
        case 0: topology::uniform(size_of(from), size_of(from)); break;
        case 1: topology::single_node(size_of(from)); break;
        case 2: {
            std::vector<node_id> nodes(from.below(6));
            for (node_id& n : nodes) n = static_cast<node_id>(count_of(from));
            topology::from_node_of_rank(nodes);
            break;
        }
        case 3: expert_placement::blocked(size_of(from), size_of(from)); break;
        case 4: expert_placement::round_robin(size_of(from), size_of(from)); break;
        default: {
            std::vector<rank_id> ranks(from.below(6));
            for (rank_id& r : ranks) r = static_cast<rank_id>(count_of(from));
            expert_placement::from_rank_of_expert(ranks, size_of(from));
        }
    }
}

void count(fuzz::bytes& from) {
    const auto nodes = topology::uniform(1 + from.below(3), 1 + from.below(4));
    switch (from.below(7)) {
        case 0: rank_groups(nodes, size_of(from)); break;
        case 1: rotated_order(nodes, static_cast<node_id>(count_of(from)), size_of(from)); break;
        case 2: padding_of(counts_of(from), pad_to_multiple{count_of(from)}); break;
        case 3: padding_of(counts_of(from), pad_to_capacity{count_of(from)}); break;
        case 4:
            capacity_from_factor(static_cast<double>(count_of(from)),
                                 {size_of(from), size_of(from), size_of(from)});
            break;
        case 5:
            capacity_rule::tutel(static_cast<double>(count_of(from)) / 4, count_of(from))
                .slots({size_of(from), size_of(from), size_of(from)}, count_of(from));
            break;
        default: {
            std::vector<expert_id> logical(from.below(5));
            for (expert_id& e : logical) e = static_cast<expert_id>(count_of(from));
            replicated_placement::from_shares(
                expert_placement::blocked(1 + from.below(4), nodes.rank_count()), logical,
                size_of(from), nodes, counts_of(from));
        }
    }
}

/// An assignment that `assign` lets through, or one that it never made, on to a plan.
void plan(fuzz::bytes& from) {
    const routing decided = routing_of(from);
    const std::vector<std::int64_t> before = counts_of(from);
    const std::vector<std::int64_t> capacities = counts_of(from);
    assign_options options;
    if (from.below(2) == 0) options.capacity = count_of(from);
    options.before = before;
    options.capacities = capacities;
    assignment one;
    if (from.below(4) != 0) {
        one = assign(decided, options);
    } else {
        one.token_count = decided.token_count;
        one.choice_count = decided.choice_count;
        one.expert_count = decided.expert_count;
        one.expert = decided.chosen;
    }
    const auto nodes = topology::uniform(1 + from.below(3), 1 + from.below(2));
    const auto placement = expert_placement::round_robin(from.below(9), nodes.rank_count());
    const std::vector<assignment> all(nodes.rank_count(), one);
    std::vector<exchange_plan> plans;
    switch (from.below(5)) {
        case 0: plans = plan_all(direct{}, nodes, placement, all); break;
        case 1: plans = plan_all(node_aggregated{1 + from.below(3)}, nodes, placement, all); break;
        case 2: plans = plan_all(store_and_forward{size_of(from)}, nodes, placement, all); break;
        case 3: plans = plan_all(group_wise{size_of(from)}, nodes, placement, all); break;
        default:
            plans = plan_all(capacity_padded{node_aggregated{}, count_of(from)}, nodes, placement,
                             all);
    }
    validate(plans);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::bytes from(data, size);
    try {
        switch (from.below(4)) {
            case 0: place(from); break;
            case 1: count(from); break;
            default: plan(from);
        }
    } catch (const argument_error&) {
    }
    return 0;
}
