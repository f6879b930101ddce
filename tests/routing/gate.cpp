#include "locmoe/routing/gate.hpp"

#include "locmoe/core/element.hpp"
#include "locmoe/routing/dense_gate.hpp"
#include "locmoe/routing/grap_gate.hpp"

#include "catch.hpp"

namespace {

using locmoe::matrix_view;

struct least_gate {
    using real = float;
    std::size_t expert_count() const { return 1; }
    void forward(matrix_view<const float>, matrix_view<float>) const {}
    void backward(matrix_view<const float>, matrix_view<const float>, matrix_view<float>,
                  matrix_view<float>) const {}
};

struct without_real {
    std::size_t expert_count() const { return 1; }
    void forward(matrix_view<const float>, matrix_view<float>) const {}
    void backward(matrix_view<const float>, matrix_view<const float>, matrix_view<float>,
                  matrix_view<float>) const {}
};

struct without_backward {
    using real = float;
    std::size_t expert_count() const { return 1; }
    void forward(matrix_view<const float>, matrix_view<float>) const {}
};

struct without_count : least_gate {
    std::size_t expert_count() const = delete;
};

struct writes_its_tokens : least_gate {
    void forward(matrix_view<float>, matrix_view<float>) const {}
};

struct changes_in_forward : least_gate {
    void forward(matrix_view<const float>, matrix_view<float>) {}
};

}  // namespace

TEST_CASE("the concept gate takes the least gate and refuses each near-miss") {
    STATIC_REQUIRE(locmoe::gate<least_gate>);
    STATIC_REQUIRE_FALSE(locmoe::gate<least_gate, double>);
    STATIC_REQUIRE_FALSE(locmoe::gate<without_real>);
    STATIC_REQUIRE_FALSE(locmoe::gate<without_backward>);
    STATIC_REQUIRE_FALSE(locmoe::gate<without_count>);
    STATIC_REQUIRE_FALSE(locmoe::gate<writes_its_tokens>);
    STATIC_REQUIRE_FALSE(locmoe::gate<changes_in_forward>);
    STATIC_REQUIRE_FALSE(locmoe::gate<int>);
}

TEMPLATE_TEST_CASE("dense and GrAP gates are gates for every element", "", float, double,
                   locmoe::bf16, locmoe::fp16) {
    STATIC_REQUIRE(locmoe::gate<locmoe::dense_gate<float>, TestType>);
    STATIC_REQUIRE(locmoe::gate<locmoe::dense_gate<double>, TestType>);
    STATIC_REQUIRE(locmoe::gate<locmoe::grap_gate<float>, TestType>);
    STATIC_REQUIRE(locmoe::gate<locmoe::grap_gate<double>, TestType>);
}
