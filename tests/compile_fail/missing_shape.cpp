// error: locmoe: tensor_traits<T> needs rows(t), cols(t) and row_stride(t)
#include "locmoe/tensor/tensor_traits.hpp"

struct my_tensor {
    float numbers[6] = {};
};

template <>
struct locmoe::tensor_traits<my_tensor> {
    using value_type = float;
#ifdef CORRECTED
    static std::size_t rows(const my_tensor&) { return 2; }
#endif
    static std::size_t cols(const my_tensor&) { return 3; }
    static std::size_t row_stride(const my_tensor&) { return 3; }
    static const float* data(const my_tensor& t) { return t.numbers; }
};

void read(const my_tensor& tensor) { (void)locmoe::view_of(tensor); }
