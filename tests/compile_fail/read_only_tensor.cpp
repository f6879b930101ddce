// error: locmoe: this tensor is only readable: tensor_traits<T> needs data(T&) -> value_type*
#include "locmoe/tensor/standard.hpp"

#ifdef CORRECTED
using tokens = std::vector<std::array<float, 3>>;
#else
using tokens = const std::vector<std::array<float, 3>>;
#endif

void write(tokens& tensor) { (void)locmoe::writable_view_of(tensor); }
