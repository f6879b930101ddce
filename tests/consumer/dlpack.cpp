#include <cstdint>

#include "locmoe/adapt/dlpack.hpp"

int main() {
    float numbers[6] = {1, 2, 3, 4, 5, 6};
    std::int64_t shape[2] = {2, 3};
    const DLTensor tokens{numbers, {kDLCPU, 0}, 2, {kDLFloat, 32, 1}, shape, nullptr, 0};
    return locmoe::as_matrix<const float>(tokens)(1, 2) == 6.0f ? 0 : 1;
}
