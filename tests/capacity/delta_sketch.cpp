#include "locmoe/capacity/delta_sketch.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "locmoe/exec/in_process.hpp"

#include "catch.hpp"

using locmoe::delta_sketch;

namespace {

/// Numbers from 1e-6 to 1, dense near `power` 0 and spread over all decades at 1.
std::vector<double> numbers(std::size_t count, double power, std::uint64_t seed) {
    std::mt19937_64 bits(seed);
    std::vector<double> all(count);
    for (double& v : all) {
        const double u = (static_cast<double>(bits() >> 11) + 0.5) * 0x1p-53;
        v = power == 0 ? std::fmax(u, 1e-6) : std::pow(10.0, -6 * u);
    }
    return all;
}

}  // namespace

TEST_CASE("every quantile is within 1 % of the sorted number's") {
    for (const double power : {0.0, 1.0})
        for (const std::size_t count : {1u, 2u, 17u, 5000u}) {
            std::vector<double> all = numbers(count, power, count);
            delta_sketch sketch;
            for (const double v : all) sketch.record(v);
            std::sort(all.begin(), all.end());
            CHECK(sketch.count() == static_cast<std::int64_t>(count));
            for (int i = 0; i <= 1000; ++i) {
                const double q = i / 1000.0;
                const double exact =
                    all[static_cast<std::size_t>(q * static_cast<double>(count - 1))];
                const double error = std::fabs(sketch.quantile(q) / exact - 1);
                if (!(error <= delta_sketch::relative_error * (1 + 1e-12)))
                    FAIL("count " << count << ", q " << q << ": off by " << error);
            }
            double sum = 0;
            for (const double v : all) sum += v;
            CHECK(sketch.mean() == Approx(sum / static_cast<double>(count)).epsilon(0.01));
        }
}

TEST_CASE("the bins cover 1e-6 to 1, and the error is stated with no room to spare") {
    double worst = 0;
    for (int i = 0; i <= 60000; ++i) {
        const double v = std::pow(10.0, -i / 10000.0);
        if (v < delta_sketch::least) continue;
        delta_sketch sketch;
        sketch.record(v);
        worst = std::fmax(worst, std::fabs(sketch.quantile(0.5) / v - 1));
    }
    CHECK(worst <= delta_sketch::relative_error * (1 + 1e-12));
    CHECK(worst > 0.0099);
}

TEST_CASE("sketches merge by plain sums of their counts, as ranks do") {
    const std::vector<double> all = numbers(3000, 1, 5);
    delta_sketch whole, first, second;
    for (std::size_t i = 0; i < all.size(); ++i) {
        whole.record(all[i]);
        (i % 3 == 0 ? first : second).record(all[i]);
    }
    second.skip();
    whole.skip();
    second.record(0);
    whole.record(0);
    std::vector<std::int64_t> sums(first.counts().begin(), first.counts().end());
    for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += second.counts()[i];
    const delta_sketch from_ranks = delta_sketch::from_counts(sums);
    first.merge(second);
    for (const delta_sketch& merged : {first, from_ranks}) {
        CHECK(std::equal(merged.counts().begin(), merged.counts().end(), whole.counts().begin()));
        CHECK(merged.skipped_count() == 1);
        CHECK(merged.count() == 3001);
        CHECK(merged.quantile(0) == 0);
        CHECK(merged.quantile(0.9) == whole.quantile(0.9));
    }
}

TEST_CASE("the ranks of a job get the sketch of all their tokens from one scan of counts") {
    const std::vector<double> all = numbers(600, 1, 11);
    delta_sketch whole;
    for (const double v : all) whole.record(v);
    std::array<bool, 3> same{};
    locmoe::run_in_process(3, [&](locmoe::in_process_backend& backend) {
        const auto rank = static_cast<std::size_t>(backend.rank());
        delta_sketch own;
        for (std::size_t i = rank; i < all.size(); i += 3) own.record(all[i]);
        const auto merged = delta_sketch::from_counts(backend.scan_counts(own.counts()).total);
        same[rank] =
            std::equal(merged.counts().begin(), merged.counts().end(), whole.counts().begin());
    });
    CHECK(same == std::array{true, true, true});
}

TEST_CASE("what is below the least counts as 0, above 1 as 1, and NaN apart") {
    delta_sketch sketch;
    sketch.record(0);
    sketch.record(9.9e-7);
    sketch.record(1);
    sketch.record(1 + 1e-9);
    sketch.record(std::numeric_limits<double>::quiet_NaN());
    CHECK(sketch.count() == 4);
    CHECK(sketch.skipped_count() == 1);
    CHECK(sketch.quantile(0) == 0);
    CHECK(sketch.quantile(0.4) == 0);
    CHECK(sketch.quantile(1) == Approx(0.99));
    CHECK(sketch.quantile(1) <= 1);
}

TEST_CASE("an empty sketch has no quantile, and what is no share or no sketch is refused") {
    const delta_sketch sketch;
    CHECK(std::isnan(sketch.quantile(0.5)));
    CHECK(std::isnan(sketch.mean()));
    for (const double q : {-0.1, 1.1, std::numeric_limits<double>::quiet_NaN()})
        CHECK_THROWS_AS(sketch.quantile(q), locmoe::argument_error);
    CHECK_THROWS_WITH(delta_sketch::from_counts(std::vector<std::int64_t>(5)),
                      "locmoe: delta_sketch::from_counts: counts: expected 693 counts, got 5");
    std::vector<std::int64_t> negative(693, 0);
    negative[7] = -1;
    CHECK_THROWS_AS(delta_sketch::from_counts(negative), locmoe::argument_error);
}
