// Eigen matrices all the way: tokens, experts and outputs are row-major `Eigen::Matrix`, and
// nothing is copied on the way into locmoe.

#include <cstdio>
#include <vector>

#include <Eigen/Core>

#include "locmoe/adapt/eigen.hpp"
#include "locmoe/exec/in_process.hpp"
#include "locmoe/locmoe.hpp"

using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

template <class Backend>
matrix moe_layer(locmoe::executor<Backend>& ex, const matrix& x, const matrix& gate,
                 const std::vector<matrix>& experts) {
    using namespace locmoe;
    const top_k_router router(dense_gate<float>(view_of(gate)), {.k = 2});
    const routing decided = router.route(x, ex.context());
    const exchange_plan plan = ex.plan(assign(decided), node_aggregated{});

    matrix in(plan.expert_row_count(), x.cols()), out(in.rows(), in.cols());
    ex.dispatch(plan, x, in);
    for (std::size_t e = 0; e < experts.size(); ++e) {  // the rows of one expert lie together
        const auto first = plan.expert_first[e], count = plan.expert_first[e + 1] - first;
        out.middleRows(first, count).noalias() = in.middleRows(first, count) * experts[e];
    }
    matrix y(x.rows(), x.cols());
    ex.combine(plan, out, ex.dispatch_weights(plan, decided.weights), y);
    return y;
}

int main() {
    using namespace locmoe;
    run_in_process(4, [](in_process_backend& backend) {  // 4 ranks on 2 nodes, 8 experts
        executor ex(backend, topology::uniform(2, 2), expert_placement::blocked(8, 4));
        const matrix x = matrix::Random(64, 32), gate = matrix::Random(8, 32);
        // Each expert multiplies by 2, and a token's two weights add up to 1.
        const std::vector<matrix> experts(2, 2 * matrix::Identity(32, 32));
        const float error = (moe_layer(ex, x, gate, experts) - 2 * x).cwiseAbs().maxCoeff();
        if (backend.rank() == 0) std::printf("largest difference from 2 x: %g\n", double(error));
        if (error > 1e-5f) throw plan_error("rows came back wrong");
    });
}
