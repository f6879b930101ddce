#include <cstdint>
#include <vector>

#include "attention.hpp"
#include "catch.hpp"
#include "cross_entropy.hpp"
#include "embedding.hpp"
#include "feed_forward.hpp"
#include "gradients.hpp"
#include "layer_norm.hpp"
#include "linear.hpp"

namespace {

using namespace trainer;
using namespace trainer_tests;

/// Layers whose backward pass takes x and writes its gradient.
template <class Layer>
void check_layer(Layer& layer, matrix<double> x, std::size_t outputs) {
    const auto toward = random_matrix(x.shape(0), outputs, 11);
    matrix<double> y({x.shape(0), outputs}), grad_x({x.shape(0), x.shape(1)});
    const auto loss = [&] {
        layer.forward(in(x), out(y));
        return inner(y, toward);
    };
    loss();
    layer.backward(in(x), in(toward), out(grad_x));
    std::vector<parameter<double>*> parameters;
    layer.list(parameters);
    check_parameters(parameters, loss);
    check_gradient("x", {x.data(), x.size()}, {grad_x.data(), grad_x.size()}, loss);
}

/// Gives the parameters that start from one number others, so that no gradient hides behind it.
template <class Layer>
void roughen(Layer& layer) {
    std::vector<parameter<double>*> parameters;
    layer.list(parameters);
    for (auto* p : parameters) {
        generator draw(seed_for(3, p->name));
        for (double& v : p->value) v += 0.3 * draw.normal();
    }
}

}  // namespace

TEST_CASE("A linear layer's gradients are its finite differences") {
    linear<double> layer("linear", 6, 9, 1, 5);
    roughen(layer);
    check_layer(layer, random_matrix(7, 6, 1), 9);
}

TEST_CASE("An expert's gradients are its finite differences, and it takes no rows at all") {
    feed_forward<double> expert("expert", 6, 10, 1, 1, 5);
    roughen(expert);
    check_layer(expert, random_matrix(7, 6, 2), 6);

    matrix<double> nothing({0, 6}), y({0, 6}), grad({0, 6});
    expert.forward(in(nothing), out(y));
    expert.backward(in(nothing), in(y), out(grad));
    CHECK(grad.shape(0) == 0);
}

TEST_CASE("Attention's gradients are its finite differences") {
    attention<double> layer("attention", 5, 8, 2, 1, 5);
    roughen(layer);
    check_layer(layer, random_matrix(15, 8, 3), 8);
}

TEST_CASE("Attention looks at no later row and at no other sequence") {
    attention<double> layer("attention", 4, 8, 2, 1, 5);
    auto x = random_matrix(8, 8, 4);
    matrix<double> before({8, 8}), after({8, 8});
    layer.forward(in(x), out(before));
    for (std::size_t j = 0; j < 8; ++j) x(2, j) += 1;
    layer.forward(in(x), out(after));
    for (std::size_t t = 0; t < 8; ++t) {
        double change = 0;
        for (std::size_t j = 0; j < 8; ++j) change += std::abs(after(t, j) - before(t, j));
        INFO("row " << t);
        if (t == 2 || t == 3)
            CHECK(change > 1e-3);
        else
            CHECK(change == 0);
    }
}

TEST_CASE("A layer norm's gradients are its finite differences and add to the residual's") {
    layer_norm<double> layer("norm", 6);
    roughen(layer);
    auto x = random_matrix(5, 6, 5);
    const auto toward = random_matrix(5, 6, 6);
    matrix<double> y({5, 6}), grad_x = xt::ones<double>({5, 6});
    const auto loss = [&] {
        layer.forward(in(x), out(y));
        double sum = inner(y, toward);
        for (const double v : x) sum += v;  // the residual path
        return sum;
    };
    loss();
    layer.backward(in(toward), out(grad_x));
    std::vector<parameter<double>*> parameters;
    layer.list(parameters);
    check_parameters(parameters, loss);
    check_gradient("x", {x.data(), x.size()}, {grad_x.data(), grad_x.size()}, loss);
}

TEST_CASE("A layer norm makes rows of mean 0 and variance 1") {
    layer_norm<float> layer("norm", 64);
    matrix<float> x({2, 64}), y({2, 64});
    for (std::size_t i = 0; i < x.size(); ++i)
        x.data()[i] = 5.0f + 3.0f * static_cast<float>(i % 7);
    layer.forward(in(x), out(y));
    for (std::size_t t = 0; t < 2; ++t) {
        double mean = 0, square = 0;
        for (std::size_t j = 0; j < 64; ++j) {
            mean += double(y(t, j)) / 64;
            square += double(y(t, j)) * double(y(t, j)) / 64;
        }
        CHECK(mean == Approx(0).margin(1e-6));
        CHECK(square == Approx(1).epsilon(1e-4));
    }
}

TEST_CASE(
    "An embedding's gradients are its finite differences, and it sees only what came before") {
    embedding<double> layer("embedding", 4, 3, 5, 5);
    const std::vector<std::int32_t> ids = {1, 7, 1, 255, 0, 1, 1, 7};
    const auto toward = random_matrix(8, 5, 8);
    matrix<double> y({8, 5});
    const auto loss = [&] {
        layer.forward(ids, out(y));
        return inner(y, toward);
    };
    loss();
    layer.backward(ids, in(toward));
    std::vector<parameter<double>*> parameters;
    layer.list(parameters);
    for (auto* p : parameters) {
        const std::vector<double> gradient(p->gradient.begin(), p->gradient.end());
        check_gradient(p->name, p->values(), gradient, loss,
                       p->name == "embedding.bytes" ? 1500 : 40);
    }

    const auto check_seen_by = [&](std::size_t where, std::size_t first, std::size_t end) {
        auto changed = ids;
        changed[where] = 9;
        matrix<double> other({8, 5});
        layer.forward(changed, out(other));
        for (std::size_t t = 0; t < 8; ++t) {
            INFO("byte " << where << ", row " << t);
            CHECK((other(t, 0) != y(t, 0)) == (t >= first && t < end));
        }
    };
    check_seen_by(1, 1, 4);
    check_seen_by(3, 3, 4);  // the last byte of the first sequence
    check_seen_by(4, 4, 7);
}

TEST_CASE("The cross-entropy's gradient is its finite difference, and uncounted rows have none") {
    const auto logits = random_matrix(4, 6, 9);
    const std::vector<std::int32_t> targets = {2, no_target, 5, 0};
    const double scale = 0.25;
    auto x = logits;
    const auto loss = [&] {
        auto copied = x;
        return scale * cross_entropy(out(copied), targets, scale);
    };
    auto gradient = logits;
    cross_entropy(out(gradient), targets, scale);
    check_gradient("logits", {x.data(), x.size()}, {gradient.data(), gradient.size()}, loss);
    for (std::size_t j = 0; j < 6; ++j) CHECK(gradient(1, j) == 0);
}

TEST_CASE("Even logits cost ln of the number of symbols") {
    matrix<double> x = xt::zeros<double>({3, 256});
    CHECK(cross_entropy(out(x), std::vector<std::int32_t>{1, 2, 3}, 1.0) ==
          Approx(3 * std::log(256.0)));
}
