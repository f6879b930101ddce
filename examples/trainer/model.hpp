#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "attention.hpp"
#include "batch.hpp"
#include "cross_entropy.hpp"
#include "embedding.hpp"
#include "feed_forward.hpp"
#include "layer_norm.hpp"
#include "linear.hpp"
#include "parameter.hpp"

namespace trainer {

struct model_shape {
    std::size_t width = 128;  ///< d
    std::size_t inner = 256;  ///< of an expert
    std::size_t heads = 4;    ///< must divide d
    std::size_t layers = 2;
    std::size_t context = 64;  ///< bytes in a sequence
    std::size_t reach = 4;     ///< bytes that one embedding sees
    std::size_t experts = 8;   ///< n
};

/// What the norm before an MoE layer multiplies with at first. A GrAP logit is the mean of d / n
/// normal numbers, sqrt(n / d) in size: without this the routers would start from probabilities all
/// alike. The experts' first weights are as much smaller.
inline constexpr double moe_gain = 4;

/// Expert `e` of an MoE layer: the same numbers on whichever rank it is made.
template <class Scalar>
feed_forward<Scalar> make_expert(const std::string& layer, std::size_t e, const model_shape& shape,
                                 std::uint64_t seed) {
    return feed_forward<Scalar>(layer + ".expert" + std::to_string(e), shape.width, shape.inner,
                                1 / moe_gain, 1.0, seed);
}

/// A causal language model over bytes: embedding; layers of attention and a feed-forward network,
/// each on the normalised residual and added to it; a linear layer to 256 logits. Every second
/// feed-forward network is a Mixture of Experts, the last one for sure (as in GShard and Switch).
/// `Moe` routes rows to experts and back, and is the only part that knows of other ranks:
///
///     Moe(name, shape, seed, environment&)
///     forward(x, batch, y)            y [T, d], written
///     backward(x, batch, grad_y, grad_x)   adds to parameters' gradients, writes grad_x
///     own_loss()                      of the router, this rank's share, of the last forward pass
///     list(parameter_list&)
template <class Scalar, class Moe>
class language_model {
  public:
    language_model(const model_shape& shape, std::uint64_t seed,
                   typename Moe::environment& environment)
        : embedding_("embedding", shape.context, shape.reach, shape.width, seed),
          last_norm_("last_norm", shape.width),
          head_("head", shape.width, 256, 0.5, seed) {
        for (std::size_t i = 0; i < shape.layers; ++i)
            layers_.push_back(std::make_unique<layer>("layer" + std::to_string(i), shape, seed,
                                                      (shape.layers - i) % 2 == 1, environment));
    }

    /// The sum over this rank's counted targets, in nats. `scale` is what each row's loss is
    /// multiplied by in the loss that `backward` descends.
    double forward(const batch& of, Scalar scale) {
        const std::size_t rows = of.ids.size(), width = head_.weight.value.shape(0);
        embedding_.forward(of.ids, shaped(residual_, rows, width));
        for (const auto& l : layers_) l->forward(of, out(residual_));
        last_norm_.forward(in(residual_), shaped(last_, rows, width));
        head_.forward(in(last_), shaped(logits_, rows, 256));
        return cross_entropy(out(logits_), of.targets, scale);
    }

    /// The routers' own losses of the last forward pass, this rank's share.
    double own_loss() const {
        double sum = 0;
        for (const auto& l : layers_)
            if (l->moe) sum += l->moe->own_loss();
        return sum;
    }

    /// Adds to the gradients, once after each forward pass.
    void backward(const batch& of) {
        const std::size_t rows = of.ids.size(), width = head_.weight.value.shape(0);
        head_.backward(in(last_), in(logits_), shaped(grad_last_, rows, width));
        fill(shaped(grad_residual_, rows, width), Scalar(0));
        last_norm_.backward(in(grad_last_), out(grad_residual_));
        for (std::size_t i = layers_.size(); i-- > 0;)
            layers_[i]->backward(of, out(grad_residual_));
        embedding_.backward(of.ids, in(grad_residual_));
    }

    parameter_list<Scalar> parameters() {
        parameter_list<Scalar> all;
        embedding_.list(all.shared);
        for (const auto& l : layers_) l->list(all);
        last_norm_.list(all.shared);
        head_.list(all.shared);
        return all;
    }

  private:
    struct layer {
        layer_norm<Scalar> attention_norm;
        attention<Scalar> mix;
        layer_norm<Scalar> feed_norm;
        std::unique_ptr<Moe> moe;  // one of these two
        std::unique_ptr<feed_forward<Scalar>> feed;

        layer(const std::string& name, const model_shape& shape, std::uint64_t seed,
              bool has_experts, typename Moe::environment& environment)
            : attention_norm(name + ".attention_norm", shape.width),
              mix(name + ".attention", shape.context, shape.width, shape.heads, 0.5, seed),
              feed_norm(name + ".feed_norm", shape.width, has_experts ? moe_gain : 1) {
            if (has_experts)
                moe = std::make_unique<Moe>(name + ".moe", shape, seed, environment);
            else
                feed = std::make_unique<feed_forward<Scalar>>(name + ".feed", shape.width,
                                                              shape.inner, 1.0, 1.0, seed);
        }

        void forward(const batch& of, matrix_view<Scalar> residual) {
            const std::size_t rows = residual.rows, width = residual.cols;
            attention_norm.forward(residual, shaped(attention_in_, rows, width));
            mix.forward(in(attention_in_), shaped(change_, rows, width));
            add(residual, in(change_));
            feed_norm.forward(residual, shaped(feed_in_, rows, width));
            if (moe)
                moe->forward(in(feed_in_), of, shaped(change_, rows, width));
            else
                feed->forward(in(feed_in_), shaped(change_, rows, width));
            add(residual, in(change_));
        }

        void backward(const batch& of, matrix_view<Scalar> grad_residual) {
            const std::size_t rows = grad_residual.rows, width = grad_residual.cols;
            const auto change = shaped(change_, rows, width);
            if (moe)
                moe->backward(in(feed_in_), of, grad_residual, change);
            else
                feed->backward(in(feed_in_), grad_residual, change);
            feed_norm.backward(change, grad_residual);
            mix.backward(in(attention_in_), grad_residual, change);
            attention_norm.backward(change, grad_residual);
        }

        void list(parameter_list<Scalar>& to) {
            attention_norm.list(to.shared);
            mix.list(to.shared);
            feed_norm.list(to.shared);
            if (moe)
                moe->list(to);
            else
                feed->list(to.shared);
        }

      private:
        matrix<Scalar> attention_in_, feed_in_, change_;
    };

    embedding<Scalar> embedding_;
    std::vector<std::unique_ptr<layer>> layers_;
    layer_norm<Scalar> last_norm_;
    linear<Scalar> head_;
    matrix<Scalar> residual_, last_, logits_, grad_last_, grad_residual_;
};

}  // namespace trainer
