#include "locmoe/routing/detail/widest.hpp"

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "locmoe/routing/detail/best_groups.hpp"
#include "locmoe/routing/score_function.hpp"
#include "locmoe/routing/top_k.hpp"

#include "catch.hpp"
#include "routing/support.hpp"

// `widest` on a processor that has wider instructions, against the plain body: elsewhere both are
// the same.
namespace {

using namespace locmoe;

std::vector<float> row_of(std::size_t n, std::uint64_t seed, double scale) {
    std::vector<float> row;
    for (const double x : routing_test::numbers(n, seed, scale)) row.push_back(float(x));
    return row;
}

std::vector<std::uint32_t> bits(const std::vector<float>& row) {
    std::vector<std::uint32_t> out;
    for (const float x : row) out.push_back(std::bit_cast<std::uint32_t>(x));
    return out;
}

}  // namespace

TEST_CASE("softmax and sigmoid are the same bits in every instruction set") {
    for (const std::size_t n : {1u, 8u, 15u, 16u, 37u, 64u, 256u, 300u})
        for (std::uint64_t seed = 0; seed < 30; ++seed) {
            const auto z = row_of(n, seed, seed % 3 == 0 ? 100 : 4);
            auto plain = z, wide = z;
            detail::softmax_in_place(plain.data(), n);
            detail::widest_fused<detail::softmax_in_place<float>>(wide.data(), n);
            CHECK(bits(plain) == bits(wide));
            plain = wide = z;
            detail::sigmoid_in_place(plain.data(), n);
            detail::widest_fused<detail::sigmoid_in_place<float>>(wide.data(), n);
            CHECK(bits(plain) == bits(wide));
            std::vector<double> plain_sum(n, 1.0), wide_sum = plain_sum;
            detail::add_shares(plain_sum.data(), plain.data(), n);
            detail::widest<detail::add_shares<float>>(wide_sum.data(), wide.data(), n);
            CHECK(plain_sum == wide_sum);
        }
}

TEST_CASE("a row that is not finite is found in every instruction set") {
    for (const std::size_t n : {1u, 16u, 37u, 256u})
        for (std::size_t place = 0; place < n; place += 5) {
            auto z = row_of(n, n, 1);
            CHECK(detail::widest<detail::row_is_finite<float>>(z.data(), n));
            z[place] = place % 2 == 0 ? std::numeric_limits<float>::infinity() : std::nanf("");
            CHECK_FALSE(detail::row_is_finite(z.data(), n));
            CHECK_FALSE(detail::widest<detail::row_is_finite<float>>(z.data(), n));
        }
}

TEST_CASE("top-k by threshold chooses the same in every instruction set, as insertion does") {
    std::size_t chose = 0;
    for (const std::size_t n : {2u, 15u, 16u, 17u, 32u, 63u, 64u, 65u, 100u, 128u, 256u, 300u})
        for (const std::size_t k : {1u, 2u, 4u, 8u, 16u})
            for (std::uint64_t seed = 0; seed < 20; ++seed) {
                auto z = row_of(n, seed * 77 + n, 1);
                if (seed % 4 == 1)
                    for (std::size_t i = 0; i < n; ++i)  // many ties, of 0 and -0 too
                        z[i] = std::floor(z[i] * 3) * (i % 2 == 0 ? 1.0f : -1.0f);
                if (seed % 4 == 2)
                    for (std::size_t i = 0; i < n; ++i)
                        if (z[i] < 0.5f) z[i] = -std::numeric_limits<float>::infinity();
                std::vector<expert_id> plain(k), wide(k), inserted(k);
                detail::top_k_by_insertion(std::span<const float>(z), std::span(inserted));
                const bool done = detail::top_k_by_threshold(z.data(), n, plain.data(), k);
                CHECK(detail::widest<detail::top_k_by_threshold<float>>(z.data(), n, wide.data(),
                                                                        k) == done);
                if (!done) continue;
                ++chose;
                CHECK(plain == inserted);
                CHECK(wide == inserted);
            }
    CHECK(chose > 600);
}

TEST_CASE("the best groups are the same in every instruction set, as by plain counting") {
    for (const std::size_t n : {8u, 24u, 64u, 100u, 256u})
        for (const std::size_t count : {2u, 5u, 8u})
            for (const bool in_order : {true, false})
                for (std::uint64_t seed = 0; seed < 10; ++seed) {
                    std::vector<std::size_t> group_of(n);
                    for (std::size_t e = 0; e < n; ++e)
                        group_of[e] = in_order ? e * count / n : (e + 1) % count;
                    const auto groups = expert_groups::from_group_of_expert(group_of);
                    CHECK(groups.in_order() == in_order);
                    const std::size_t limit = 1 + seed % (count - 1);
                    auto value = row_of(count + 16, seed + n, 2);
                    for (float& v : value) v = std::floor(v * 2);  // ties
                    const auto scores = row_of(n, seed * 5 + n, 1);

                    std::vector<float> want;
                    std::vector<expert_id> want_ids;
                    for (std::size_t e = 0; e < n; ++e) {
                        const std::size_t g = group_of[e];
                        std::size_t better = 0;
                        for (std::size_t h = 0; h < count; ++h)
                            better += value[h] > value[g] || (value[h] == value[g] && h < g);
                        if (in_order && better >= limit) continue;
                        const float out = -std::numeric_limits<float>::infinity();
                        want.push_back(better < limit ? scores[e] : out);
                        want_ids.push_back(expert_id(e));
                    }
                    const auto check = [&](auto take) {
                        auto steered = scores, memory = value;
                        std::vector<expert_id> ids(n);
                        const std::size_t left =
                            take(&groups, limit, steered.data(), memory.data(), ids.data());
                        steered.resize(left);
                        ids.resize(left);
                        CHECK(steered == want);
                        CHECK(ids == want_ids);
                    };
                    check([](auto... args) { return detail::take_best_groups<float>(args...); });
                    check([](auto... args) {
                        return detail::widest<detail::take_best_groups<float>>(args...);
                    });
                }
}
