// An exchange strategy of your own is a plain class, and so is its planner: no base class, no
// registration. The library's row_forwarder does the bookkeeping; you say where a row goes next.
//
// This one lays the ranks out as a square grid, whatever nodes they sit on: a row goes along its
// own line of the grid to its column first, then down to its rank. Each rank sends about 2 sqrt(P)
// messages instead of P - 1, for rows that cross up to two links.

#include <cstdio>
#include <string_view>
#include <vector>

#include "locmoe/exec/in_process.hpp"
#include "locmoe/locmoe.hpp"

using namespace locmoe;

class grid_planner {
  public:
    static constexpr std::size_t rounds = 2;

    explicit grid_planner(const plan_request& request)
        : rows_("grid", request, {"along the line", "down the column"}) {
        const auto ranks = static_cast<rank_id>(request.nodes.rank_count());
        rank_id columns = 1;
        while (columns * columns < ranks) ++columns;
        std::vector<row_forwarder::lane*> first;
        for (std::size_t e = 0; e < request.placement.expert_count(); ++e) {
            const rank_id to = request.placement.rank_of(static_cast<expert_id>(e));
            rank_id via = request.rank / columns * columns + to % columns;
            if (via >= ranks) via -= columns;  // the last line may be short
            down_.push_back(rows_.to(1, to));
            first.push_back(via == request.rank ? down_.back() : rows_.to(0, via));
        }
        rows_.start([&](expert_id e, row_index) { return first[static_cast<std::size_t>(e)]; });
    }

    std::vector<message> outgoing(std::size_t round) { return rows_.send(round); }

    void incoming(std::size_t round, const std::vector<message>& received) {
        for (const message& m : received)
            rows_.receive(round, m,
                          [&](expert_id e) { return down_[static_cast<std::size_t>(e)]; });
    }

    exchange_plan finish() { return rows_.finish(); }

  private:
    row_forwarder rows_;
    std::vector<row_forwarder::lane*> down_;  // by expert
};

struct grid {
    std::string_view name() const { return "grid"; }
    grid_planner planner(const plan_request& request) const { return grid_planner(request); }
};

static_assert(exchange_strategy<grid>);

int main() {
    constexpr std::size_t ranks = 11;
    const auto nodes = topology::single_node(ranks);
    const auto placement = expert_placement::blocked(2 * ranks, ranks);
    run_in_process(ranks, [&](in_process_backend& backend) {
        routing decided{.token_count = 64, .choice_count = 2, .expert_count = 2 * ranks};
        for (std::size_t i = 0; i < 128; ++i) {
            decided.chosen.push_back(static_cast<expert_id>(i * (i + 1) / 2 % (2 * ranks)));
            decided.weights.push_back(0.5f);
        }
        executor ex(backend, nodes, placement);
        const exchange_plan plan = ex.plan(assign(decided), grid{});
        std::vector<float> tokens(64, 3.0f), rows(plan.expert_row_count()), sums(64);
        ex.dispatch(plan, as_matrix(tokens, 1), as_matrix(rows, 1));
        ex.combine(plan, as_matrix(rows, 1), ex.dispatch_weights(plan, decided.weights),
                   as_matrix(sums, 1));
        if (sums != tokens) throw error("the grid lost a row");
        if (plan.rank == 0) std::puts(describe(plan, sizeof(float)).c_str());
    });

    // How to test a strategy: the plans of a whole cluster in one process, against every law.
    routing decided{.token_count = 3,
                    .choice_count = 2,
                    .expert_count = 2 * ranks,
                    .chosen = {7, 7, 0, 21, 20, 1},
                    .weights = std::vector(6, 0.5f)};
    validate(plan_all(grid{}, nodes, placement, std::vector(ranks, assign(decided))));
}
