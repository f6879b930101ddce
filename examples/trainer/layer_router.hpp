#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "locmoe/routing/hash_router.hpp"
#include "locmoe/routing/locmoe_router.hpp"
#include "locmoe/routing/switch_router.hpp"

#include "parameter.hpp"

namespace trainer {

enum class router_kind { hash, switch_, locmoe };

constexpr const char* router_name(router_kind kind) {
    switch (kind) {
        case router_kind::hash: return "hash";
        case router_kind::switch_: return "switch";
        case router_kind::locmoe: return "locmoe";
    }
    return "unknown";
}

/// What the routers of a model are made from.
struct router_options {
    router_kind kind = router_kind::locmoe;
    std::size_t experts = 8;
    std::span<const std::int64_t> byte_counts = {};  ///< [256], of the training text; hash only
    double alpha = 0.1;                              ///< auxiliary loss
    double mu = 0.1;                                 ///< locality loss
    double epsilon = 0.1;                            ///< share of tokens that may leave their node
};

/// One MoE layer's router, with the gate's weights where it has any.
template <class Scalar>
class layer_router {
  public:
    using routing = locmoe::basic_routing<Scalar>;

    layer_router(const std::string& name, std::size_t width, const router_options& options,
                 std::uint64_t seed)
        : gate_(options.kind == router_kind::switch_
                    ? std::optional(
                          parameter<Scalar>::normal(name + ".gate", options.experts, width,
                                                    gate_deviation(options.experts, width), seed))
                    : std::nullopt),
          policy_(make(options)) {}
    layer_router(const layer_router&) = delete;  // the policy looks at the gate
    layer_router& operator=(const layer_router&) = delete;

    routing route(matrix_view<const Scalar> tokens, const locmoe::route_context& where) const {
        return std::visit([&](const auto& p) { return p.route(tokens, where); }, policy_);
    }

    Scalar loss(const routing& decided, std::span<const std::int64_t> load,
                const locmoe::route_context& where) const {
        return std::visit([&](const auto& p) { return p.losses(decided, load, where).total(); },
                          policy_);
    }

    /// Adds to the gate's gradient and to that of the tokens.
    void backward(matrix_view<const Scalar> tokens, const routing& decided,
                  std::span<const std::int64_t> load, const locmoe::route_context& where,
                  std::span<const Scalar> grad_weights, Scalar loss_scale,
                  matrix_view<Scalar> grad_tokens) {
        locmoe::router_gradients<Scalar> gradients;
        gradients.weights = {grad_weights.data(), decided.token_count, decided.choice_count};
        gradients.loss_scale = loss_scale;
        gradients.tokens = grad_tokens;
        if (gate_) gradients.gate = out(gate_->gradient);
        std::visit([&](const auto& p) { p.backward(tokens, decided, load, where, gradients); },
                   policy_);
    }

    void list(std::vector<parameter<Scalar>*>& to) {
        if (gate_) to.push_back(&*gate_);
    }

  private:
    using policy = std::variant<locmoe::hash_router<Scalar>, locmoe::switch_router<Scalar>,
                                locmoe::locmoe_router<Scalar>>;

    // GrAP's weights, n / d on d / n columns, have the norm sqrt(n / d): so has a vector of d
    // normal numbers of this deviation, and both routers start from logits of one size.
    static double gate_deviation(std::size_t experts, std::size_t width) {
        return std::sqrt(static_cast<double>(experts)) / static_cast<double>(width);
    }

    policy make(const router_options& options) const {
        switch (options.kind) {
            case router_kind::hash:
                return locmoe::hash_router<Scalar>::balanced(options.byte_counts, options.experts);
            case router_kind::switch_:
                return locmoe::switch_router<Scalar>(in(gate_->value),
                                                     {.gate = {}, .auxiliary = {options.alpha}});
            case router_kind::locmoe: break;
        }
        return locmoe::locmoe_router<Scalar>(
            options.experts,
            {.auxiliary = {options.alpha}, .locality = {options.mu, options.epsilon}});
    }

    std::optional<parameter<Scalar>> gate_;  // [n, d]
    policy policy_;
};

}  // namespace trainer
