#include "locmoe/routing/sequence_auxiliary_loss.hpp"

#include <cstdint>
#include <vector>

#include "locmoe/routing/softmax.hpp"
#include "locmoe/tensor/standard.hpp"

#include "catch.hpp"
#include "routing/support.hpp"

namespace {

using locmoe::as_matrix;
using locmoe::sequence_auxiliary_loss;
using locmoe::token_sequences;
using decided_t = locmoe::basic_routing<double>;

constexpr std::size_t T = 7, n = 4, k = 2;

decided_t any_routing(std::uint64_t seed) {
    decided_t d{T, k, n, {}, std::vector<double>(T * k, 0.5), {}};
    d.probabilities = routing_test::numbers(T * n, seed, 2);
    locmoe::softmax_rows(as_matrix(d.probabilities, n));
    for (const double x : routing_test::numbers(T * k, seed + 100))
        d.chosen.push_back(x < -0.8 ? locmoe::no_expert
                                    : static_cast<locmoe::expert_id>((x + 1) / 2 * n));
    return d;
}

// sum over sequences of T_s / T alpha n sum_i f_i P_i, from the formula.
double plainly(const decided_t& d, const std::vector<std::int32_t>& ids, double alpha) {
    double all = 0;
    for (std::int32_t s = 0; s < static_cast<std::int32_t>(T); ++s) {
        double tokens = 0, pairs = 0, loss = 0;
        std::vector<double> load(n, 0), p(n, 0);
        for (std::size_t t = 0; t < T; ++t) {
            if (ids[t] != s) continue;
            ++tokens;
            for (std::size_t i = 0; i < n; ++i) p[i] += d.probabilities[t * n + i];
            for (std::size_t slot = 0; slot < k; ++slot) {
                const auto e = d.chosen[t * k + slot];
                if (e == locmoe::no_expert) continue;
                ++load[static_cast<std::size_t>(e)];
                ++pairs;
            }
        }
        if (pairs == 0) continue;
        for (std::size_t i = 0; i < n; ++i) loss += n * load[i] / pairs * p[i] / tokens;
        all += alpha * tokens / T * loss;
    }
    return all;
}

const std::vector<std::int32_t> ids{2, 0, 0, 2, 4, 0, 2};

}  // namespace

TEST_CASE("the sequence auxiliary loss is the mean of its sequences' losses, by their tokens") {
    for (std::uint64_t seed = 1; seed <= 10; ++seed) {
        const auto d = any_routing(seed);
        CHECK(sequence_auxiliary_loss({.alpha = 0.3}).value(d, token_sequences::from_ids(ids)) ==
              Approx(plainly(d, ids, 0.3)).epsilon(1e-12));
    }
}

TEST_CASE("with one sequence it is the auxiliary loss of the batch, scales and all") {
    const auto d = any_routing(5);
    const auto one = token_sequences::of_length(T, T);
    const auto mean = locmoe::mean_probabilities(as_matrix(d.probabilities, n));
    for (const double balanced : {1.0, 2.0})
        CHECK(sequence_auxiliary_loss({.alpha = 0.1, .balanced_value = balanced}).value(d, one) ==
              Approx(locmoe::auxiliary_loss({0.1, balanced}).value(mean, locmoe::count_choices(d)))
                  .epsilon(1e-12));
    CHECK(sequence_auxiliary_loss().value(d, token_sequences::of_length(T, 3)) !=
          Approx(sequence_auxiliary_loss().value(d, one)));
}

TEST_CASE("what balances the batch but no sequence costs more by sequence") {
    decided_t d{4, 1, 2, {0, 0, 1, 1}, std::vector<double>(4, 1), {1, 0, 1, 0, 0, 1, 0, 1}};
    const sequence_auxiliary_loss loss({.alpha = 1});
    CHECK(loss.value(d, token_sequences::of_length(4, 4)) == Approx(1));
    CHECK(loss.value(d, token_sequences::of_length(4, 2)) == Approx(2));
}

TEST_CASE("the sequence auxiliary loss's gradient is its derivative in the probabilities") {
    auto d = any_routing(3);
    const auto sequences = token_sequences::from_ids(ids);
    const sequence_auxiliary_loss sequence;
    std::vector<double> grad(T * n, 0);
    sequence.add_gradient(d, sequences, 0.7, as_matrix(grad, n));
    sequence.add_gradient(d, sequences, 1.0, as_matrix(grad, n));
    const auto loss = [&] { return 1.7 * sequence.value(d, sequences); };
    CHECK(routing_test::gradient_error(loss, d.probabilities, grad) < 1e-6);
}

TEST_CASE("the sequence auxiliary loss of no tokens is 0, and what does not fit is refused") {
    const sequence_auxiliary_loss loss;
    CHECK(loss.value(decided_t{0, k, n, {}, {}, {}}, token_sequences::of_length(0, 2)) == 0);
    const auto d = any_routing(1);
    CHECK_THROWS_WITH(loss.value(d, token_sequences::of_length(6, 2), 3),
                      "locmoe: sequence_auxiliary_loss: sequences.token_count() on rank 3: "
                      "expected 7, got 6");
    auto wrong = d;
    wrong.probabilities.clear();
    CHECK_THROWS_AS(loss.value(wrong, token_sequences::of_length(T, 2)), locmoe::argument_error);
    wrong = d;
    wrong.chosen[0] = n;
    CHECK_THROWS_AS(loss.value(wrong, token_sequences::of_length(T, 2)), locmoe::argument_error);
}
