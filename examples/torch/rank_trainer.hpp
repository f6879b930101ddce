#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numbers>
#include <span>
#include <string>
#include <vector>

#include "locmoe/exec/all_reduce.hpp"
#include "locmoe/exec/executor.hpp"

#include "model.hpp"

namespace torch_trainer {

/// One rank of a training run: what the example trainer's class of this name does, on the same
/// batches. All member functions are collective.
template <class Backend>
class rank_trainer {
  public:
    rank_trainer(Backend& backend, const locmoe::topology& nodes,
                 const trainer::training_options& options,
                 const std::vector<trainer::domain>& domains)
        : options_(options),
          backend_(backend),
          exchange_(backend, nodes,
                    locmoe::expert_placement::blocked(options.shape.experts, nodes.rank_count())),
          model_(options, exchange_),
          optimizer_(model_.parameters(),
                     torch::optim::AdamOptions(0).betas({0.9, 0.98}).eps(1e-9)),
          domains_(domains),
          shards_(trainer::shards::by_domain(domains.size(), nodes)),
          sampler_(trainer::training_texts(domains, shards_, backend.rank()),
                   options.shape.context) {
        for (const auto& p : model_.named_parameters())  // an expert is its own rank's alone
            if (p.key().find(".experts.") == std::string::npos) shared_.push_back(p.value());
    }

    /// One step; the mean over all ranks' bytes of the task loss, in bits.
    double step() {
        sampler_.draw(trainer::seed_for(options_.seed, steps_done_,
                                        static_cast<std::uint64_t>(backend_.rank())),
                      options_.sequences, batch_);
        const auto all_rows = static_cast<double>(backend_.rank_count() * batch_.ids.size());
        optimizer_.zero_grad();
        const torch::Tensor nats = task_loss() / all_rows;
        (nats + model_.own_loss()).backward();
        const double bits = sum_over_ranks(nats.template item<double>()) / std::numbers::ln2;
        for (auto& group : optimizer_.param_groups())
            static_cast<torch::optim::AdamOptions&>(group.options())
                .lr(trainer::learning_rate(steps_done_, options_.steps, options_.steps / 20 + 1,
                                           options_.peak_rate));
        optimizer_.step();
        ++steps_done_;
        return bits;
    }

    /// Bits per byte over all held-out text.
    double evaluate() {
        const torch::NoGradGuard forward_alone;
        std::size_t most = 0;  // all ranks take part in every exchange, with or without rows
        for (std::size_t r = 0; r < backend_.rank_count(); ++r)
            most = std::max(most, windows_of(static_cast<locmoe::rank_id>(r)).size());
        const auto mine = windows_of(backend_.rank());
        double sums[2] = {0, 0};  // nats, bytes
        for (std::size_t first = 0; first < most; first += options_.sequences) {
            batch_.clear();
            for (std::size_t i = first; i < std::min(first + options_.sequences, mine.size());
                 ++i) {
                trainer::append(mine[i], options_.shape.context, batch_);
                sums[1] += static_cast<double>(mine[i].end - mine[i].first);
            }
            sums[0] += task_loss().template item<double>();
        }
        locmoe::all_reduce_sum(backend_, std::span<double>(sums));
        return sums[0] / sums[1] / std::numbers::ln2;
    }

  private:
    std::vector<trainer::held_out_window> windows_of(locmoe::rank_id rank) const {
        return trainer::held_out_windows(domains_, shards_, rank, options_.shape.context);
    }

    /// The sum over the batch's targets that count, in nats.
    torch::Tensor task_loss() {
        const auto tensor = [](std::vector<std::int32_t>& numbers) {
            return torch::from_blob(numbers.data(), {size(numbers.size())}, torch::kInt)
                .to(torch::kLong);
        };
        const auto logits =
            model_.forward(tensor(batch_.ids).view({-1, size(options_.shape.context)}));
        return torch::nn::functional::cross_entropy(logits, tensor(batch_.targets),
                                                    torch::nn::functional::CrossEntropyFuncOptions()
                                                        .ignore_index(trainer::no_target)
                                                        .reduction(torch::kSum));
    }

    /// Sums the shared parameters' gradients over the ranks, and with them one number more.
    double sum_over_ranks(double value) {
        std::vector<torch::Tensor> parts;
        for (const auto& p : shared_) parts.push_back(p.grad().flatten());
        parts.push_back(torch::full({1}, value));
        const torch::Tensor flat = torch::cat(parts);
        locmoe::all_reduce_sum(backend_, std::span<float>(flat.data_ptr<float>(),
                                                          static_cast<std::size_t>(flat.numel())));
        std::int64_t next = 0;
        for (const auto& p : shared_) {
            p.mutable_grad() = flat.narrow(0, next, p.numel()).view_as(p).clone();
            next += p.numel();
        }
        return flat[next].template item<double>();
    }

    trainer::training_options options_;
    Backend& backend_;
    locmoe::executor<Backend> exchange_;
    language_model<Backend> model_;
    torch::optim::Adam optimizer_;
    const std::vector<trainer::domain>& domains_;
    trainer::shards shards_;
    trainer::training_sampler sampler_;
    trainer::batch batch_;
    std::vector<torch::Tensor> shared_;
    std::size_t steps_done_ = 0;
};

}  // namespace torch_trainer
