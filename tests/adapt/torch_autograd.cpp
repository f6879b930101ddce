#include "locmoe/adapt/torch_autograd.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <ATen/Parallel.h>

#include "locmoe/assign/assignment.hpp"
#include "locmoe/exec/executor.hpp"
#include "locmoe/exec/in_process.hpp"
#include "locmoe/plan/node_aggregated.hpp"
#include "locmoe/routing/dense_gate.hpp"
#include "locmoe/routing/locmoe_router.hpp"
#include "locmoe/routing/top_k_router.hpp"

#include "catch.hpp"
#include "random_cases.hpp"

namespace {

using namespace locmoe;

constexpr std::int64_t width = 6;

/// Numbers that depend on rank and use alone, so that every run of a job has the same.
at::Tensor numbers(at::IntArrayRef sizes, at::ScalarType type, rank_id rank, int use) {
    std::int64_t count = 1;
    for (const std::int64_t n : sizes) count *= n;
    const at::Tensor place = at::arange(count, at::kDouble) + 37.0 * rank + 11.0 * use;
    return (place * place * 0.37).sin().reshape(sizes).to(type);
}

/// What stands for the experts: it mixes columns and is not linear.
at::Tensor experts(const at::Tensor& rows) {
    return rows * rows.flip(1) * 0.3 + rows;
}

at::Tensor leaf(const at::Tensor& t) {
    return t.clone().requires_grad_(true);
}

std::int64_t size(std::size_t n) {
    return static_cast<std::int64_t>(n);
}

/// One rank's tensors of a job.
struct inputs {
    std::vector<at::Tensor> x, w;  // [T, d] and [T, k] of each rank
};

inputs inputs_of(const random_cases::job& job, at::ScalarType type, at::ScalarType weight_type) {
    inputs all;
    for (std::size_t r = 0; r < job.assigned.size(); ++r) {
        const auto rank = static_cast<rank_id>(r);
        const std::int64_t tokens = size(job.assigned[r].token_count);
        all.x.push_back(leaf(numbers({tokens, width}, type, rank, 0)));
        all.w.push_back(leaf(
            numbers({tokens, size(job.assigned[r].choice_count)}, weight_type, rank, 1).abs()));
    }
    return all;
}

/// Runs `work` on every rank and says on which one something was wrong.
template <class Work>
void on_ranks(const random_cases::job& job, Work work) {
    at::set_num_threads(1);
    INFO(job.text);
    REQUIRE_NOTHROW(run_in_process(job.nodes.rank_count(), [&](in_process_backend& backend) {
        executor ex(backend, job.nodes, job.placement);
        const auto rank = static_cast<std::size_t>(backend.rank());
        work(ex, rank,
             std::make_shared<const exchange_plan>(ex.plan(job.assigned[rank], node_aggregated{})));
    }));
}

void same(const at::Tensor& a, const at::Tensor& b, const char* what) {
    if (!a.defined() || !b.defined() || !at::equal(a, b))
        throw std::runtime_error(std::string(what) + " differs");
}

/// The executor's passes by hand against those of the graph, to the bit.
template <class E, class Real>
void graph_equals_hand(const random_cases::job& job, at::ScalarType type,
                       at::ScalarType weight_type) {
    const inputs in = inputs_of(job, type, weight_type);
    on_ranks(job, [&](auto& ex, std::size_t rank, std::shared_ptr<const exchange_plan> plan) {
        const at::Tensor x = in.x[rank], w = in.w[rank];
        const at::Tensor towards = numbers(x.sizes(), type, static_cast<rank_id>(rank), 2);
        const at::Tensor rows = autograd::dispatch(ex, plan, x);
        const at::Tensor y = autograd::combine(ex, plan, experts(rows), w);
        (y * towards).sum().backward();

        const auto matrix = [](const at::Tensor& t) { return as_matrix<E>(t); };
        const at::Tensor hand_rows =
            at::empty({size(plan->expert_row_count()), width}, at::TensorOptions(type));
        ex.dispatch(*plan, matrix(x.detach()), matrix(hand_rows));
        same(rows, hand_rows, "dispatch");
        const at::Tensor expert_in = leaf(hand_rows), expert_out = experts(expert_in);
        const Real* first = w.data_ptr<Real>();
        const std::vector<Real> row_weights =
            ex.dispatch_weights(*plan, std::vector<Real>(first, first + w.numel()));
        const at::Tensor hand_y = at::empty_like(towards);
        ex.combine(*plan, matrix(expert_out.detach()), row_weights, matrix(hand_y));
        same(y, hand_y, "combine");

        const at::Tensor grad_out = at::empty_like(hand_rows), grad_x = at::empty_like(towards);
        std::vector<Real> grad_w(static_cast<std::size_t>(w.numel()));
        ex.combine_backward(*plan, matrix(towards), matrix(expert_out.detach()), row_weights,
                            matrix(grad_out), grad_w);
        expert_out.backward(grad_out);
        ex.dispatch_backward(*plan, matrix(expert_in.grad()), matrix(grad_x));
        same(x.grad(), grad_x, "the gradient of the tokens");
        same(w.grad().reshape({-1}),
             at::from_blob(grad_w.data(), {w.numel()}, at::TensorOptions(weight_type)).clone(),
             "the gradient of the weights");
    });
}

/// Checks d loss / d t against differences, for a few entries of each rank's t. `loss` is of all
/// ranks together.
void check_differences(const std::vector<at::Tensor>& ts, const std::function<double()>& loss) {
    const double step = 1e-5;
    for (const at::Tensor& t : ts)
        for (std::int64_t i = 0; i < t.numel(); i += 1 + t.numel() / 3) {
            double* entry = t.data_ptr<double>() + i;
            const double before = *entry;
            *entry = before + step;
            const double above = loss();
            *entry = before - step;
            const double below = loss();
            *entry = before;
            CHECK(t.grad().reshape({-1})[i].item<double>() ==
                  Approx((above - below) / (2 * step)).margin(1e-7).epsilon(1e-6));
        }
}

template <class Router>
concept routes = requires(executor<in_process_backend>& ex, Router&& router, const at::Tensor& t,
                          const route_context& where) {
    autograd::route(ex, std::forward<Router>(router), t, t, where);
};
static_assert(routes<const locmoe_router<float>&>);
static_assert(!routes<locmoe_router<float>>);  // the graph would outlive it

}  // namespace

TEST_CASE("Gradients through dispatch and combine in LibTorch are those of the executor") {
    for (std::uint32_t seed = 1; seed <= 25; ++seed) {
        const auto job = random_cases::any_job(seed, 5);
        graph_equals_hand<float, float>(job, at::kFloat, at::kFloat);
        graph_equals_hand<double, double>(job, at::kDouble, at::kDouble);
        graph_equals_hand<at::BFloat16, float>(job, at::kBFloat16, at::kFloat);
        graph_equals_hand<at::Half, float>(job, at::kHalf, at::kFloat);
    }
}

TEST_CASE("Gradients through dispatch and combine in LibTorch are those of differences") {
    for (const std::uint32_t seed : {2u, 7u, 12u}) {
        const auto job = random_cases::job_on(3, seed);
        const inputs in = inputs_of(job, at::kDouble, at::kDouble);
        const auto run = [&](bool backward) {
            std::vector<double> losses(3);
            on_ranks(job, [&](auto& ex, std::size_t rank, auto plan) {
                const at::Tensor rows = autograd::dispatch(ex, plan, in.x[rank]);
                const at::Tensor y = autograd::combine(ex, plan, experts(rows), in.w[rank]);
                const at::Tensor loss = (y * y).sum() + y.sin().sum();
                if (backward) loss.backward();
                losses[rank] = loss.template item<double>();
            });
            return losses[0] + losses[1] + losses[2];
        };
        run(true);
        check_differences(in.x, [&] { return run(false); });
        check_differences(in.w, [&] { return run(false); });
    }
}

TEST_CASE("Gradients through a gate in LibTorch are those of the router and of differences") {
    constexpr std::size_t ranks = 3, experts_count = 6, k = 2;
    const auto nodes = topology::from_node_of_rank({0, 0, 1});
    const auto placement = expert_placement::blocked(experts_count, ranks);
    random_cases::job job{nodes, placement, {}, {}, "gate"};
    std::vector<at::Tensor> x, gates;
    for (rank_id r = 0; r < 3; ++r) {
        x.push_back(leaf(numbers({2, 4 + r, width}, at::kDouble, r, 3)));
        gates.push_back(leaf(numbers({experts_count, width}, at::kDouble, 0, 4)));
    }
    const auto run = [&](bool backward) {
        std::vector<double> losses(ranks);
        REQUIRE_NOTHROW(run_in_process(ranks, [&](in_process_backend& backend) {
            executor ex(backend, nodes, placement);
            const auto rank = static_cast<std::size_t>(backend.rank());
            const at::Tensor& gate = gates[rank];
            const top_k_router router(dense_gate<double>(as_matrix<const double>(gate)), {.k = k});
            const auto routed = autograd::route(ex, router, x[rank], gate, ex.context());
            const at::Tensor towards = numbers(routed.weights.sizes(), at::kDouble, 0, 5);
            const at::Tensor loss = (routed.weights * towards).sum() + 0.7 * routed.own_loss;
            losses[rank] = loss.item<double>();
            if (!backward) return;
            loss.backward();

            const at::Tensor grad_x = at::zeros_like(x[rank]), grad_gate = at::zeros_like(gate);
            const auto rows = as_matrix<const double>(x[rank]);
            const auto decided = router.route(rows, ex.context());
            const auto load = backend.scan_counts(count_choices(decided)).total;
            router.backward(rows, decided, load, ex.context(),
                            {.weights = as_matrix<const double>(towards),
                             .loss_scale = 0.7,
                             .tokens = as_matrix<double>(grad_x),
                             .gate = as_matrix<double>(grad_gate)});
            same(x[rank].grad(), grad_x, "the gradient of the tokens");
            same(gate.grad(), grad_gate, "the gradient of the gate weights");
        }));
        return losses[0] + losses[1] + losses[2];
    };
    run(true);
    check_differences(x, [&] { return run(false); });
    check_differences(gates, [&] { return run(false); });
}

TEST_CASE("A gate without weights and tokens of 16 bits take part in the graph") {
    run_in_process(1, [](in_process_backend& backend) {
        executor ex(backend, topology::single_node(1), expert_placement::blocked(4, 1));
        const locmoe_router router(4);
        const at::Tensor x = leaf(numbers({10, 8}, at::kBFloat16, 0, 6));
        const auto routed = autograd::route(ex, router, x, at::Tensor(), ex.context());
        routed.weights.sum().backward();
        CHECK(x.grad().scalar_type() == at::kBFloat16);
        CHECK(x.grad().abs().sum().item<float>() > 0.0f);
        CHECK(routed.load.total == count_choices(*routed.decided));
    });
}

TEST_CASE("A gate changed before the backward pass is noticed") {
    run_in_process(1, [](in_process_backend& backend) {
        executor ex(backend, topology::single_node(1), expert_placement::blocked(4, 1));
        const at::Tensor x = numbers({10, 8}, at::kFloat, 0, 6);
        const at::Tensor gate = leaf(numbers({4, 8}, at::kFloat, 0, 7));
        const top_k_router router(dense_gate<float>(as_matrix<const float>(gate)), {.k = 2});
        const auto routed = autograd::route(ex, router, x, gate, ex.context());
        gate.detach().zero_();
        CHECK_THROWS_WITH(routed.weights.sum().backward(),
                          Catch::Contains("modified by an inplace operation"));
    });
}

TEST_CASE("What the nodes of the graph cannot take is refused") {
    run_in_process(1, [](in_process_backend& backend) {
        executor ex(backend, topology::single_node(1), expert_placement::blocked(2, 1));
        const routing decided{.token_count = 2,
                              .choice_count = 1,
                              .expert_count = 2,
                              .chosen = {1, 0},
                              .weights = {1, 1}};
        const auto plan =
            std::make_shared<const exchange_plan>(ex.plan(assign(decided), node_aggregated{}));
        const at::Tensor rows = at::ones({2, 3});
        CHECK_THROWS_WITH(autograd::dispatch(ex, plan, at::Tensor()),
                          Catch::Contains("got an undefined one"));
        CHECK_THROWS_WITH(autograd::dispatch(ex, plan, rows.to(at::kInt)),
                          "locmoe: dispatch: dtype of tokens: expected f32, f64, bf16 or fp16, got "
                          "Int");
        CHECK_THROWS_WITH(autograd::combine(ex, plan, rows, at::ones({2, 1}, at::kHalf)),
                          "locmoe: combine: dtype of weights: expected f32 or f64, got Half");
        CHECK_THROWS_WITH(autograd::combine(ex, plan, rows, at::ones({3, 1})),
                          "locmoe: dispatch_weights: weights on rank 0: expected T k = 2 numbers, "
                          "got 3");
    });
}
