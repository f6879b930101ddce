#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "moe_layer.hpp"
#include "training.hpp"  // of the example trainer, for its options and the numbers it starts from

namespace torch_trainer {

inline std::int64_t size(std::size_t n) {
    return static_cast<std::int64_t>(n);
}

/// What the example trainer's parameter of that name starts from.
inline torch::Tensor start(trainer::parameter<float> p) {
    return torch::from_blob(p.value.data(), {size(p.value.shape(0)), size(p.value.shape(1))})
        .clone();
}

inline torch::Tensor normal(const std::string& name, std::size_t rows, std::size_t cols,
                            double deviation, std::uint64_t seed) {
    return start(trainer::parameter<float>::normal(name, rows, cols, deviation, seed));
}

/// y = x W + b.
struct linear : torch::nn::Module {
    torch::Tensor weight, bias;

    linear(const std::string& name, std::size_t in, std::size_t out, double gain,
           std::uint64_t seed)
        : weight(register_parameter(
              "weight",
              normal(name + ".weight", in, out, gain / std::sqrt(static_cast<double>(in)), seed))),
          bias(register_parameter("bias", torch::zeros({size(out)}))) {}

    torch::Tensor forward(const torch::Tensor& x) { return x.matmul(weight) + bias; }
};

struct feed_forward : torch::nn::Module {
    std::shared_ptr<linear> widen, narrow;

    feed_forward(const std::string& name, std::size_t width, std::size_t inner, double gain,
                 std::uint64_t seed)
        : widen(register_module(
              "widen", std::make_shared<linear>(name + ".widen", width, inner, gain, seed))),
          narrow(register_module(
              "narrow", std::make_shared<linear>(name + ".narrow", inner, width, 1.0, seed))) {}

    torch::Tensor forward(const torch::Tensor& x) {
        return narrow->forward(torch::relu(widen->forward(x)).square());
    }
};

/// Causal, with ALiBi: [B, L, d] to [B, L, d].
struct attention : torch::nn::Module {
    torch::Tensor project_in, penalty;
    std::shared_ptr<linear> project_out;
    std::int64_t heads;

    attention(const std::string& name, const trainer::model_shape& shape, std::uint64_t seed)
        : project_in(register_parameter(
              "in", normal(name + ".in", shape.width, 3 * shape.width,
                           1 / std::sqrt(static_cast<double>(shape.width)), seed))),
          project_out(register_module(
              "out", std::make_shared<linear>(name + ".out", shape.width, shape.width, 0.5, seed))),
          heads(size(shape.heads)) {
        const auto place = torch::arange(size(shape.context));
        const auto distance = place.unsqueeze(1) - place;  // [L, L], negative ahead
        const auto slope = torch::exp2(torch::arange(1, heads + 1) * (-8.0 / double(heads)));
        penalty = (slope.view({heads, 1, 1}) * distance)
                      .masked_fill(distance < 0, std::numeric_limits<double>::infinity())
                      .to(torch::kFloat);
    }

    torch::Tensor forward(const torch::Tensor& x) {
        const auto parts = x.matmul(project_in)
                               .view({x.size(0), x.size(1), 3, heads, x.size(2) / heads})
                               .permute({2, 0, 3, 1, 4});  // [3, B, H, L, d / H]
        const auto scores = parts[0].matmul(parts[1].transpose(2, 3)) /
                            std::sqrt(static_cast<double>(x.size(2) / heads));
        const auto attended = torch::softmax(scores - penalty, 3).matmul(parts[2]);
        return project_out->forward(attended.transpose(1, 2).reshape(x.sizes()));
    }
};

/// The example trainer's language model: the same layers, names and first numbers.
template <class Backend>
class language_model : public torch::nn::Module {
  public:
    using moe = moe_layer<Backend, feed_forward>;

    language_model(const trainer::training_options& options, locmoe::executor<Backend>& exchange)
        : shape_(options.shape) {
        const auto& s = options.shape;
        bytes_ = register_parameter(
            "bytes", normal("embedding.bytes", s.reach * 256, s.width, 0.5, options.seed));
        positions_ = register_parameter(
            "positions", normal("embedding.positions", s.context, s.width, 0.02, options.seed));
        for (std::size_t i = 0; i < s.layers; ++i) {
            const std::string name = "layer" + std::to_string(i);
            const bool has_experts = (s.layers - i) % 2 == 1;
            layer l;
            l.attention_norm = register_module(name + "_attention_norm", norm(1));
            l.mix = register_module(name + "_attention", std::make_shared<attention>(
                                                             name + ".attention", s, options.seed));
            l.feed_norm =
                register_module(name + "_feed_norm", norm(has_experts ? trainer::moe_gain : 1));
            if (has_experts)
                l.experts =
                    register_module(name + "_moe", make_moe(name + ".moe", options, exchange));
            else
                l.feed = register_module(
                    name + "_feed", std::make_shared<feed_forward>(name + ".feed", s.width, s.inner,
                                                                   1.0, options.seed));
            layers_.push_back(l);
        }
        last_norm_ = register_module("last_norm", norm(1));
        head_ = register_module("head",
                                std::make_shared<linear>("head", s.width, 256, 0.5, options.seed));
    }

    /// Bytes [B, L] to logits [B L, 256].
    torch::Tensor forward(const torch::Tensor& ids) {
        const std::int64_t length = size(shape_.context);
        torch::Tensor x = positions_.expand({ids.size(0), length, size(shape_.width)});
        for (std::int64_t back = 0; back < size(shape_.reach); ++back) {
            const auto seen =
                torch::embedding(bytes_, ids.narrow(1, 0, length - back) + 256 * back);
            x = x + torch::constant_pad_nd(seen, {0, 0, back, 0});
        }
        own_loss_ = torch::zeros({});
        for (layer& l : layers_) {
            x = x + l.mix->forward(l.attention_norm->forward(x));
            const torch::Tensor in = l.feed_norm->forward(x).flatten(0, 1);
            if (l.experts) {
                x = x + l.experts->forward(in).view_as(x);
                own_loss_ = own_loss_ + l.experts->own_loss();
            } else {
                x = x + l.feed->forward(in).view_as(x);
            }
        }
        return head_->forward(last_norm_->forward(x).flatten(0, 1));
    }

    const torch::Tensor& own_loss() const { return own_loss_; }

  private:
    struct layer {
        torch::nn::LayerNorm attention_norm = nullptr, feed_norm = nullptr;
        std::shared_ptr<attention> mix;
        std::shared_ptr<moe> experts;  // one of these two
        std::shared_ptr<feed_forward> feed;
    };

    torch::nn::LayerNorm norm(double gain) const {
        torch::nn::LayerNorm made(torch::nn::LayerNormOptions({size(shape_.width)}));
        made->weight.detach().fill_(gain);
        return made;
    }

    std::shared_ptr<moe> make_moe(const std::string& name, const trainer::training_options& o,
                                  locmoe::executor<Backend>& exchange) const {
        const auto& s = o.shape;
        std::vector<std::shared_ptr<feed_forward>> own;
        for (const auto e : exchange.placement().experts_of(exchange.backend().rank()))
            own.push_back(std::make_shared<feed_forward>(name + ".expert" + std::to_string(e),
                                                         s.width, s.inner, 1 / trainer::moe_gain,
                                                         o.seed));
        const locmoe::auxiliary_options balance{o.alpha};
        if (o.router == trainer::router_kind::locmoe)
            return std::make_shared<moe>(
                exchange,
                locmoe::locmoe_router<float>(s.experts,
                                             {.auxiliary = balance, .locality = {o.mu, o.epsilon}}),
                torch::Tensor(), std::move(own), 1.25);
        const auto gate = normal(
            name + ".gate", s.experts, s.width,
            std::sqrt(static_cast<double>(s.experts)) / static_cast<double>(s.width), o.seed);
        return std::make_shared<moe>(
            exchange,
            locmoe::switch_router<float>(locmoe::as_matrix<const float>(gate),
                                         {.auxiliary = balance}),
            gate, std::move(own), 1.25);
    }

    trainer::model_shape shape_;
    torch::Tensor bytes_, positions_, own_loss_;
    std::vector<layer> layers_;
    torch::nn::LayerNorm last_norm_ = nullptr;
    std::shared_ptr<linear> head_;
};

}  // namespace torch_trainer
