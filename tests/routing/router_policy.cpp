#include "locmoe/routing/router_policy.hpp"

#include <array>
#include <vector>

#include "locmoe/routing/hash_router.hpp"
#include "locmoe/routing/locmoe_router.hpp"
#include "locmoe/routing/switch_router.hpp"
#include "locmoe/tensor/standard.hpp"

#include "catch.hpp"

namespace {

using locmoe::basic_routing;
using locmoe::matrix_view;
using locmoe::route_context;
using locmoe::router_policy;
using locmoe::trainable_router;
using loads = std::span<const std::int64_t>;

struct least_policy {
    using real = float;
    std::size_t expert_count() const { return 1; }
    basic_routing<float> route(matrix_view<const float>, const route_context&) { return {}; }
};

struct routes_in_another_real : least_policy {
    basic_routing<double> route(matrix_view<const float>, const route_context&) { return {}; }
};

struct without_context : least_policy {
    basic_routing<float> route(matrix_view<const float>) { return {}; }
};

struct without_count {
    using real = float;
    basic_routing<float> route(matrix_view<const float>, const route_context&) { return {}; }
};

struct without_real {
    std::size_t expert_count() const { return 1; }
    basic_routing<float> route(matrix_view<const float>, const route_context&) { return {}; }
};

struct least_trainable : least_policy {
    locmoe::router_losses<float> losses(const basic_routing<float>&, loads, const route_context&) {
        return {};
    }
    void backward(matrix_view<const float>, const basic_routing<float>&, loads,
                  const route_context&, const locmoe::router_gradients<float>&) {}
};

struct without_losses : least_policy {
    void backward(matrix_view<const float>, const basic_routing<float>&, loads,
                  const route_context&, const locmoe::router_gradients<float>&) {}
};

struct losses_as_a_number : least_trainable {
    float losses(const basic_routing<float>&, loads, const route_context&) { return 0; }
};

struct backward_without_load : least_trainable {
    void backward(matrix_view<const float>, const basic_routing<float>&, const route_context&,
                  const locmoe::router_gradients<float>&) {}
};

}  // namespace

TEST_CASE("router_policy takes the least policy and refuses each near-miss") {
    STATIC_REQUIRE(router_policy<least_policy>);
    STATIC_REQUIRE_FALSE(router_policy<least_policy, matrix_view<const double>>);
    STATIC_REQUIRE_FALSE(router_policy<routes_in_another_real>);
    STATIC_REQUIRE_FALSE(router_policy<without_context>);
    STATIC_REQUIRE_FALSE(router_policy<without_count>);
    STATIC_REQUIRE_FALSE(router_policy<without_real>);
    STATIC_REQUIRE_FALSE(router_policy<int>);
}

TEST_CASE("trainable_router takes the least trainable policy and refuses each near-miss") {
    STATIC_REQUIRE(trainable_router<least_trainable>);
    STATIC_REQUIRE_FALSE(trainable_router<least_policy>);
    STATIC_REQUIRE_FALSE(trainable_router<without_losses>);
    STATIC_REQUIRE_FALSE(trainable_router<losses_as_a_number>);
    STATIC_REQUIRE_FALSE(trainable_router<backward_without_load>);
}

TEMPLATE_TEST_CASE("locmoe's own routers are trainable over any tensor and in both precisions", "",
                   float, double, locmoe::bf16, locmoe::fp16) {
    using view = matrix_view<const TestType>;
    using array = std::vector<std::array<TestType, 8>>;
    STATIC_REQUIRE(trainable_router<locmoe::hash_router<>, view>);
    STATIC_REQUIRE(trainable_router<locmoe::hash_router<double>, array>);
    STATIC_REQUIRE(trainable_router<locmoe::switch_router<>, view>);
    STATIC_REQUIRE(trainable_router<locmoe::switch_router<double>, array>);
    STATIC_REQUIRE(trainable_router<locmoe::locmoe_router<>, view>);
    STATIC_REQUIRE(trainable_router<locmoe::locmoe_router<double>, array>);

    // And they compile and run over it: one token in 8 columns, largest in the third segment of 4.
    array x(1);
    x[0][5] = locmoe::element_traits<TestType>::store(2);
    const auto nodes = locmoe::topology::single_node(1);
    const auto placement = locmoe::expert_placement::blocked(4, 1);
    const route_context where{0, nodes, placement};
    const locmoe::locmoe_router<> router(4);
    const auto decided = router.route(x, where);
    CHECK(decided.chosen[0] == 2);
    const std::vector<float> one{1};
    std::vector<float> grad(8);
    router.backward(x, decided, locmoe::count_choices(decided), where,
                    {locmoe::as_matrix(one, 1), 0, locmoe::as_matrix(grad, 8), {}});
    const float p = decided.weights[0];
    CHECK(grad[5] == Approx(p * (1 - p) / 2));
}
