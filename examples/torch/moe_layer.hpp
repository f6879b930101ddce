#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <variant>
#include <vector>

#include <ATen/core/ivalue.h>  // before the other: LibTorch 1.13 under clang
//
#include <torch/torch.h>

#include "locmoe/adapt/torch_autograd.hpp"
#include "locmoe/assign/assignment.hpp"
#include "locmoe/capacity/capacity_factor.hpp"
#include "locmoe/exec/executor.hpp"
#include "locmoe/plan/direct.hpp"
#include "locmoe/routing/locmoe_router.hpp"
#include "locmoe/routing/switch_router.hpp"

namespace torch_trainer {

/// A Mixture-of-Experts layer for a LibTorch model: [T, d] to [T, d], experts spread over the
/// ranks. `Expert` is a module from rows to rows, here those of this rank, in ascending order. A
/// dropped token's output is 0.
template <class Backend, class Expert>
class moe_layer : public torch::nn::Module {
  public:
    using router = std::variant<locmoe::switch_router<float>, locmoe::locmoe_router<float>>;

    /// `gate` [n, d] is what the router reads, or undefined where it has no weights. The executor
    /// outlives the layer.
    moe_layer(locmoe::executor<Backend>& exchange, router decides, torch::Tensor gate,
              std::vector<std::shared_ptr<Expert>> own_experts, double capacity_factor)
        : exchange_(exchange), router_(std::move(decides)), capacity_factor_(capacity_factor) {
        if (gate.defined()) gate_ = register_parameter("gate", gate);
        for (auto& e : own_experts) experts_->push_back(std::move(e));
        register_module("experts", experts_);
    }

    torch::Tensor forward(const torch::Tensor& x) {
        using namespace locmoe;
        const auto routed = std::visit(
            [&](const auto& r) {
                return autograd::route(exchange_, r, x, gate_, exchange_.context());
            },
            router_);
        capacity_demand demand{0, 1, routed.decided->expert_count};
        for (const std::int64_t n : routed.load.total)
            demand.token_count += static_cast<std::size_t>(n);
        const auto kept = assign(
            *routed.decided,
            {.capacity = static_cast<std::int64_t>(capacity_from_factor(capacity_factor_, demand)),
             .before = routed.load.before});
        const auto plan = std::make_shared<const exchange_plan>(exchange_.plan(kept, direct{}));

        const torch::Tensor in = autograd::dispatch(exchange_, plan, x);
        std::vector<torch::Tensor> out = {in.narrow(0, 0, 0)};  // in the graph without experts too
        for (std::size_t e = 0; e < experts_->size(); ++e) {
            const std::int64_t first = plan->expert_first[e];
            out.push_back(experts_->template at<Expert>(e).forward(
                in.narrow(0, first, plan->expert_first[e + 1] - first)));
        }
        // This rank's share of the mean over all tokens, of which each made one choice.
        const auto tokens = static_cast<double>(demand.token_count);
        own_loss_ = routed.own_loss * (tokens > 0 ? static_cast<double>(x.size(0)) / tokens : 0.0);
        return autograd::combine(exchange_, plan, torch::cat(out), routed.weights);
    }

    /// The router's own losses of the last forward pass.
    const torch::Tensor& own_loss() const { return own_loss_; }

  private:
    locmoe::executor<Backend>& exchange_;
    router router_;
    double capacity_factor_;
    torch::Tensor gate_;
    torch::nn::ModuleList experts_;
    torch::Tensor own_loss_;
};

}  // namespace torch_trainer
