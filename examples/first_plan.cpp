// Routing, plan, dispatch, experts, combine: the whole way once, with a tensor type of your own.

#include <cmath>
#include <cstdio>
#include <vector>

#include "locmoe/exec/in_process.hpp"
#include "locmoe/locmoe.hpp"

// [readme]
struct my_tensor {  // yours, whatever it is
    std::size_t tokens, features;
    std::vector<float> numbers = std::vector<float>(tokens * features);
};

template <>
struct locmoe::tensor_traits<my_tensor> {  // once, so that locmoe finds its rows
    using value_type = float;
    static std::size_t rows(const my_tensor& t) { return t.tokens; }
    static std::size_t cols(const my_tensor& t) { return t.features; }
    static std::size_t row_stride(const my_tensor& t) { return t.features; }
    static const float* data(const my_tensor& t) { return t.numbers.data(); }
    static float* data(my_tensor& t) { return t.numbers.data(); }
};

template <class Backend>
void moe_layer(locmoe::executor<Backend>& ex, const my_tensor& x, my_tensor& y) {
    using namespace locmoe;
    const routing r = locmoe_router(8).route(x, ex.context());
    const count_scan load = ex.backend().scan_counts(count_choices(r));
    const auto capacity = capacity_from_factor(1.25, {.token_count = 4 * x.tokens, .expert_count = 8});
    const assignment kept = assign(r, {.capacity = capacity, .before = load.before});

    const exchange_plan plan = ex.plan(kept, node_aggregated{});
    my_tensor rows{plan.expert_row_count(), x.features};
    ex.dispatch(plan, x, rows);
    for (float& v : rows.numbers) v = std::tanh(v);  // your experts: rows of plan.experts[i] start
                                                     // at plan.expert_first[i]
    ex.combine(plan, rows, ex.dispatch_weights(plan, r.weights), y);
    if (plan.rank == 0) std::puts(describe(plan, x.features * sizeof(float)).c_str());
}
// [readme]

int main() {
    using namespace locmoe;
    run_in_process(4, [](in_process_backend& backend) {  // 4 ranks on 2 nodes; or boost_mpi_backend
        executor ex(backend, topology::uniform(2, 2), expert_placement::blocked(8, 4));
        my_tensor x{256, 64};
        for (std::size_t i = 0; i < x.numbers.size(); ++i)
            x.numbers[i] = std::sin(static_cast<float>(i * (i + 7) % 1009 + 31) *
                                    static_cast<float>(backend.rank() + 1));
        my_tensor y{256, 64};
        moe_layer(ex, x, y);
    });
}
