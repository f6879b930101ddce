#include "locmoe/routing/detail/softmax_top_k.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include "locmoe/routing/softmax.hpp"
#include "locmoe/routing/top_k.hpp"

#include "catch.hpp"
#include "routing/support.hpp"

namespace {

using namespace locmoe;

// Rows with a gap between them, which must stay as it is.
struct logit_rows {
    std::size_t rows, n, stride = n + 5;
    std::vector<float> z;

    logit_rows(std::size_t row_count, std::size_t experts, double scale, double step)
        : rows(row_count), n(experts) {
        for (const double v : routing_test::numbers(rows * stride, n, scale))
            z.push_back(float(step == 0 ? v : step * std::floor(v / step)));
    }

    std::size_t at_once(std::size_t k, std::vector<expert_id>& chosen) {
        chosen.assign(rows * k, no_expert);
        return detail::softmax_top_k(z.data(), stride, rows, n, k, chosen.data());
    }
    void one_by_one(std::size_t k, std::vector<expert_id>& chosen, std::size_t count) {
        chosen.assign(rows * k, no_expert);
        for (std::size_t t = 0; t < count; ++t) {
            const std::span<float> row(z.data() + t * stride, n);
            top_k(std::span<const float>(row), std::span(chosen).subspan(t * k, k));
            softmax_row(row);
        }
    }
};

}  // namespace

TEST_CASE("eight rows at once have the choices and the bits of one by one, with ties and without") {
    for (const std::size_t n : {16u, 48u, 64u, 256u, 512u})
        for (const std::size_t k : {1u, 2u, 3u, 8u, 16u})
            for (const double step : {0.0, 0.5, 3.0})
                for (const double scale : {4.0, 300.0}) {
                    logit_rows a(37, n, scale, step), b = a;
                    std::vector<expert_id> chosen, expected;
                    const std::size_t done = a.at_once(k, chosen);
                    b.one_by_one(k, expected, done);
                    INFO("n " << n << ", k " << k << ", step " << step << ", scale " << scale);
                    CHECK(done % 8 == 0);
#if LOCMOE_HAS_EIGHT_ROWS
                    if (detail::has_eight_rows() && (k <= 2 || (k <= 8 && step == 0)))
                        CHECK(done == 32);
#endif
                    CHECK(chosen == expected);
                    CHECK(a.z == b.z);
                }
}

TEST_CASE("eight rows with a logit that is not finite are left as they were") {
    for (const std::size_t k : {1u, 2u, 8u})
        for (const float bad : {std::numeric_limits<float>::infinity(),
                                -std::numeric_limits<float>::infinity(),
                                std::numeric_limits<float>::quiet_NaN()}) {
            logit_rows a(24, 64, 4, 0);
            a.z[11 * a.stride + 63] = bad;
            const auto before = a.z;
            std::vector<expert_id> chosen;
            CHECK(a.at_once(k, chosen) <= 8);
            CHECK(std::equal(a.z.begin() + std::ptrdiff_t(8 * a.stride),
                             a.z.begin() + std::ptrdiff_t(11 * a.stride),
                             before.begin() + std::ptrdiff_t(8 * a.stride)));
        }
}
