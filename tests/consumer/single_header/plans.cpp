#include "plans.hpp"

std::vector<locmoe::exchange_plan> plans_of(const locmoe::topology& nodes) {
    using namespace locmoe;
    const auto placement = expert_placement::blocked(8, nodes.rank_count());
    std::vector<assignment> assigned;
    for (std::size_t r = 0; r < nodes.rank_count(); ++r) {
        routing decided{.token_count = 16, .choice_count = 1, .expert_count = 8};
        for (std::size_t t = 0; t < 16; ++t)
            decided.chosen.push_back(static_cast<expert_id>((t + r) % 8));
        decided.weights.assign(16, 1.0f);
        assigned.push_back(assign(decided));
    }
    return plan_all(node_aggregated{}, nodes, placement, assigned);
}
