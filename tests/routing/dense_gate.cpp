#include "locmoe/routing/dense_gate.hpp"

#include <limits>
#include <vector>

#include "locmoe/tensor/standard.hpp"

#include "catch.hpp"
#include "routing/support.hpp"

namespace {

using locmoe::as_matrix;
using locmoe::dense_gate;
using locmoe::matrix_view;
using routing_test::numbers;

// d reaches over several blocks of the sums and leaves a rest.
constexpr std::size_t T = 5, n = 3, d = 37;

matrix_view<const double> view(const std::vector<double>& flat, std::size_t cols) {
    return as_matrix(flat, cols);
}

}  // namespace

TEST_CASE("a dense gate's logits are the products of weights and tokens") {
    const auto x = numbers(T * d, 1);
    const auto w = numbers(n * d, 2);
    const bool relu = GENERATE(false, true);
    std::vector<double> logits(T * n, 99);
    dense_gate<double>(view(w, d), {.relu = relu}).forward(view(x, d), as_matrix(logits, n));
    bool any_negative = false;
    for (std::size_t t = 0; t < T; ++t)
        for (std::size_t i = 0; i < n; ++i) {
            double sum = 0;
            for (std::size_t j = 0; j < d; ++j) sum += x[t * d + j] * w[i * d + j];
            any_negative |= sum < 0;
            CHECK(logits[t * n + i] == Approx(relu && sum < 0 ? 0 : sum).epsilon(1e-12));
        }
    CHECK(any_negative);
}

TEST_CASE("a dense gate's backward pass is its derivative, and is added to what is there") {
    auto x = numbers(T * d, 3);
    auto w = numbers(n * d, 4);
    const auto c = numbers(T * n, 5);
    const bool relu = GENERATE(false, true);
    const dense_gate<double> gate(view(w, d), {.relu = relu});
    const auto loss = [&] {
        std::vector<double> logits(T * n);
        gate.forward(view(x, d), as_matrix(logits, n));
        return routing_test::dot(c, logits);
    };
    std::vector<double> grad_x(x.size()), grad_w(w.size());
    gate.backward(view(x, d), view(c, n), as_matrix(grad_x, d), as_matrix(grad_w, d));
    CHECK(routing_test::gradient_error(loss, x, grad_x) < 1e-6);
    CHECK(routing_test::gradient_error(loss, w, grad_w) < 1e-6);

    auto twice_x = grad_x, twice_w = grad_w;
    gate.backward(view(x, d), view(c, n), as_matrix(twice_x, d), as_matrix(twice_w, d));
    for (std::size_t i = 0; i < x.size(); ++i) CHECK(twice_x[i] == Approx(2 * grad_x[i]));
    for (std::size_t i = 0; i < w.size(); ++i) CHECK(twice_w[i] == Approx(2 * grad_w[i]));
}

TEST_CASE("the ReLU passes no gradient at 0, and lets NaN through") {
    const std::vector<double> w{1, 1};
    const std::vector<double> x{1, -1};
    const std::vector<double> g{1};
    std::vector<double> grad_x(2), grad_w(2), logits(1);
    const dense_gate<double> gate(view(w, 2), {.relu = true});
    gate.backward(view(x, 2), view(g, 1), as_matrix(grad_x, 2), as_matrix(grad_w, 2));
    CHECK(grad_x == std::vector<double>{0, 0});
    CHECK(grad_w == std::vector<double>{0, 0});

    const std::vector<double> bad{1, std::numeric_limits<double>::quiet_NaN()};
    gate.forward(view(bad, 2), as_matrix(logits, 1));
    CHECK(logits[0] != logits[0]);
}

TEMPLATE_TEST_CASE("a dense gate reads every element type as the number it holds", "", float,
                   double, locmoe::bf16, locmoe::fp16) {
    using traits = locmoe::element_traits<TestType>;
    const auto source = numbers(T * d, 6);
    const auto w = numbers(n * d, 7);
    const auto c = numbers(T * n, 8);
    std::vector<TestType> x;
    std::vector<double> held;
    for (const double v : source) {
        x.push_back(traits::store(static_cast<locmoe::sum_type_t<TestType>>(v)));
        held.push_back(static_cast<double>(traits::load(x.back())));
    }
    const dense_gate<double> gate(view(w, d));
    const matrix_view<const TestType> tokens = as_matrix(x, d);
    std::vector<double> logits(T * n), want(T * n);
    std::vector<double> gx(T * d), gw(n * d), want_gx(T * d), want_gw(n * d);
    gate.forward(tokens, as_matrix(logits, n));
    gate.forward(view(held, d), as_matrix(want, n));
    CHECK(logits == want);
    gate.backward(tokens, view(c, n), as_matrix(gx, d), as_matrix(gw, d));
    gate.backward(view(held, d), view(c, n), as_matrix(want_gx, d), as_matrix(want_gw, d));
    CHECK(gx == want_gx);
    CHECK(gw == want_gw);

    const std::vector<float> narrow(w.begin(), w.end());
    std::vector<float> in_float(T * n);
    dense_gate<float>(as_matrix(narrow, d)).forward(tokens, as_matrix(in_float, n));
    for (std::size_t i = 0; i < want.size(); ++i)
        CHECK(in_float[i] == Approx(want[i]).margin(1e-5));
}

TEST_CASE("a dense gate honours row strides") {
    const auto x = numbers(T * (d + 3), 9);
    const auto w = numbers(n * (d + 1), 10);
    std::vector<double> logits(T * (n + 2), 99);
    const dense_gate<double> gate(matrix_view<const double>(w.data(), n, d, d + 1));
    gate.forward(matrix_view<const double>(x.data(), T, d, d + 3),
                 matrix_view<double>(logits.data(), T, n, n + 2));
    double sum = 0;
    for (std::size_t j = 0; j < d; ++j) sum += x[4 * (d + 3) + j] * w[2 * (d + 1) + j];
    CHECK(logits[4 * (n + 2) + 2] == Approx(sum));
    CHECK(logits[n] == 99);
    CHECK(logits[n + 1] == 99);
}

TEST_CASE("a dense gate takes no tokens at all") {
    const auto w = numbers(n * d, 11);
    std::vector<double> grad_w(n * d);
    const dense_gate<double> gate(view(w, d));
    CHECK_NOTHROW(gate.forward(matrix_view<const double>{}, {}));
    CHECK_NOTHROW(gate.backward(matrix_view<const double>{}, {}, {}, as_matrix(grad_w, d)));
    CHECK(grad_w == std::vector<double>(n * d, 0));
}

TEST_CASE("a dense gate refuses shapes that do not fit, and says which") {
    const auto w = numbers(n * d, 12);
    const auto x = numbers(T * d, 13);
    const auto c = numbers(T * n, 14);
    std::vector<double> logits(T * n), grad_x(T * d), grad_w(n * d);
    const dense_gate<double> gate(view(w, d));
    CHECK_THROWS_AS(dense_gate<double>(matrix_view<const double>{}), locmoe::argument_error);
    CHECK_THROWS_WITH(dense_gate<double>(matrix_view<const double>(w.data(), 0, d)),
                      "locmoe: dense_gate: weights: expected [n, d] with at least one of each, got "
                      "[0, 37]");
    CHECK_THROWS_WITH(
        gate.forward(matrix_view<const double>(x.data(), T, d - 1), as_matrix(logits, n)),
        "locmoe: dense_gate: tokens: expected d = 37 columns (the gate weights'), got "
        "36");
    CHECK_THROWS_WITH(gate.forward(view(x, d), matrix_view<double>(logits.data(), T, n - 1)),
                      "locmoe: dense_gate: logits: expected [5, 3], got [5, 2]");
    CHECK_THROWS_WITH(gate.backward(view(x, d), matrix_view<const double>(c.data(), T - 1, n),
                                    as_matrix(grad_x, d), as_matrix(grad_w, d)),
                      "locmoe: dense_gate: grad_logits: expected [5, 3], got [4, 3]");
    CHECK_THROWS_WITH(gate.backward(view(x, d), view(c, n), {}, as_matrix(grad_w, d)),
                      "locmoe: dense_gate: grad_tokens: expected [5, 37], got [0, 0]");
    CHECK_THROWS_WITH(gate.backward(view(x, d), view(c, n), as_matrix(grad_x, d), {}),
                      "locmoe: dense_gate: gradient of the gate weights: expected [3, 37], got "
                      "[0, 0]");
}
