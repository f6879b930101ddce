#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "locmoe/capacity/measure_delta.hpp"
#include "locmoe/routing/adaptive_mu.hpp"
#include "locmoe/routing/base_router.hpp"
#include "locmoe/routing/bias_balanced_router.hpp"
#include "locmoe/routing/dense_gate.hpp"
#include "locmoe/routing/dense_router.hpp"
#include "locmoe/routing/domain_locmoe_router.hpp"
#include "locmoe/routing/expert_bias.hpp"
#include "locmoe/routing/expert_choice_router.hpp"
#include "locmoe/routing/expert_groups.hpp"
#include "locmoe/routing/group_limited_router.hpp"
#include "locmoe/routing/gshard_router.hpp"
#include "locmoe/routing/hash_router.hpp"
#include "locmoe/routing/locmoe_router.hpp"
#include "locmoe/routing/noisy_top_k_router.hpp"
#include "locmoe/routing/resonance_router.hpp"
#include "locmoe/routing/rre_router.hpp"
#include "locmoe/routing/sinkhorn_router.hpp"
#include "locmoe/routing/switch_router.hpp"
#include "locmoe/routing/top_k_router.hpp"
#include "locmoe/routing/x_moe_router.hpp"

#include "parameter.hpp"

namespace trainer {

enum class router_kind {
    hash,
    switch_,
    locmoe,
    rre,
    domain_locmoe,
    top_k,
    gshard,
    noisy_top_k,
    bias_balanced,
    group_limited,
    node_limited,
    expert_choice,
    resonance,
    base,
    sinkhorn,
    x_moe,
    dense
};

/// By name, in the order of their kinds.
inline constexpr std::array router_names = {
    "hash",      "switch",      "locmoe",        "rre",           "domain_locmoe", "top_k",
    "gshard",    "noisy_top_k", "bias_balanced", "group_limited", "node_limited",  "expert_choice",
    "resonance", "base",        "sinkhorn",      "x_moe",         "dense"};

constexpr const char* router_name(router_kind kind) {
    return router_names[static_cast<std::size_t>(kind)];
}

/// Whether it needs to know of what domain a token is, and at least an expert for each domain.
constexpr bool asks_for_domains(router_kind kind) {
    return kind == router_kind::rre || kind == router_kind::domain_locmoe;
}

/// Whether it has a locality loss.
constexpr bool draws_to_own_node(router_kind kind) {
    return kind == router_kind::locmoe || kind == router_kind::domain_locmoe ||
           kind == router_kind::resonance;
}

/// What the routers of a model are made from.
struct router_options {
    router_kind kind = router_kind::locmoe;
    std::size_t experts = 8;
    std::span<const std::int64_t> byte_counts = {};  ///< [256], of the training text; hash only
    std::size_t domains = 1;  ///< of the text, at most as many as experts; rre and domain_locmoe
    double alpha = 0.03;      ///< auxiliary loss, where the router has one
    double mu = 0.1;          ///< locality loss; LocMoEs and resonance
    double epsilon = 0.1;     ///< share of tokens that may leave their node, likewise
    std::uint64_t seed = 1;   ///< of the routers that draw
    std::size_t choices =
        2;  ///< of a token, at most all experts; of the routers that choose several
    bool adaptive_mu = false;  ///< mu falls where a node has no room for its tokens
};

/// One MoE layer's router, with the gate's weights where it has any. Those that choose several
/// experts do so out of all but for the limits in their names: `dense` alone takes all, and
/// expert choice as many as come to one a token. The two over domains give each domain the experts
/// that a blocked placement has on the node that reads it by `shards::by_domain`, where numbers
/// divide.
template <class Scalar>
class layer_router {
  public:
    using routing = locmoe::basic_routing<Scalar>;

    layer_router(const std::string& name, std::size_t width, const router_options& options,
                 std::uint64_t seed)
        : kind_(options.kind),
          options_(options),
          gate_(make_gate(name + ".gate", width, options, seed)),
          bias_(options.kind == router_kind::bias_balanced ? options.experts : 0, 0.0f),
          policy_(make(options)) {}
    layer_router(const layer_router&) = delete;  // the policy looks at the gate and the bias
    layer_router& operator=(const layer_router&) = delete;

    routing route(matrix_view<const Scalar> tokens, const locmoe::route_context& where) const {
        return std::visit([&](const auto& p) { return p.route(tokens, where); }, policy_);
    }

    /// Where the options ask for it, sets the locality loss's weight for this batch, of which all
    /// ranks of a node hold equally many tokens. `capacity`: of one expert, none: dropless.
    void adapt_mu(const routing& decided, std::span<const std::int64_t> load,
                  std::optional<std::int64_t> capacity, const locmoe::route_context& where) {
        if (!options_.adaptive_mu || !draws_to_own_node(kind_)) return;
        const auto ranks = where.nodes.ranks_of(where.nodes.node_of(where.rank)).size();
        const locmoe::local_demand demand{
            static_cast<std::int64_t>(ranks * decided.token_count * decided.choice_count),
            capacity};
        router_options now = options_;
        now.mu = locmoe::adaptive_mu({.mu = options_.mu}, demand, load, where);
        policy_ = make(now);
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

    /// What a router does once a step besides following its gradient. `load` [n], of all ranks.
    void end_step(std::span<const std::int64_t> load) {
        if (!bias_.empty()) locmoe::update_bias(bias_, load, {.rate = 0.01});
    }

    /// The angles between every seventh token, from the given one on, and the gating weights of its
    /// experts. No pairs where the router has no such weights.
    locmoe::delta_sketch measure_delta(matrix_view<const Scalar> tokens, const routing& decided,
                                       std::size_t first) const {
        const locmoe::delta_sampling some{.every = 7, .first = first % 7};
        switch (kind_) {
            case router_kind::hash:
            case router_kind::rre:
            case router_kind::noisy_top_k:
            case router_kind::x_moe: return {};
            case router_kind::locmoe:
            case router_kind::domain_locmoe:
            case router_kind::resonance:
                return locmoe::measure_grap_delta(tokens, decided.expert_count, decided.chosen,
                                                  some)
                    .sketch;
            default:
                return locmoe::measure_delta(tokens, in(gate_->value), decided.chosen, some).sketch;
        }
    }

    void list(std::vector<parameter<Scalar>*>& to) {
        if (gate_) to.push_back(&*gate_);
    }

  private:
    using dense_gate = locmoe::dense_gate<Scalar>;
    using policy = std::variant<
        locmoe::hash_router<Scalar>, locmoe::switch_router<Scalar>, locmoe::locmoe_router<Scalar>,
        locmoe::rre_router<Scalar>, locmoe::domain_locmoe_router<Scalar>,
        locmoe::top_k_router<dense_gate>, locmoe::gshard_router<dense_gate>,
        locmoe::noisy_top_k_router<Scalar>, locmoe::bias_balanced_router<dense_gate>,
        locmoe::group_limited_router<dense_gate>, locmoe::node_limited_router<dense_gate>,
        locmoe::expert_choice_router<dense_gate>, locmoe::resonance_router<Scalar>,
        locmoe::base_router<dense_gate>, locmoe::sinkhorn_router<dense_gate>,
        locmoe::x_moe_router<Scalar>, locmoe::dense_router<dense_gate>>;

    static std::size_t reduced_width(std::size_t experts) { return experts > 3 ? experts / 2 : 2; }

    static std::optional<parameter<Scalar>> make_gate(const std::string& name, std::size_t width,
                                                      const router_options& options,
                                                      std::uint64_t seed) {
        const std::size_t n = options.experts;
        // GrAP's weights, n / d on d / n columns, have the norm sqrt(n / d): so has a vector of d
        // normal numbers of this deviation, and all routers start from logits of one size.
        const double deviation = std::sqrt(static_cast<double>(n)) / static_cast<double>(width);
        switch (options.kind) {
            case router_kind::hash:
            case router_kind::locmoe:
            case router_kind::rre:
            case router_kind::domain_locmoe:
            case router_kind::resonance: return std::nullopt;
            case router_kind::noisy_top_k:
                return parameter<Scalar>::normal(name, 2 * n, width, deviation, seed);
            case router_kind::x_moe: {
                const std::size_t r = reduced_width(n);
                auto row = parameter<Scalar>::normal(
                    name, 1, locmoe::cosine_gate<Scalar>::parameter_count(width, n, r),
                    1 / std::sqrt(static_cast<double>(width)), seed);
                row.values().back() = static_cast<Scalar>(std::log(1 / 0.3));  // the temperature
                return row;
            }
            default: return parameter<Scalar>::normal(name, n, width, deviation, seed);
        }
    }

    policy make(const router_options& options) const {
        using namespace locmoe;
        const std::size_t n = options.experts, k = options.choices < n ? options.choices : n;
        const auxiliary_options balance{options.alpha};
        const locality_options local{options.mu, options.epsilon};
        const own_loss_options losses{.auxiliary = balance};
        const auto dense = [&] { return dense_gate(in(gate_->value)); };
        switch (options.kind) {
            case router_kind::hash: return hash_router<Scalar>::balanced(options.byte_counts, n);
            case router_kind::switch_:
                return switch_router<Scalar>(in(gate_->value), {.auxiliary = balance});
            case router_kind::locmoe: break;
            case router_kind::rre:
                return rre_router<Scalar>(expert_groups::blocked(n, options.domains), options.seed);
            case router_kind::domain_locmoe:
                return domain_locmoe_router<Scalar>(expert_groups::blocked(n, options.domains),
                                                    {.auxiliary = balance, .locality = local});
            case router_kind::top_k:
                return top_k_router<dense_gate>(dense(), {.k = k, .losses = losses});
            case router_kind::gshard:
                return gshard_router<dense_gate>(dense(), {.seed = options.seed, .losses = losses});
            case router_kind::noisy_top_k:
                return noisy_top_k_router<Scalar>(in(gate_->value),
                                                  {.k = k, .seed = options.seed, .losses = losses});
            case router_kind::bias_balanced:
                return bias_balanced_router<dense_gate>(
                    dense(), bias_, {.k = k, .limit = {.limit = 1, .score = group_score::best}});
            case router_kind::group_limited:
                return group_limited_router<dense_gate>(
                    dense(), {.k = k,
                              .groups = n < 4 ? 1 : n / 2,
                              .limit = {.limit = 1, .score = group_score::best},
                              .losses = losses});
            case router_kind::node_limited:
                return node_limited_router<dense_gate>(
                    dense(),
                    {.k = k, .limit = {.limit = 1, .score = group_score::best}, .losses = losses});
            case router_kind::expert_choice:
                return expert_choice_router<dense_gate>(dense(), {.capacity_factor = 1});
            case router_kind::resonance:
                return resonance_router<Scalar>(
                    n, {.max_choices = k, .losses = {.auxiliary = balance, .locality = local}});
            case router_kind::base: return base_router<dense_gate>(dense());
            case router_kind::sinkhorn: return sinkhorn_router<dense_gate>(dense());
            case router_kind::x_moe:
                return x_moe_router<Scalar>(in(gate_->value), n, reduced_width(n),
                                            {.losses = losses});
            case router_kind::dense: return dense_router<dense_gate>(dense());
        }
        return locmoe_router<Scalar>(n, {.auxiliary = balance, .locality = local});
    }

    router_kind kind_;
    router_options options_;
    std::optional<parameter<Scalar>> gate_;  // [n, d], or as the gate has it
    std::vector<float> bias_;                // [n], or none
    policy policy_;
};

}  // namespace trainer
