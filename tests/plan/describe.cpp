#include "locmoe/plan/describe.hpp"

#include <string>
#include <vector>

#include "catch.hpp"
#include "locmoe/plan/direct.hpp"
#include "locmoe/plan/node_aggregated.hpp"
#include "locmoe/plan/plan_all.hpp"

using namespace locmoe;

namespace {

/// 2 nodes of 1 rank, 2 experts on each; rank 0 sends a token to both experts of rank 1.
template <class Strategy>
std::vector<exchange_plan> two_ranks(const Strategy& strategy) {
    routing decided;
    decided.token_count = 1;
    decided.choice_count = 2;
    decided.expert_count = 4;
    decided.chosen = {2, 3};
    decided.weights = {0.5f, 0.5f};
    routing other = decided;
    other.chosen = {3, no_expert};
    return plan_all(strategy, topology::uniform(2, 1), expert_placement::blocked(4, 2),
                    std::vector<assignment>{assign(decided), assign(other)});
}

}  // namespace

TEST_CASE("a plan describes itself with strategy, rows, phases and traffic", "[plan]") {
    CHECK(describe(two_ranks(direct{})[0], 8) ==
          "plan of rank 0 of 2: direct\n"
          "  1 tokens, top-2: 2 pairs kept, 0 dropped; 0 rows for 2 experts here\n"
          "  dispatch: 1 rows in, 0 rows out\n"
          "    all to all: sends 2 rows in 1 messages, receives 0 rows in 0\n"
          "  combine: 0 rows in, 1 rows out\n"
          "    all to all, back: sends 0 rows in 0 messages, receives 2 rows in 1\n"
          "  sent by dispatch: intra-node 0 rows, 0 messages, 0 bytes; "
          "inter-node 2 rows, 1 messages, 16 bytes\n"
          "  sent by combine: intra-node 0 rows, 0 messages, 0 bytes; "
          "inter-node 0 rows, 0 messages, 0 bytes\n");
}

TEST_CASE("the description of a whole cluster adds up its ranks", "[plan]") {
    CHECK(describe(two_ranks(node_aggregated{}), 8) ==
          "exchange of 2 ranks: node_aggregated\n"
          "  3 pairs kept, 0 dropped; at most 3 rows on one rank\n"
          "  sent by dispatch: intra-node 0 rows, 0 messages, 0 bytes; "
          "inter-node 1 rows, 1 messages, 8 bytes\n"
          "  sent by combine: intra-node 0 rows, 0 messages, 0 bytes; "
          "inter-node 1 rows, 1 messages, 8 bytes\n");
}

TEST_CASE("the JSON form lists every message", "[plan]") {
    CHECK(describe_json(two_ranks(direct{})[1], 4) ==
          R"({"strategy": "direct", "rank": 1, "ranks": 2, "tokens": 1, "choices": 2, )"
          R"("pairs_kept": 1, "pairs_dropped": 0, "row_bytes": 4, "experts": )"
          R"([{"expert": 2, "rows": 1}, {"expert": 3, "rows": 2}], )"
          R"("dispatch": {"rows_in": 1, "rows_out": 3, "traffic": )"
          R"({"intra_node": {"rows": 0, "messages": 0, "bytes": 0}, )"
          R"("inter_node": {"rows": 0, "messages": 0, "bytes": 0}}, )"
          R"("phases": [{"name": "all to all", "sends": [], "receives": )"
          R"([{"peer": 0, "tier": "inter-node", "first": 0, "rows": 2}]}]}, )"
          R"("combine": {"rows_in": 3, "rows_out": 1, "traffic": )"
          R"({"intra_node": {"rows": 0, "messages": 0, "bytes": 0}, )"
          R"("inter_node": {"rows": 2, "messages": 1, "bytes": 8}}, )"
          R"("phases": [{"name": "all to all, back", "sends": )"
          R"([{"peer": 0, "tier": "inter-node", "first": 0, "rows": 2}], "receives": []}]}})");
}
