// A backend of your own is a plain class with the members that `exchange_backend` names: no base
// class, no registration. The one in custom_backend.hpp joins processes by Unix sockets; put your
// transport in their place. tests/exec/custom_backend.cpp holds it against every law of a backend:
// do so with yours.

#include <cstddef>
#include <cstdio>
#include <vector>

#include "custom_backend.hpp"
#include "locmoe/locmoe.hpp"

int main() {
    using namespace locmoe;
    const bool good = run_in_processes(4, [](socket_backend& backend) {  // 4 ranks on 2 nodes
        executor ex(backend, topology::uniform(2, 2), expert_placement::blocked(8, 4));
        std::vector<float> tokens(64 * 16), sums(64 * 16);
        for (std::size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<float>(i % 97);

        const auto decided = random_router(8, 2, 1).route(as_matrix(tokens, 16), ex.context());
        const exchange_plan plan = ex.plan(assign(decided), node_aggregated{});
        std::vector<float> rows(plan.expert_row_count() * 16);
        ex.dispatch(plan, as_matrix(tokens, 16), as_matrix(rows, 16));
        ex.combine(plan, as_matrix(rows, 16), ex.dispatch_weights(plan, decided.weights),
                   as_matrix(sums, 16));
        if (sums != tokens) throw error("a row was lost");
        if (plan.rank == 0) std::puts(describe(plan, 16 * sizeof(float)).c_str());
    });
    return good ? 0 : 1;
}
