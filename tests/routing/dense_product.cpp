#include "locmoe/routing/detail/dense_product.hpp"

#include <cmath>
#include <cstddef>
#include <vector>

#include "catch.hpp"
#include "routing/support.hpp"

namespace {

using namespace locmoe;

template <class Real>
std::vector<Real> reals(std::size_t count, std::uint64_t seed) {
    const auto wide = routing_test::numbers(count, seed);
    return {wide.begin(), wide.end()};
}

/// X, W and Z with gaps between their rows; those of Z must stay as they are.
template <class Real>
struct product_case {
    std::size_t T, n, d;
    std::vector<Real> x = reals<Real>(T * (d + 3), T + d), w = reals<Real>(n * (d + 1), n);

    matrix_view<const Real> tokens() const { return {x.data(), T, d, d + 3}; }
    matrix_view<const Real> weights() const { return {w.data(), n, d, d + 1}; }

    template <class Product>
    std::vector<Real> run(Product product) const {
        std::vector<Real> z(T * (n + 2), Real(99));
        product(tokens(), weights(), matrix_view<Real>(z.data(), T, n, n + 2));
        return z;
    }
};

}  // namespace

TEMPLATE_TEST_CASE("the blocked product is right for every shape in every instruction set", "",
                   float, double) {
    const auto plain = [](auto x, auto w, auto z) {
        detail::product_with<TestType, TestType, 16>(x, detail::pack<TestType, 16>(w), 0, z);
    };
    const auto chosen = detail::dense_product<TestType, TestType>;
    for (const std::size_t T : {1u, 5u, 6u, 7u, 505u})
        for (const std::size_t n : {1u, 4u, 9u, 16u, 33u, 64u, 70u})
            for (const std::size_t d : {1u, 37u, 256u, 600u}) {
                if (T == 505 && (n > 16 || d > 256)) continue;
                const product_case<TestType> c{T, n, d};
                const auto in_plain = c.run(plain), in_chosen = c.run(chosen);
                const double digits = sizeof(TestType) == 4 ? 1e-6 : 1e-15;
                bool right = true;
                for (std::size_t t = 0; t < T; ++t)
                    for (std::size_t i = 0; i < n + 2; ++i) {
                        const std::size_t at = t * (n + 2) + i;
                        double want = i < n ? 0 : 99, size = 0;
                        for (std::size_t j = 0; i < n && j < d; ++j) {
                            const double product = double(c.tokens()(t, j)) *
                                                   double(c.weights()(i, j));
                            want += product;
                            size += std::fabs(product);
                        }
                        right &= std::fabs(double(in_plain[at]) - want) <= digits * size;
                        right &= std::fabs(double(in_chosen[at]) - want) <= digits * size;
                    }
                INFO("T " << T << ", n " << n << ", d " << d);
                CHECK(right);
            }
}

TEST_CASE("a logit has the same bits in every batch, beside every number of experts") {
    const std::size_t d = 1100, T = 13, n = 600;  // so many that columns go in shorter blocks
    const product_case<float> all{T, n, d};
    const auto logits = all.run(detail::dense_product<float, float>);
    for (std::size_t t = 0; t < T; ++t) {
        std::vector<float> z(5);
        detail::dense_product<float, float>({all.tokens().row(t).data(), 1, d},
                                            {all.weights().row(63).data(), 5, d, d + 1},
                                            {z.data(), 1, 5});
        for (std::size_t i = 0; i < 5; ++i) CHECK(z[i] == logits[t * (n + 2) + 63 + i]);
    }
}

TEMPLATE_TEST_CASE("AVX2 and AVX-512 give a product of the same bits", "", float, double) {
#if LOCMOE_HAS_FUSED
    if (!detail::has_avx2_fused() || !detail::has_avx512()) return;
    const auto avx2 = [](auto x, auto w, auto z) {
        detail::product_avx2<TestType, TestType>(x, detail::pack<TestType, 32>(w), 0, z);
    };
    const auto avx512 = [](auto x, auto w, auto z) {
        detail::product_avx512<TestType, TestType>(x, detail::pack<TestType, 64>(w), 0, z);
    };
    for (const std::size_t n : {1u, 16u, 70u, 130u})
        for (const std::size_t d : {37u, 256u, 1100u}) {
            const product_case<TestType> c{11, n, d};
            CHECK(c.run(avx2) == c.run(avx512));
        }
#endif
}
