#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "locmoe/assign/assignment.hpp"
#include "locmoe/capacity/capacity_factor.hpp"
#include "locmoe/exec/executor.hpp"
#include "locmoe/plan/direct.hpp"
#include "locmoe/plan/node_aggregated.hpp"

#include "feed_forward.hpp"
#include "layer_router.hpp"
#include "model.hpp"
#include "step_clock.hpp"

namespace trainer {

/// What the MoE layers of one rank did, summed over forward passes and layers. Counts are of
/// (token, expert) choices, and of bytes that this rank sent.
struct moe_statistics {
    std::int64_t chosen = 0;
    std::int64_t dropped = 0;
    std::int64_t kept_on_node = 0;  ///< not dropped, and the expert is on the token's own node
    locmoe::traffic sent;           ///< rows, weights and their gradients; no metadata
    std::size_t passes = 0;
    double load_max_over_mean = 0;         ///< of all ranks' choices, before any drop
    std::optional<std::int64_t> capacity;  ///< rows an expert takes at most, of the last pass
};

/// A Mixture-of-Experts layer whose experts are spread over the ranks: routes its rows, plans,
/// sends them to their experts, and fetches what those made of them, weighted; backwards the same
/// way. A dropped row's output is 0. `Backend` is any of locmoe's.
template <class Scalar, class Backend>
class expert_parallel_moe {
  public:
    /// What all layers of a rank share.
    struct environment {
        locmoe::executor<Backend>& exchange;
        router_options router;
        std::optional<double> capacity_factor;
        bool node_aggregated = false;
        step_clock clock = {};
        moe_statistics statistics = {};
    };

    expert_parallel_moe(const std::string& name, const model_shape& shape, std::uint64_t seed,
                        environment& where)
        : where_(where), router_(name, shape.width, where.router, seed) {
        const auto own = where.exchange.placement().experts_of(where.exchange.backend().rank());
        for (const locmoe::expert_id e : own)
            experts_.push_back(make_expert<Scalar>(name, static_cast<std::size_t>(e), shape, seed));
    }

    void forward(matrix_view<const Scalar> x, std::span<const std::int32_t> ids,
                 matrix_view<Scalar> y) {
        auto& exchange = where_.exchange;
        auto& clock = where_.clock;
        const auto context = exchange.context(ids);
        clock.run(step_part::route, [&] { decided_ = router_.route(x, context); });
        clock.run(step_part::plan, [&] { make_plan(); });
        clock.run(step_part::route,
                  [&] { own_loss_ = loss_scale_ * router_.loss(decided_, load_, context); });

        const std::size_t rows = plan_.expert_row_count();
        clock.run(step_part::exchange, [&] {
            exchange.dispatch(plan_, x, shaped(expert_in_, rows, x.cols));
            row_weights_ = exchange.dispatch_weights(plan_, decided_.weights);
        });
        clock.run(step_part::expert, [&] {
            shaped(expert_out_, rows, x.cols);
            for (std::size_t e = 0; e < experts_.size(); ++e)
                experts_[e].forward(of_expert(in(expert_in_), e), of_expert(out(expert_out_), e));
        });
        clock.run(step_part::exchange,
                  [&] { exchange.combine(plan_, expert_out_, row_weights_, y); });
        count_sent();
    }

    /// With x and ids of the last forward pass; writes the gradient of x.
    void backward(matrix_view<const Scalar> x, std::span<const std::int32_t> ids,
                  matrix_view<const Scalar> grad_y, matrix_view<Scalar> grad_x) {
        auto& exchange = where_.exchange;
        auto& clock = where_.clock;
        const std::size_t rows = plan_.expert_row_count();
        std::vector<Scalar> grad_weights(decided_.weights.size());
        clock.run(step_part::exchange, [&] {
            exchange.combine_backward(plan_, grad_y, expert_out_, row_weights_,
                                      shaped(grad_out_, rows, x.cols), grad_weights);
        });
        clock.run(step_part::expert, [&] {
            shaped(grad_in_, rows, x.cols);
            for (std::size_t e = 0; e < experts_.size(); ++e)
                experts_[e].backward(of_expert(in(expert_in_), e), of_expert(in(grad_out_), e),
                                     of_expert(out(grad_in_), e));
        });
        clock.run(step_part::exchange,
                  [&] { exchange.dispatch_backward(plan_, grad_in_, grad_x); });
        clock.run(step_part::route, [&] {
            router_.backward(x, decided_, load_, exchange.context(ids),
                             std::span<const Scalar>(grad_weights), loss_scale_, grad_x);
        });
        count_sent();
    }

    /// The router's own loss of the last forward pass: this rank's share of the mean over all
    /// tokens.
    double own_loss() const { return static_cast<double>(own_loss_); }

    void list(parameter_list<Scalar>& to) {
        router_.list(to.shared);
        for (auto& e : experts_) e.list(to.expert);
    }

  private:
    void make_plan() {
        auto& exchange = where_.exchange;
        auto& statistics = where_.statistics;
        const auto scan = exchange.backend().scan_counts(locmoe::count_choices(decided_));
        load_ = scan.total;
        std::int64_t all = 0, most = 0;
        for (const std::int64_t n : load_) {
            all += n;
            most = n > most ? n : most;
        }
        const auto pairs = static_cast<std::size_t>(all);
        loss_scale_ = all == 0
                          ? Scalar(0)
                          : static_cast<Scalar>(decided_.chosen.size()) / static_cast<Scalar>(all);

        std::optional<std::int64_t> capacity;
        if (where_.capacity_factor)
            capacity = static_cast<std::int64_t>(locmoe::capacity_from_factor(
                *where_.capacity_factor, {pairs, 1, decided_.expert_count}));
        const auto assigned =
            locmoe::assign(decided_, {.capacity = capacity, .before = scan.before});
        plan_ = where_.node_aggregated ? exchange.plan(assigned, locmoe::node_aggregated{})
                                       : exchange.plan(assigned, locmoe::direct{});

        const auto self = exchange.backend().rank();
        statistics.chosen += static_cast<std::int64_t>(decided_.chosen.size());
        statistics.dropped += assigned.dropped_count();
        for (const locmoe::expert_id e : plan_.pair_experts)
            if (exchange.nodes().same_node(self, exchange.placement().rank_of(e)))
                ++statistics.kept_on_node;
        statistics.load_max_over_mean += all == 0 ? 1
                                                  : static_cast<double>(most) *
                                                        static_cast<double>(load_.size()) /
                                                        static_cast<double>(all);
        ++statistics.passes;
        statistics.capacity = capacity;
    }

    // Half of a pass sends rows there and back, and the weights (or their gradients) one way.
    void count_sent() {
        const std::size_t row_bytes = expert_in_.shape(1) * sizeof(Scalar);
        auto& sent = where_.statistics.sent;
        sent += locmoe::count_traffic(plan_.dispatch, row_bytes);
        sent += locmoe::count_traffic(plan_.combine, row_bytes);
        sent += locmoe::count_traffic(plan_.pair_dispatch, sizeof(Scalar));
    }

    template <class Element>
    matrix_view<Element> of_expert(matrix_view<Element> rows, std::size_t e) const {
        const auto first = static_cast<std::size_t>(plan_.expert_first[e]);
        const auto end = static_cast<std::size_t>(plan_.expert_first[e + 1]);
        return rows_of(rows, first, end - first);
    }

    environment& where_;
    layer_router<Scalar> router_;
    std::vector<feed_forward<Scalar>> experts_;  // this rank's, ascending
    locmoe::basic_routing<Scalar> decided_;
    std::vector<std::int64_t> load_;  // [n], of all ranks
    locmoe::exchange_plan plan_;
    std::vector<Scalar> row_weights_;
    matrix<Scalar> expert_in_, expert_out_, grad_out_, grad_in_;  // [R, d]
    Scalar loss_scale_ = 0;                                       // this rank's share of all tokens
    Scalar own_loss_ = 0;
};

}  // namespace trainer
