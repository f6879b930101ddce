#include "locmoe/routing/grap_gate.hpp"

#include <cstddef>
#include <vector>

#include "locmoe/routing/dense_gate.hpp"
#include "locmoe/tensor/standard.hpp"

#include "catch.hpp"
#include "routing/support.hpp"

namespace {

using locmoe::as_matrix;
using locmoe::grap_gate;
using locmoe::matrix_view;
using routing_test::numbers;

constexpr std::size_t T = 4, n = 3;

// n divides the first and the last; the others leave 1 and 2 over.
std::size_t width() {
    return GENERATE(6u, 7u, 8u, 100u, 101u, 3u);
}

matrix_view<const double> view(const std::vector<double>& flat, std::size_t cols) {
    return as_matrix(flat, cols);
}

}  // namespace

TEST_CASE("a GrAP logit is the mean of its segment, the first d mod n segments longer by one") {
    const std::vector<double> x{1, 2, 6, 10, 20, 100, 300, -1};
    std::vector<double> logits(3);
    grap_gate<double>(3).forward(view(x, 8), as_matrix(logits, 3));
    CHECK(logits == std::vector<double>{3, 130.0 / 3, 149.5});
    grap_gate<double>(3).forward(matrix_view<const double>(x.data(), 1, 7), as_matrix(logits, 3));
    CHECK(logits == std::vector<double>{3, 15, 200});
    grap_gate<double>(3).forward(matrix_view<const double>(x.data(), 1, 6), as_matrix(logits, 3));
    CHECK(logits == std::vector<double>{1.5, 8, 60});
}

TEST_CASE("a GrAP gate equals the dense gate with its equivalent weights, forward and backward") {
    const std::size_t d = width();
    const auto x = numbers(T * d, d);
    const auto c = numbers(T * n, d + 1);
    const grap_gate<double> grap(n);
    const auto w = grap.equivalent_weights(d);
    const locmoe::dense_gate<double> dense(view(w, d));
    std::vector<double> a(T * n), b(T * n), grad_a(T * d), grad_b(T * d), grad_w(n * d);
    grap.forward(view(x, d), as_matrix(a, n));
    dense.forward(view(x, d), as_matrix(b, n));
    for (std::size_t i = 0; i < a.size(); ++i) CHECK(a[i] == Approx(b[i]).margin(1e-14));
    grap.backward(view(x, d), view(c, n), as_matrix(grad_a, d), {});
    dense.backward(view(x, d), view(c, n), as_matrix(grad_b, d), as_matrix(grad_w, d));
    for (std::size_t i = 0; i < grad_a.size(); ++i) CHECK(grad_a[i] == Approx(grad_b[i]));
}

TEST_CASE("the equivalent weights cover each column once, and have one norm where n divides d") {
    const std::size_t d = width();
    const auto w = grap_gate<double>(n).equivalent_weights(d);
    for (std::size_t j = 0; j < d; ++j) {
        int covered = 0;
        for (std::size_t i = 0; i < n; ++i) covered += w[i * d + j] != 0;
        CHECK(covered == 1);
    }
    for (std::size_t i = 0; i < n; ++i) {
        double sum = 0, squares = 0;
        for (std::size_t j = 0; j < d; ++j) {
            sum += w[i * d + j];
            squares += w[i * d + j] * w[i * d + j];
        }
        CHECK(sum == Approx(1));
        if (d % n == 0) CHECK(squares == Approx(double(n) / double(d)));
    }
}

TEST_CASE("a GrAP gate's backward pass is its derivative, and is added to what is there") {
    const std::size_t d = width();
    auto x = numbers(T * d, d + 2);
    const auto c = numbers(T * n, d + 3);
    const grap_gate<double> gate(n);
    const auto loss = [&] {
        std::vector<double> logits(T * n);
        gate.forward(view(x, d), as_matrix(logits, n));
        return routing_test::dot(c, logits);
    };
    std::vector<double> grad(T * d);
    gate.backward(view(x, d), view(c, n), as_matrix(grad, d), {});
    CHECK(routing_test::gradient_error(loss, x, grad) < 1e-6);
    auto twice = grad;
    gate.backward(view(x, d), view(c, n), as_matrix(twice, d), {});
    for (std::size_t i = 0; i < grad.size(); ++i) CHECK(twice[i] == Approx(2 * grad[i]));
}

TEMPLATE_TEST_CASE("a GrAP gate reads every element type as the number it holds", "", float, double,
                   locmoe::bf16, locmoe::fp16) {
    using traits = locmoe::element_traits<TestType>;
    constexpr std::size_t d = 101;
    std::vector<TestType> x;
    std::vector<double> held;
    for (const double v : numbers(T * d, 20)) {
        x.push_back(traits::store(static_cast<locmoe::sum_type_t<TestType>>(v)));
        held.push_back(static_cast<double>(traits::load(x.back())));
    }
    const matrix_view<const TestType> tokens = as_matrix(x, d);
    std::vector<double> logits(T * n), want(T * n), grad(T * d);
    std::vector<float> in_float(T * n);
    grap_gate<double>(n).forward(tokens, as_matrix(logits, n));
    grap_gate<double>(n).forward(view(held, d), as_matrix(want, n));
    grap_gate<float>(n).forward(tokens, as_matrix(in_float, n));
    CHECK(logits == want);
    for (std::size_t i = 0; i < want.size(); ++i)
        CHECK(in_float[i] == Approx(want[i]).margin(1e-6));
    grap_gate<double>(n).backward(tokens, view(want, n), as_matrix(grad, d), {});
    CHECK(grad[0] == Approx(want[0] / 34));
    CHECK(grad[d - 1] == Approx(want[2] / 33));
}

TEST_CASE("a GrAP gate refuses shapes that do not fit, and says which") {
    const auto x = numbers(T * n, 21);
    std::vector<double> logits(T * n), grad(T * n);
    CHECK_THROWS_WITH(grap_gate<double>(0),
                      "locmoe: grap_gate: experts: expected at least one, got none");
    const grap_gate<double> gate(n);
    const std::string few =
        "locmoe: grap_gate: tokens: expected at least n = 3 columns, one a segment, got 2";
    const matrix_view<const double> narrow(x.data(), T, 2);
    CHECK_THROWS_AS(gate.forward(narrow, as_matrix(logits, n)), locmoe::argument_error);
    CHECK_THROWS_WITH(gate.forward(narrow, as_matrix(logits, n)), few);
    CHECK_THROWS_WITH(gate.backward(narrow, as_matrix(logits, n), as_matrix(grad, n), {}), few);
    CHECK_THROWS_WITH(gate.equivalent_weights(2), few);
    CHECK_THROWS_WITH(gate.forward(view(x, n), matrix_view<double>(logits.data(), T, 4)),
                      "locmoe: grap_gate: logits: expected [4, 3], got [4, 4]");
    CHECK_THROWS_WITH(gate.backward(view(x, n), {}, as_matrix(grad, n), {}),
                      "locmoe: grap_gate: grad_logits: expected [4, 3], got [0, 0]");
    CHECK_THROWS_WITH(gate.backward(view(x, n), view(x, n), {}, {}),
                      "locmoe: grap_gate: grad_tokens: expected [4, 3], got [0, 0]");
    CHECK_THROWS_WITH(
        gate.backward(view(x, n), view(x, n), as_matrix(grad, n), as_matrix(logits, n)),
        "locmoe: grap_gate: gradient of the gate weights (it has none): expected "
        "[0, 0], got [4, 3]");
    CHECK_NOTHROW(gate.forward(matrix_view<const double>{}, {}));
    CHECK_NOTHROW(gate.backward(matrix_view<const double>{}, {}, {}, {}));
}

TEST_CASE("GrAP's blocks read from a token to the last one and no further", "[routing]") {
    const std::vector<float> table(5 * 7);
    const matrix_view<const float> tokens(table.data(), 5, 4, 7);  // rows of 4, 7 apart
    const auto blocks = grap_gate<float>(2).in_blocks(tokens);
    for (std::size_t first = 0; first < 5; ++first) {
        const auto bytes = blocks.bytes_from(first);
        CHECK(bytes.data() == reinterpret_cast<const std::byte*>(table.data() + first * 7));
        CHECK(bytes.size() == ((4 - first) * 7 + 4) * sizeof(float));
    }
    CHECK(blocks.bytes_from(5).empty());
    CHECK(blocks.bytes_from(13).empty());
}
