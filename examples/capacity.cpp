// From a batch to a capacity: measure, bound, choose, follow, report. The snippets of
// include/locmoe/capacity/README.md are cut from here. Writes the plot to the file that is named.

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <optional>
#include <utility>
#include <vector>

#include "locmoe/capacity/adaptive_capacity.hpp"
#include "locmoe/capacity/drop_rate_capacity.hpp"
#include "locmoe/capacity/success_rates.hpp"
#include "locmoe/exec/in_process.hpp"
#include "locmoe/locmoe.hpp"

#if __has_include(<boost/math/special_functions/beta.hpp>)
#include "locmoe/capacity/exact_capacity_plot.hpp"
#include "locmoe/capacity/exact_drop_rate.hpp"
#define LOCMOE_EXAMPLE_HAS_BOOST 1
#else
#define LOCMOE_EXAMPLE_HAS_BOOST 0
#endif

using namespace locmoe;

constexpr std::size_t d = 256;   // hidden size
constexpr std::size_t n = 16;    // experts
constexpr std::size_t T = 2048;  // tokens of one rank

// [measure]
/// How the angles of all ranks' tokens are spread, in one exchange of 693 counts.
template <class Backend>
delta_sketch measure_step(Backend& backend, matrix_view<const float> x, const routing& r,
                          std::size_t step) {
    // every 61st token, others in each step: a twentieth of the gate's time
    const delta_statistics own =
        measure_grap_delta(x, n, r.chosen, {.every = 61, .first = step % 61});
    return delta_sketch::from_counts(backend.scan_counts(own.sketch.counts()).total);
}
// [measure]

// [schedule]
/// One step under any schedule: ask it, assign, show it what happened.
template <capacity_schedule Schedule, class Backend>
assignment scheduled_step(Schedule& schedule, Backend& backend, matrix_view<const float> x,
                          const routing& r, std::size_t step) {
    const count_scan load = backend.scan_counts(count_choices(r));
    std::int64_t pairs = 0;
    for (const std::int64_t l : load.total) pairs += l;
    const capacity_demand demand{static_cast<std::size_t>(pairs), 1, n};  // top-1, all ranks

    const assignment kept =
        assign(r, {.capacity = schedule.capacity(demand), .before = load.before});
    if (schedule.wants_delta()) {
        const delta_sketch delta = measure_step(backend, x, r, step);
        schedule.observe({.demand = demand, .load = load.total, .delta = &delta});
    } else {
        schedule.observe({.demand = demand, .load = load.total});
    }
    return kept;
}
// [schedule]

#if LOCMOE_EXAMPLE_HAS_BOOST
void bounds() {
    // [bounds]
    const token_angle angle{.hidden_size = 4096, .delta = 0.03};
    const double exact = least_capacity_exact(angle, 16).value();              // 1.14
    const double erfc = least_capacity_erfc(angle, 16).value();                // 1.14
    const double exponential = least_capacity_exponential(angle, 16).value();  // 0.395

    // What does a capacity support? The greatest |cos| whose bound it still meets:
    const double most =
        largest_delta_exact({.slots = 640, .hidden_size = 4096, .expert_count = 16});

    // One in expectation is none at all in one batch of three. To see 4 in 99 % of batches:
    const double share = discriminative_share(angle, 16);
    const std::int64_t slots = capacity_to_see({.share = share, .token_count = 4, .failure = 0.01});
    // [bounds]
    std::printf(
        "bounds: exact %.4g, erfc %.4g, exponential %.4g; 640 slots support |cos| up to %.4f; "
        "share %.3f, 4 seen in 99 %%: %lld slots\n",
        exact, erfc, exponential, most, share, static_cast<long long>(slots));
}

void choose(const std::vector<std::int64_t>& load) {
    // [drop_rate]
    // What would 600 slots have dropped of these loads [n]? What would have dropped at most 1 %?
    const double dropped = drop_fraction(load, 600);
    const std::int64_t seen = capacity_for_drop_rate(load, 0.01);

    // And of the next 8,192 choices, if they fall as these did, each on its own?
    const expected_load next{.load = load, .pair_count = 8192};
    const double expected = expected_drop_fraction(next, 600);
    const probability_bounds any = any_drop_probability(next, 600);
    const std::int64_t slots = capacity_for_expected_drop_rate(next, 0.01);
    // [drop_rate]
    std::printf(
        "600 slots: dropped %.4f, expected %.4f, any with chance %.3g to %.3g; 1 %%: %lld "
        "seen, %lld expected\n",
        dropped, expected, any.least, any.most, static_cast<long long>(seen),
        static_cast<long long>(slots));
}

capacity_report report(const delta_sketch& delta, const std::vector<std::int64_t>& load,
                       std::int64_t capacity, matrix_view<const float> x) {
    // [report]
    const capacity_report report = make_capacity_report({.hidden_size = d,
                                                         .demand = {4 * T, 1, n},
                                                         .capacity = capacity,
                                                         .load = load,
                                                         .delta = delta,
                                                         .isotropy = test_isotropy(x),
                                                         .row_bytes = d * sizeof(float),
                                                         .row_flops = 4.0 * d * 4 * d});
    std::puts(to_text(report).c_str());
    // [report]
    return report;
}
#endif

void success() {
    // [success]
    const std::vector<double> right(16, 0.2);   // the right token picks its expert
    const std::vector<double> wrong(16, 0.05);  // a wrong one beats it there
    const choice_odds odds{.token_count = 512, .capacity = 40, .right = right, .wrong = wrong};
    const double by_tokens = token_choice_success(odds);                    // 0.25
    const std::optional<double> by_experts = expert_choice_at_least(odds);  // none: q is too great
    const std::optional<double> switch_at = switch_over(odds);              // q = 0.0391
    // [success]
    std::printf("token choice %.3f, expert choice %s, switch at q = %.4f\n", by_tokens,
                by_experts ? "certain" : "uncertain", switch_at.value_or(0));
}

int main(int argc, char** argv) {
    run_in_process(4, [&](in_process_backend& backend) {
        const topology nodes = topology::uniform(2, 2);
        const expert_placement placement = expert_placement::blocked(n, 4);
        std::vector<float> numbers(T * d);
        std::uint64_t state = 17 + static_cast<std::uint64_t>(backend.rank());
        for (float& v : numbers) {  // a sum of uniform numbers, near enough to a normal one
            v = 0;
            for (int i = 0; i < 4; ++i) {
                state = state * 6364136223846793005u + 1442695040888963407u;
                v += static_cast<float>(state >> 40) * 0x1p-24f - 0.5f;
            }
        }
        const auto x = as_matrix(std::as_const(numbers), d);
        const routing r = locmoe_router(n).route(x, {backend.rank(), nodes, placement});

        adaptive_capacity adaptive({.hidden_size = d});
        drop_rate_capacity drop_rate({.rate = 0.01});
        for (std::size_t step = 0; step < 100; ++step) {
            scheduled_step(adaptive, backend, x, r, step);
            scheduled_step(drop_rate, backend, x, r, step);
        }
        const count_scan load = backend.scan_counts(count_choices(r));
        const delta_sketch delta = measure_step(backend, x, r, 0);
        if (backend.rank() != 0) return;
        std::printf("after 100 steps: adaptive factor %.3f, drop-rate factor %.3f\n",
                    adaptive.factor(), drop_rate.factor());
        success();
#if LOCMOE_EXAMPLE_HAS_BOOST
        bounds();
        choose(load.total);
        const capacity_report all =
            report(delta, load.total, *drop_rate.capacity({4 * T, 1, n}), x);
        if (argc > 1) {
            // [plot]
            std::ofstream(argv[1]) << to_svg(all);
            // [plot]
        }
#else
        std::printf("median |cos| %.3f (the exact bounds need Boost.Math)\n", delta.quantile(0.5));
        (void)argc, (void)argv;
#endif
    });
}
