#include "locmoe/adapt/eigen.hpp"

int main() {
    Eigen::Matrix<float, 2, 3, Eigen::RowMajor> tokens;
    tokens << 1, 2, 3, 4, 5, 6;
    return locmoe::view_of(tokens)(1, 2) == 6.0f ? 0 : 1;
}
