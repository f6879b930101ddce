#include <array>
#include <vector>

#include "locmoe/tensor/standard.hpp"
#include "locmoe/topology/topology.hpp"

int main() {
    const std::vector<std::array<float, 2>> tokens = {{1, 2}, {3, 4}};
    const auto job = locmoe::topology::uniform(2, 2);
    return locmoe::view_of(tokens)(1, 0) == 3.0f && job.node_of(3) == 1 ? 0 : 1;
}
