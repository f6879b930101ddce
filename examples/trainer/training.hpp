#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <numbers>
#include <optional>
#include <span>
#include <vector>

#include "locmoe/exec/all_reduce.hpp"
#include "locmoe/exec/executor.hpp"
#include "locmoe/topology/cluster_costs.hpp"

#include "adam.hpp"
#include "batch.hpp"
#include "held_out.hpp"
#include "model.hpp"
#include "moe.hpp"
#include "report.hpp"
#include "shards.hpp"

namespace trainer {

struct training_options {
    model_shape shape;
    router_kind router = router_kind::locmoe;
    std::size_t steps = 1500;
    std::size_t sequences = 8;       ///< a rank and step
    std::size_t recorded_steps = 0;  ///< the last so many steps' choices are kept
    double peak_rate = 3e-3;
    std::size_t choices = 2;  ///< of a token, by the routers that choose several
    double alpha = 0.03;      ///< auxiliary loss
    double mu = 0.1;          ///< locality loss
    bool adaptive_mu = false;  ///< it falls where a node has no room for its tokens
    double epsilon = 0.1;     ///< share of tokens that it lets leave their node
    std::uint64_t seed = 1;
    any_capacity capacity;  ///< factor 1.25
    row_strategy strategy = row_strategy::direct;
    locmoe::cluster_costs costs = {};  ///< that the best strategy is chosen by
    bool shuffled = false;
};

/// One rank of a training run. All member functions but the readers are collective.
template <class Scalar, class Backend>
class rank_trainer {
  public:
    /// `domains` and `byte_counts` (of the training text, [256]) outlive the trainer.
    rank_trainer(Backend& backend, const locmoe::topology& nodes, const training_options& options,
                 const std::vector<domain>& domains, std::span<const std::int64_t> byte_counts)
        : options_(options),
          backend_(backend),
          exchange_(backend, nodes,
                    locmoe::expert_placement::blocked(options.shape.experts, nodes.rank_count())),
          environment_{exchange_,
                       {options.router, options.shape.experts, byte_counts, domains.size(),
                        options.alpha, options.mu, options.epsilon, options.seed,
                        options.choices, options.adaptive_mu},
                       options.capacity,
                       options.strategy,
                       options.costs},
          model_(options.shape, options.seed, environment_),
          parameters_(model_.parameters()),
          optimizer_(parameters_.all()),
          domains_(domains),
          shards_(options.shuffled ? shards::shuffled(domains.size(), nodes)
                                   : shards::by_domain(domains.size(), nodes)),
          sampler_(training_texts(domains, shards_, backend.rank()), options.shape.context) {}

    /// One step; the mean over all ranks' bytes of the task loss, in bits.
    double step() {
        double loss = 0;
        environment_.clock.step([&] {
            const std::size_t ranks = backend_.rank_count();
            sampler_.draw(seed_for(options_.seed, steps_done_, index(backend_.rank())),
                          options_.sequences, batch_);
            const auto all_rows = static_cast<double>(ranks * batch_.ids.size());
            clear_gradients(parameters_);
            environment_.step = steps_done_;
            environment_.measures = steps_done_ + 1 == options_.steps;
            if constexpr (requires { backend_.record(true); })
                backend_.record(environment_.measures);
            environment_.records = steps_done_ + options_.recorded_steps >= options_.steps;
            const double nats = model_.forward(batch_, static_cast<Scalar>(1 / all_rows));
            model_.backward(batch_);
            loss = sum_over_ranks(nats / all_rows) / std::numbers::ln2;
            optimizer_.step(learning_rate(steps_done_, options_.steps, options_.steps / 20 + 1,
                                          options_.peak_rate));
        });
        if constexpr (requires { backend_.record(false); }) backend_.record(false);
        ++steps_done_;
        return loss;
    }

    /// Bits per byte over all held-out text.
    double evaluate() {
        const std::size_t ranks = backend_.rank_count(), length = options_.shape.context;
        std::size_t most = 0;  // all ranks take part in every exchange, with or without rows
        for (std::size_t r = 0; r < ranks; ++r)
            most = std::max(most, windows_of(static_cast<locmoe::rank_id>(r)).size());
        const auto mine = windows_of(backend_.rank());
        double sums[2] = {0, 0};  // nats, bytes
        environment_.training = false;
        for (std::size_t first = 0; first < most; first += options_.sequences) {
            batch_.clear();
            for (std::size_t i = first; i < std::min(first + options_.sequences, mine.size());
                 ++i) {
                append(mine[i], length, batch_);
                sums[1] += static_cast<double>(mine[i].end - mine[i].first);
            }
            sums[0] += model_.forward(batch_, Scalar(0));
        }
        environment_.training = true;
        locmoe::all_reduce_sum(backend_, std::span<double>(sums));
        return sums[1] == 0 ? 0 : sums[0] / sums[1] / std::numbers::ln2;
    }

    /// Trains and evaluates; the report is the same on every rank. `shown` is called with each
    /// step's number, from 1 on, and loss.
    router_report run(const std::function<void(std::size_t, double)>& shown) {
        router_report report;
        report.name = router_name(options_.router);
        for (std::size_t s = 0; s < options_.steps; ++s) {
            report.losses.push_back(step());
            shown(s + 1, report.losses.back());
        }
        add_statistics(report);
        report.last = environment_.measured;
        environment_.records = false;
        report.heldout_bits_per_byte = evaluate();
        return report;
    }

    language_model<Scalar, expert_parallel_moe<Scalar, Backend>>& model() { return model_; }
    const moe_statistics& statistics() const { return environment_.statistics; }

    /// What the layers share: its strategy may change from step to step, on all ranks alike.
    typename expert_parallel_moe<Scalar, Backend>::environment& environment() {
        return environment_;
    }

    /// The experts that this rank's tokens chose: [recorded steps, MoE layers, T, k].
    std::span<const locmoe::expert_id> recorded() const { return environment_.recorded; }

  private:
    static std::size_t index(locmoe::rank_id rank) { return static_cast<std::size_t>(rank); }

    std::vector<held_out_window> windows_of(locmoe::rank_id rank) const {
        return held_out_windows(domains_, shards_, rank, options_.shape.context);
    }

    /// Sums the shared parameters' gradients over the ranks, and with them one number more.
    double sum_over_ranks(double value) {
        flat_.clear();
        for (parameter<Scalar>* p : parameters_.shared)
            flat_.insert(flat_.end(), p->gradients().begin(), p->gradients().end());
        flat_.push_back(static_cast<Scalar>(value));
        locmoe::all_reduce_sum(backend_, std::span<Scalar>(flat_));
        const Scalar* next = flat_.data();
        for (parameter<Scalar>* p : parameters_.shared)
            for (Scalar& g : p->gradients()) g = *next++;
        return static_cast<double>(*next);
    }

    void add_statistics(router_report& report) {
        const moe_statistics& own = environment_.statistics;
        const std::int64_t counts[] = {own.chosen,
                                       own.dropped,
                                       own.kept_on_node,
                                       own.sent.inter_node.bytes,
                                       own.sent.intra_node.bytes,
                                       own.sent.inter_node.messages,
                                       own.sent.intra_node.messages,
                                       own.expert_rows};
        std::vector<double> all;
        for (const std::int64_t sum : backend_.scan_counts(counts).total)
            all.push_back(static_cast<double>(sum));
        const auto ratio = [](double a, double b) { return b == 0 ? 0 : a / b; };
        const auto steps = static_cast<double>(steps_done_);
        report.dropped_fraction = ratio(all[1], all[0]);
        report.kept_on_node_fraction = ratio(all[2], all[0] - all[1]);
        report.inter_node_bytes_per_step = ratio(all[3], steps);
        report.intra_node_bytes_per_step = ratio(all[4], steps);
        report.inter_node_messages_per_step = ratio(all[5], steps);
        report.intra_node_messages_per_step = ratio(all[6], steps);
        report.load_max_over_mean = ratio(own.load_max_over_mean, static_cast<double>(own.passes));
        report.expert_tokens_per_step = ratio(all[7], steps);
        report.padded_rows_per_step = ratio(static_cast<double>(own.padded_rows), steps);
        if (own.capacity_rows)
            report.capacity =
                ratio(static_cast<double>(*own.capacity_rows), static_cast<double>(own.passes));

        const step_clock& clock = environment_.clock;
        double ms[] = {clock.seconds(step_part::route),    clock.seconds(step_part::plan),
                       clock.seconds(step_part::exchange), clock.seconds(step_part::expert),
                       clock.seconds(step_part::other),    clock.total()};
        locmoe::all_reduce_sum(backend_, std::span<double>(ms));
        for (double& m : ms)
            m = ratio(1000 * m, steps * static_cast<double>(backend_.rank_count()));
        report.step_ms = {ms[0], ms[1], ms[2], ms[3], ms[4], ms[5]};
    }

    training_options options_;
    Backend& backend_;
    locmoe::executor<Backend> exchange_;
    typename expert_parallel_moe<Scalar, Backend>::environment environment_;
    language_model<Scalar, expert_parallel_moe<Scalar, Backend>> model_;
    parameter_list<Scalar> parameters_;
    adam<Scalar> optimizer_;
    const std::vector<domain>& domains_;
    shards shards_;
    training_sampler sampler_;
    batch batch_;
    std::vector<Scalar> flat_;
    std::size_t steps_done_ = 0;
};

}  // namespace trainer
