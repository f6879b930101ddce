// error: locmoe: rows of this tensor type are not contiguous in memory
#include "locmoe/tensor/tensor_traits.hpp"

struct columns {
    float numbers[6] = {};
};

template <>
struct locmoe::tensor_traits<columns> {
#ifdef CORRECTED
    using value_type = float;
    static std::size_t rows(const columns&) { return 2; }
    static std::size_t cols(const columns&) { return 3; }
    static std::size_t row_stride(const columns&) { return 3; }
    static const float* data(const columns& t) { return t.numbers; }
#else
    using scattered_rows = void;
#endif
};

void read(const columns& tensor) { (void)locmoe::view_of(tensor); }
