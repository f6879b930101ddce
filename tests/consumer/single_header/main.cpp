#include "locmoe.hpp"
#include "plans.hpp"

int main() {
    const auto nodes = locmoe::topology::uniform(2, 2);
    const auto plans = plans_of(nodes);
    locmoe::validate(plans);
    return locmoe::describe(plans[0], 64).find("node_aggregated") != std::string::npos ? 0 : 1;
}
