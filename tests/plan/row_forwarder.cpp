#include "locmoe/plan/row_forwarder.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "locmoe/plan/plan_all.hpp"
#include "locmoe/plan/replay.hpp"
#include "locmoe/plan/validate.hpp"

#include "catch.hpp"
#include "random_cases.hpp"

using namespace locmoe;

namespace {

using lane = row_forwarder::lane;

/// The longest way: round and round, one rank a phase.
class ring_planner {
  public:
    std::size_t rounds;

    explicit ring_planner(const plan_request& request)
        : rounds(request.nodes.rank_count() - 1),
          me_(request.rank),
          placement_(&request.placement),
          rows_("ring", request, std::vector<std::string>(rounds, "next")) {
        rows_.start([&](expert_id e, row_index) { return next(e, 0); });
    }
    std::vector<message> outgoing(std::size_t round) { return rows_.send(round); }
    void incoming(std::size_t round, const std::vector<message>& received) {
        for (const message& m : received)
            rows_.receive(round, m, [&](expert_id e) { return next(e, round + 1); });
    }
    exchange_plan finish() { return rows_.finish(); }

  private:
    lane* next(expert_id e, std::size_t phase) {
        if (placement_->rank_of(e) == me_) return nullptr;
        return rows_.to(phase,
                        static_cast<rank_id>((static_cast<std::size_t>(me_) + 1) % (rounds + 1)));
    }

    rank_id me_;
    const expert_placement* placement_;
    row_forwarder rows_;
};

struct ring {
    std::string_view name() const { return "ring"; }
    ring_planner planner(const plan_request& request) const { return ring_planner(request); }
};

/// Two ranks of one expert each; rank 0 has one token for each.
struct pair_of_ranks {
    topology nodes = topology::single_node(2);
    expert_placement placement = expert_placement::blocked(2, 2);
    assignment assigned = assign(tokens());
    row_forwarder rows{"test", {0, nodes, placement, assigned}, {"one", "two"}};

    static routing tokens() {
        routing r;
        r.token_count = 2;
        r.choice_count = 1;
        r.expert_count = 2;
        r.chosen = {0, 1};
        r.weights = {1.0f, 1.0f};
        return r;
    }
    void start(lane* other) {
        rows.start([&](expert_id e, row_index) { return e == 0 ? nullptr : other; });
    }
};

lane* stays(expert_id) {
    return nullptr;
}

}  // namespace

TEST_CASE("rows that go from rank to rank in a ring keep every law", "[plan]") {
    for (std::uint32_t seed = 0; seed < 500; ++seed) {
        const auto job = random_cases::any_job(seed);
        INFO(job.text);
        const auto plans = plan_all(ring{}, job.nodes, job.placement, job.assigned);
        REQUIRE_NOTHROW(validate(plans));
        for (const exchange_plan& p : plans)
            for (const phase& step : p.dispatch.phases) REQUIRE(step.sends.size() <= 1);
    }
}

TEST_CASE("a phase waits only for the phases whose rows it passes on", "[plan]") {
    pair_of_ranks both;
    lane* back = both.rows.to(1, 1);
    both.start(both.rows.to(0, 1));
    CHECK(both.rows.to(0, 0) == nullptr);
    CHECK(both.rows.send(0).size() == 1);
    both.rows.receive(0, {1, {1 * 2 + 1}}, [&](expert_id) { return back; });
    CHECK(both.rows.send(1).size() == 1);
    const exchange_plan plan = both.rows.finish();
    CHECK(plan.dispatch.phases[0].needs == 0);
    CHECK(plan.dispatch.phases[1].needs == 1);
    CHECK(plan.expert_row_count() == 1);
}

TEST_CASE("rows on several ways are put in the order of the ways", "[plan]") {
    pair_of_ranks both;
    both.start(both.rows.to(0, 1));
    both.rows.send(0);
    const auto run = [](rank_id source, int way) { return -1 - (source * 2 + way); };
    both.rows.receive(0, {1, {run(1, 1), 1, 1, run(1, 0), 1}}, stays);
    const exchange_plan plan = both.rows.finish();
    CHECK(plan.dispatch.deliver.from == std::vector<row_index>{0, 4, 2, 3});  // own token first
}

TEST_CASE("runs of many ranks keep numbers beyond 32 bits on their way through a relay", "[plan]") {
    constexpr std::size_t ranks = 70000;
    const auto nodes = topology::single_node(ranks);
    const auto placement = expert_placement::blocked(ranks, ranks);
    routing none;
    none.expert_count = ranks;
    const assignment assigned = assign(none);
    row_forwarder rows("test", {0, nodes, placement, assigned}, {"in", "on"});
    rows.receive(0, {ranks - 1, {3}}, [&](expert_id) { return rows.to(1, 1); });
    const auto sent = rows.send(1);
    REQUIRE(sent.size() == 1);
    const std::int64_t run = std::int64_t{ranks - 1} * ranks;
    CHECK(sent[0].words == std::vector<std::int64_t>{-1 - run, 3});
}

TEST_CASE("a row that goes nowhere, or after its phase has left, is found out", "[plan]") {
    pair_of_ranks lost;
    CHECK_THROWS_WITH(lost.start(nullptr), Catch::Contains("test: rank 0 announced expert 1"));
    pair_of_ranks late;
    late.rows.send(0);
    late.start(late.rows.to(0, 1));
    CHECK_THROWS_WITH(
        late.rows.finish(),
        Catch::Contains("rank 0 has rows for rank 1 in phase 0, which has been sent"));
}

TEST_CASE("own pairs set out once", "[plan]") {
    pair_of_ranks both;
    CHECK_THROWS_WITH(both.rows.finish(), Catch::Contains("test: rank 0 has not started"));
    both.start(both.rows.to(0, 1));
    CHECK_THROWS_WITH(both.start(both.rows.to(0, 1)), Catch::Contains("rank 0 started twice"));
}

TEST_CASE("words that no sender can have meant are refused", "[plan]") {
    const std::array<std::pair<std::vector<std::int64_t>, const char*>, 5> wrong{{
        {{2 * 2 + 1}, "expert 2"},
        {{1 * 2 + 1}, "expert 1"},
        {{0}, "a row with no start"},
        {{1, -1, 0}, "a row with no start"},
        {{-1 - 4, 1}, "rows of rank 2"},
    }};
    for (const auto& [words, what] : wrong) {
        pair_of_ranks both;
        INFO(what);
        CHECK_THROWS_AS(both.rows.receive(0, {1, words}, stays), plan_error);
        CHECK_THROWS_WITH(both.rows.receive(0, {1, words}, stays), Catch::Contains(what));
    }
}
