#include "locmoe/plan/pipeline_stages.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "catch.hpp"

using namespace locmoe;

namespace {

/// Two phases at once, then one that needs both.
cost_estimate three_phases() {
    cost_estimate e;
    e.phases = {{"own node", link_tier::intra_node, 0, 2000, 500, 10000, 100},
                {"to relays", link_tier::inter_node, 0, 5000, 3000, 800000, 4000},
                {"relays to experts", link_tier::intra_node, 2, 2000, 700, 60000, 5000}};
    e.deliver = 6000;
    return e;
}

}  // namespace

TEST_CASE("a layer in one chunk takes its legs there, its experts and its legs back", "[plan]") {
    const cost_estimate e = three_phases();
    const std::int64_t experts = 300000;
    // The first leg is as long as its phase between nodes; the second has one phase.
    const std::int64_t there = (5000 + 3000 + 800000) + (2000 + 700 + 60000);
    CHECK(pipelined_nanoseconds(pipeline_stages(e, 300e-6), 1) == 2 * there + experts + 2 * 6000);
}

TEST_CASE("the experts come between the legs and pack beside their own work", "[plan]") {
    const std::vector<pipeline_stage> stages = pipeline_stages(three_phases(), 1e-3);
    CHECK(stages.size() == 2 * 2 * 3 + 1);
    std::size_t last = 0;
    double on_accelerator = 0;
    for (const pipeline_stage& s : stages) {
        last = s.step > last ? s.step : last;
        if (s.resource == stages.back().resource) on_accelerator += s.seconds;
    }
    CHECK(stages.back().step == 2);
    CHECK(last == 4);
    CHECK(on_accelerator == Approx(1e-3 + 2 * (100 + 4000 + 5000 + 6000) * 1e-9));
}

TEST_CASE("long experts beside a long exchange ask for chunks and short ones for none", "[plan]") {
    CHECK(chunk_count(pipeline_stages(three_phases(), 1.6e-3)) > 4);
    cost_estimate tiny = three_phases();
    for (phase_cost& p : tiny.phases) p.bytes = p.pack = 10;
    CHECK(chunk_count(pipeline_stages(tiny, 1e-7)) == 1);
}

TEST_CASE("an exchange without phases leaves the experts alone", "[plan]") {
    CHECK(pipelined_nanoseconds(pipeline_stages(cost_estimate{}, 1e-3), 1) == 1000000);
}
