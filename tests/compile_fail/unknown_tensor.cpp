// error: locmoe: this tensor type is unknown: specialise locmoe::tensor_traits for it
#include "locmoe/tensor/tensor_traits.hpp"

struct my_tensor {
    float numbers[6] = {};
};

#ifdef CORRECTED
template <>
struct locmoe::tensor_traits<my_tensor> {
    using value_type = float;
    static std::size_t rows(const my_tensor&) { return 2; }
    static std::size_t cols(const my_tensor&) { return 3; }
    static std::size_t row_stride(const my_tensor&) { return 3; }
    static const float* data(const my_tensor& t) { return t.numbers; }
};
#endif

void read(const my_tensor& tensor) { (void)locmoe::view_of(tensor); }
