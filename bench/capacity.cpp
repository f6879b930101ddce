// The capacity tools against their promises: errors over the stated regimes, what measuring costs
// beside the gate, and what the example trainer processes and learns under each schedule. Where the
// rival is a promise, `ratio` says how many times better than it a row is.

#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include <boost/multiprecision/cpp_bin_float.hpp>
#include <nlohmann/json.hpp>

#include "locmoe/capacity/exact_capacity.hpp"
#include "locmoe/capacity/exact_discriminative_capacity.hpp"
#include "locmoe/capacity/exact_drop_rate.hpp"
#include "locmoe/capacity/exact_isotropy.hpp"
#include "locmoe/capacity/exact_largest_delta.hpp"
#include "locmoe/capacity/measure_delta.hpp"
#include "locmoe/routing/dense_gate.hpp"
#include "locmoe/routing/grap_gate.hpp"
#include "locmoe/routing/softmax.hpp"
#include "locmoe/tensor/standard.hpp"

#include "../tests/capacity/reference_log_p.hpp"
#include "rows.hpp"

using namespace locmoe;

namespace {

constexpr std::size_t dimensions[] = {2, 3, 5, 16, 65, 256, 1024, 4096, 16384, 65536};

/// A row whose value may be at most `limit`.
bench::row within(const std::string& name, double value, const std::string& unit, double limit) {
    return {name, value, unit, "promise", limit, limit / value, 1.0};
}

/// The largest value of `of(d, delta)` over d from 2 to 65,536, delta from 1e-6 to 0.999.
double largest(const std::function<double(std::size_t, double)>& of, int steps = 60) {
    double worst = 0;
    for (const std::size_t d : dimensions)
        for (int i = 0; i <= steps; ++i) {
            const double delta = 0.999 * std::pow(1e-6 / 0.999, static_cast<double>(i) / steps);
            worst = std::fmax(worst, of(d, delta));
        }
    return worst;
}

void add_errors(bench::report& report) {
    report.add(within("exact form, log p: error over max(1, |log p|)",
                      largest(
                          [](std::size_t d, double delta) {
                              const double got = log_p_delta_exact({d, delta});
                              const auto expected = reference::reference_log_p(d, delta);
                              return std::fabs(static_cast<double>(got - expected)) /
                                     std::fmax(1, std::fabs(got));
                          },
                          30),
                      "relative", 1e-12));
    report.add(within(
        "erfc form, p: error over delta^2 + 1/d, while d delta^6 <= 1",
        largest([](std::size_t d, double delta) {
            const double n = static_cast<double>(d);
            if (n * std::pow(delta, 6) > 1) return 0.0;
            const token_angle angle{d, delta};
            return std::fabs(std::expm1(log_p_delta_erfc(angle) - log_p_delta_exact(angle))) /
                   (delta * delta + 1 / n);
        }),
        "of stated", 1));
    report.add(within("exponential form, p over the exact p, of 1.26 + sqrt(pi d / 2) delta",
                      largest([](std::size_t d, double delta) {
                          const double n = static_cast<double>(d);
                          if (d < 3 || n * std::pow(delta, 6) > 1) return 0.0;
                          const token_angle angle{d, delta};
                          return std::exp(log_p_delta_exponential(angle) -
                                          log_p_delta_exact(angle)) /
                                 (1.26 + std::sqrt(1.5707963267948966 * n) * delta);
                      }),
                      "of stated", 1));
    report.add(within("exponential form, the exact p over its bound, d >= 3",
                      largest(
                          [](std::size_t d, double delta) {
                              const token_angle angle{d, delta};
                              return d < 3 ? 0.0
                                           : std::exp(log_p_delta_exact(angle) -
                                                      log_p_delta_exponential(angle));
                          },
                          400),
                      "of bound", 1));

    // Round trips: from slots to the largest delta and back to slots, both as logarithms.
    const auto round_trip = [](auto largest_delta, auto least_capacity_of) {
        double worst = 0;
        for (const std::size_t d : dimensions)
            for (double slots = 1; slots < 1e6; slots *= 1.9) {
                const double delta = largest_delta(given_capacity{slots, d, 16});
                const token_angle angle{d, delta};
                if (delta > 0.999) continue;  // rounding delta itself moves the bound more
                const double back = least_capacity_of(angle, std::size_t{16}).log_slots;
                worst = std::fmax(
                    worst, std::fabs(back - std::log(slots)) / std::fmax(1, std::log(slots)));
            }
        return worst;
    };
    report.add(within("largest delta, exact form: round trip of log slots",
                      round_trip(largest_delta_exact, least_capacity_exact), "relative", 1e-12));
    report.add(within("largest delta, erfc form: round trip of log slots",
                      round_trip(largest_delta_erfc, least_capacity_erfc), "relative", 1e-12));
    report.add(within("largest delta, exponential form: round trip of log slots",
                      round_trip(largest_delta_exponential, least_capacity_exponential), "relative",
                      1e-12));
}

void add_tails(bench::report& report) {
    using digits = boost::multiprecision::cpp_bin_float_50;
    double excess = 0, few = 0;
    for (const std::int64_t n : {64, 1024, 4096})
        for (const double p : {1e-3, 1.0 / 64, 0.125, 0.5}) {
            // both sums of all binomial terms, from the top and from the bottom
            std::vector<digits> mass(static_cast<std::size_t>(n) + 1);
            mass[0] = pow(1 - digits(p), n);
            for (std::int64_t k = 0; k < n; ++k)
                mass[static_cast<std::size_t>(k) + 1] = mass[static_cast<std::size_t>(k)] *
                                                        digits(n - k) / (k + 1) *
                                                        (digits(p) / (1 - digits(p)));
            digits above = 0, expected = 0;
            for (std::int64_t c = n - 1; c >= 0; --c) {
                above += mass[static_cast<std::size_t>(c) + 1];
                expected += above;
                if (c % 16 != 0 || expected < 1e-280) continue;
                excess = std::fmax(excess, std::fabs(static_cast<double>(
                                               detail::binomial_excess(n, p, c) / expected - 1)));
            }
            digits below = 0;
            for (std::int64_t m = 1; m <= 32; ++m) {
                below += mass[static_cast<std::size_t>(m) - 1];
                if (below < 1e-280) continue;
                few = std::fmax(
                    few,
                    std::fabs(static_cast<double>(chance_of_too_few({p, m, 0.01}, n) / below - 1)));
            }
        }
    report.add(within("expected drops of a binomial load", excess, "relative", 1e-12));
    report.add(within("chance of too few discriminative tokens", few, "relative", 1e-12));

    double quantile = 0;
    for (int i = 0; i <= 100000; ++i) {
        delta_sketch sketch;
        const double v = std::fmax(1e-6, std::pow(10.0, -6e-5 * i));
        sketch.record(v);
        quantile = std::fmax(quantile, std::fabs(sketch.quantile(0.5) / v - 1));
    }
    report.add(within("sketch of |cos|, any quantile from 1e-6 to 1", quantile, "relative",
                      delta_sketch::relative_error * (1 + 1e-12)));
}

double milliseconds(const std::function<void()>& work) {
    const auto start = std::chrono::steady_clock::now();
    work();
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
        .count();
}

/// Least time of each of the works, taken in turns.
std::vector<double> least_times(const std::vector<std::function<void()>>& works, int turns) {
    std::vector<double> least(works.size(), 1e300);
    for (int turn = 0; turn < turns; ++turn)
        for (std::size_t i = 0; i < works.size(); ++i)
            least[i] = std::fmin(least[i], milliseconds(works[i]));
    return least;
}

void add_costs(bench::report& report) {
    const std::size_t tokens = 8192, d = 1024, n = 16;
    std::mt19937 bits(1);
    std::vector<float> numbers(tokens * d), gate_weights(n * d), storage(tokens * n);
    for (float& v : numbers) v = static_cast<float>(bits()) * 0x1p-32f - 0.5f;
    for (float& v : gate_weights) v = static_cast<float>(bits()) * 0x1p-32f - 0.5f;
    const auto x = as_matrix(std::as_const(numbers), d);
    const auto w = as_matrix(std::as_const(gate_weights), d);
    const auto logits = as_matrix(storage, n);
    const grap_gate<float> grap(n);
    const dense_gate<float> dense(w);
    grap.forward(x, logits);
    const auto chosen = top1(logits);

    double sink = 0;
    const auto times =
        least_times({[&] { grap.forward(x, logits); }, [&] { dense.forward(x, logits); },
                     [&] { sink += measure_grap_delta(x, n, chosen).sum; },
                     [&] { sink += measure_grap_delta(x, n, chosen, {.every = 61}).sum; },
                     [&] { sink += measure_delta(x, w, chosen).sum; },
                     [&] { sink += measure_delta(x, w, chosen, {.every = 31}).sum; },
                     [&] { sink += test_isotropy(x).axes_z; }},
                    15);
    const auto cost = [&](const std::string& name, std::size_t which, std::size_t gate,
                          bool target) {
        bench::row r{name, times[which] / times[gate],        "of gate",   "promise",
                     0.10, 0.10 * times[gate] / times[which], std::nullopt};
        if (target) r.target = 1.0;
        report.add(r);
    };
    cost("measuring delta beside the GrAP gate, every 61st token", 3, 0, true);
    cost("measuring delta beside a dense gate of 16, every 31st token", 5, 1, true);
    cost("measuring delta beside the GrAP gate, all tokens", 2, 0, false);
    cost("measuring delta beside a dense gate of 16, all tokens", 4, 1, false);
    report.add({"isotropy test of 256 tokens, d = 1,024", times[6], "ms",
                "the GrAP gate, 8,192 tokens", times[0], times[0] / times[6], std::nullopt});
    if (!(sink == sink)) std::puts("a NaN among the measurements");
}

#ifdef LOCMOE_BENCH_TRAINER
struct training {
    double expert_rows = 0;  ///< a step, forwards
    double bits = 0;         ///< a held-out byte
};

/// 600 steps of the example trainer under one schedule; none where it fails.
std::optional<training> train(const std::string& capacity) {
    const std::string trainer = LOCMOE_BENCH_TRAINER, results = trainer + ".json";
    const std::string command = "'" + trainer + "' --router locmoe --steps 600 --capacity " +
                                capacity + " --json '" + results + "' >/dev/null";
    std::fprintf(stderr, "training with capacity %s\n", capacity.c_str());
    if (std::system(command.c_str()) != 0) {
        std::fprintf(stderr, "rows left out, this failed: %s\n", command.c_str());
        return std::nullopt;
    }
    std::ifstream file(results);
    const auto router = nlohmann::json::parse(file).at("routers").at(0);
    return training{router.at("expert_tokens_per_step"), router.at("heldout_bits_per_byte")};
}

/// Rows against a factor of 1.25: adaptive promises 40 % fewer expert rows, each schedule a loss
/// within 1 %. False where the trainer failed.
bool add_training(bench::report& report) {
    const std::string rival = "factor:1.25";
    const auto usual = train(rival);
    if (!usual) return false;
    bool complete = true;
    for (const std::string capacity : {"locmoe", "adaptive", "drop-rate:0.01", "none"}) {
        const auto got = train(capacity);
        if (!got) {
            complete = false;
            continue;
        }
        bench::row rows{"trainer, " + capacity + ": expert rows a step",
                        got->expert_rows,
                        "rows",
                        rival,
                        usual->expert_rows,
                        usual->expert_rows / got->expert_rows,
                        std::nullopt};
        if (capacity == "adaptive") rows.target = 1 / 0.6;
        report.add(rows);
        report.add({"trainer, " + capacity + ": held-out bits per byte", got->bits, "bits/byte",
                    rival, usual->bits, usual->bits / got->bits, 0.99});
    }
    return complete;
}
#else
bool add_training(bench::report&) {
    std::puts("rows of the trainer left out: it was not built, configuring says what it misses");
    return true;
}
#endif

}  // namespace

int main(int argc, char** argv) {
    bench::report report("capacity", argc, argv);
    add_errors(report);
    add_tails(report);
    add_costs(report);
    const bool complete = add_training(report);
    const int code = report.finish();
    return complete ? code : 1;
}
