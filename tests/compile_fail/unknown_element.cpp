// error: locmoe: tensor_traits<T>::value_type is missing or no locmoe::element
#include "locmoe/tensor/standard.hpp"

struct my_number {
    float value = 0;
};

#ifdef CORRECTED
template <>
struct locmoe::element_traits<my_number> {
    using sum_type = float;
    static constexpr element_type type = element_type::f32;
    static float load(my_number n) { return n.value; }
    static my_number store(float sum) { return {sum}; }
};
#endif

void read(const std::vector<std::array<my_number, 3>>& tokens) { (void)locmoe::view_of(tokens); }
