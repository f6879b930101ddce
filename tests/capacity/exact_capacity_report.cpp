#include "locmoe/capacity/exact_capacity_report.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "catch.hpp"

using Catch::Contains;
using locmoe::capacity_step;
using locmoe::delta_sketch;
using locmoe::make_capacity_report;
using locmoe::to_json;
using locmoe::to_text;

namespace {

const std::vector<std::int64_t> load{500, 300, 150, 50};

capacity_step some_step() {
    capacity_step step;
    step.hidden_size = 1024;
    step.demand = {1000, 1, 4};
    step.capacity = 200;
    step.load = load;
    for (const double v : {0.02, 0.04, 0.06, 0.1}) step.delta.record(v);
    step.delta.skip();
    step.row_bytes = 4096;
    step.row_flops = 1e6;
    return step;
}

/// Braces and quotes match, and nothing stands that JSON has no word for.
void check_json(const std::string& text) {
    int depth = 0;
    int least = 0;
    int quotes = 0;
    for (const char c : text) {
        depth += c == '{' ? 1 : c == '}' ? -1 : 0;
        quotes += c == '"' ? 1 : 0;
        least = depth < least ? depth : least;
    }
    CHECK(least == 0);
    CHECK(depth == 0);
    CHECK(quotes % 2 == 0);
    CHECK_THAT(text, !Contains("inf") && !Contains("nan"));
}

}  // namespace

TEST_CASE("the report holds the bounds of all forms at the mean, and its quantiles") {
    const auto step = some_step();
    const auto r = make_capacity_report(step);
    const locmoe::token_angle angle{1024, step.delta.mean()};
    CHECK(r.mean_delta == step.delta.mean());
    CHECK(r.exact.log_slots == locmoe::least_capacity_exact(angle, 4).log_slots);
    CHECK(r.erfc.log_slots == locmoe::least_capacity_erfc(angle, 4).log_slots);
    CHECK(r.exponential.log_slots == locmoe::least_capacity_exponential(angle, 4).log_slots);
    CHECK(r.greatest_delta == Approx(0.1).epsilon(0.01));
    CHECK(r.median_delta == Approx(0.04).epsilon(0.01));
    CHECK(r.pair_count == 4);
    CHECK(r.skipped_count == 1);
    REQUIRE(r.largest_delta);
    CHECK(locmoe::least_capacity_exact({1024, *r.largest_delta}, 4).value() == Approx(200));
    const double share = locmoe::discriminative_share(angle, 4);
    CHECK(locmoe::chance_of_too_few({.share = share}, r.slots_to_see_one) <= 0.01);
}

TEST_CASE("kept, dropped and saved add up") {
    const auto r = make_capacity_report(some_step());
    CHECK(r.used.dropped == 300 + 100);
    CHECK(r.used.kept + r.used.dropped == 1000);
    CHECK(r.used.factor == Approx(0.8));
    CHECK(r.used.padded == 800);
    CHECK(r.rival.capacity == 313);  // ceil(1.25 * 250)
    CHECK(r.rival.dropped == 187);
    CHECK(r.saved.bytes == (813 - 600) * 2.0 * 4096);
    CHECK(r.saved.flops == (813 - 600) * 1e6);
    CHECK(r.saved_padded.bytes == (4 * 313 - 800) * 2.0 * 4096);
}

TEST_CASE("a dropless step keeps all and pads to its greatest load") {
    auto step = some_step();
    step.capacity.reset();
    const auto r = make_capacity_report(step);
    CHECK(r.used.kept == 1000);
    CHECK(r.used.dropped == 0);
    CHECK(r.used.padded == 2000);
    CHECK_FALSE(r.largest_delta);
    CHECK(r.saved.bytes < 0);
    CHECK_THAT(to_text(r), Contains("in use: dropless; 1000 choices kept"));
    CHECK_THAT(to_json(r), Contains(R"("used": {"capacity": null, "factor": null)"));
    check_json(to_json(r));
}

TEST_CASE("the text says what a person asks, the JSON what a program does") {
    const auto r = make_capacity_report(some_step());
    const std::string text = to_text(r);
    CHECK_THAT(text, Contains("4 experts, d = 1024, 1000 tokens, top-1"));
    CHECK_THAT(text,
               Contains("in use: 200 slots, factor 0.8; 600 choices kept, 400 dropped (40.00 %)"));
    CHECK_THAT(text, Contains("rival: 313 slots"));
    CHECK_THAT(text, Contains("isotropy was not tested"));
    const std::string json = to_json(r);
    check_json(json);
    CHECK_THAT(json,
               Contains(R"("used": {"capacity": 200, "factor": 0.80000000000000004, "kept": 600)"));
    CHECK_THAT(json, Contains(R"("isotropy": null)"));
}

TEST_CASE("the report says when the tokens are not isotropic") {
    auto step = some_step();
    locmoe::isotropy_test test;
    test.token_count = 256;
    test.level = 0.01;
    test.effective_dimensions = 12.5;
    step.isotropy = test;
    CHECK_THAT(to_text(make_capacity_report(step)), Contains("nothing speaks against isotropic"));
    step.isotropy->axes_p = 1e-9;
    const auto r = make_capacity_report(step);
    CHECK_THAT(to_text(r), Contains("NOT isotropic") && Contains("the bound is no bound") &&
                               Contains("12.5 of the 1024 dimensions"));
    CHECK_THAT(to_json(r), Contains(R"("isotropic": false)"));
    check_json(to_json(r));
    step.isotropy->effective_dimensions = std::numeric_limits<double>::infinity();
    check_json(to_json(make_capacity_report(step)));
}

TEST_CASE("bounds past every double stay words that JSON knows") {
    auto step = some_step();
    step.hidden_size = 65536;
    step.delta = {};
    step.delta.record(0.9);
    const auto r = make_capacity_report(step);
    CHECK(r.exact.log_slots > 1000);
    CHECK_THAT(to_text(r), Contains("2^53 or more") && Contains("exact 10^"));
    check_json(to_json(r));
}

TEST_CASE("a report refuses steps that do not fit together") {
    const auto without = [](auto change) {
        auto step = some_step();
        change(step);
        return make_capacity_report(step);
    };
    CHECK_THROWS_AS(without([](auto& s) { s.delta = {}; }), locmoe::argument_error);
    CHECK_THROWS_AS(without([](auto& s) { s.load = {}; }), locmoe::argument_error);
    CHECK_THROWS_AS(without([](auto& s) { s.demand.expert_count = 5; }), locmoe::argument_error);
    CHECK_THROWS_AS(without([](auto& s) { s.capacity = -1; }), locmoe::argument_error);
    CHECK_THROWS_AS(without([](auto& s) { s.hidden_size = 1; }), locmoe::argument_error);
    CHECK_THROWS_AS(without([](auto& s) { s.rival_factor = 0; }), locmoe::argument_error);
    CHECK_THROWS_AS(without([](auto& s) { s.row_flops = -1; }), locmoe::argument_error);
    CHECK(without([](auto& s) { s.capacity = 0; }).used.kept == 0);
}
