#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "locmoe/assign/assignment.hpp"
#include "locmoe/capacity/capacity_schedule.hpp"
#include "locmoe/capacity/delta_sketch.hpp"
#include "locmoe/exec/executor.hpp"
#include "locmoe/exec/plan_cache.hpp"
#include "locmoe/plan/choose.hpp"
#include "locmoe/plan/direct.hpp"
#include "locmoe/plan/node_aggregated.hpp"
#include "locmoe/topology/cluster_costs.hpp"

#include "batch.hpp"
#include "capacity_option.hpp"
#include "feed_forward.hpp"
#include "layer_router.hpp"
#include "measured_step.hpp"
#include "model.hpp"
#include "span.hpp"
#include "step_clock.hpp"

namespace trainer {

/// What the MoE layers of one rank did, summed over forward passes and layers. Counts are of
/// (token, expert) choices, and of bytes that this rank sent.
struct moe_statistics {
    std::int64_t chosen = 0;
    std::int64_t dropped = 0;
    std::int64_t kept_on_node = 0;  ///< not dropped, and the expert is on the token's own node
    std::int64_t expert_rows = 0;   ///< that this rank's experts computed, forwards
    std::int64_t padded_rows = 0;   ///< of all ranks, where every slot were computed, filled or not
    locmoe::traffic sent;           ///< rows, weights and their gradients; no metadata
    std::size_t passes = 0;
    double load_max_over_mean = 0;              ///< of all ranks' choices, before any drop
    std::optional<std::int64_t> capacity_rows;  ///< an expert takes at most; none: dropless
};

/// How rows travel: by one strategy, or by whichever is cheapest under given costs.
enum class row_strategy { direct, node_aggregated, best };

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
        any_capacity capacity;  ///< what each layer's own schedule starts from
        row_strategy strategy = row_strategy::direct;
        locmoe::cluster_costs costs = {};  ///< that `best` goes by
        bool training = true;   ///< false: schedules stand still, and routers draw nothing
        bool measures = false;  ///< keep what the last layer does
        bool records = false;   ///< keep the experts that all layers choose
        std::uint64_t step = 0;
        measured_step measured = {};
        std::vector<locmoe::expert_id> recorded = {};  ///< [passes, T, k], while `records`
        step_clock clock = {};
        moe_statistics statistics = {};
        const locmoe::exchange_plan* plan = nullptr;  ///< the last layer's, of the last pass
    };

    expert_parallel_moe(const std::string& name, const model_shape& shape, std::uint64_t seed,
                        environment& where)
        : where_(where),
          width_(shape.width),
          router_(name, shape.width, where.router, seed),
          capacity_(where.capacity) {
        const auto own = where.exchange.placement().experts_of(where.exchange.backend().rank());
        for (const locmoe::expert_id e : own)
            experts_.push_back(make_expert<Scalar>(name, static_cast<std::size_t>(e), shape, seed));
    }

    void forward(matrix_view<const Scalar> x, const batch& of, matrix_view<Scalar> y) {
        auto& exchange = where_.exchange;
        const auto context = this->context(of);
        part(step_part::route, "route", [&] { decided_ = router_.route(x, context); });
        if (where_.records)
            where_.recorded.insert(where_.recorded.end(), decided_.chosen.begin(),
                                   decided_.chosen.end());
        part(step_part::plan, "plan", [&] { make_plan(); });
        if (where_.training) part(step_part::route, "observe", [&] { observe(x); });
        part(step_part::route, "loss", [&] {
            if (where_.training) router_.adapt_mu(decided_, load_, used_capacity_, context);
            own_loss_ = loss_scale_ * router_.loss(decided_, load_, context);
        });

        const std::size_t rows = plan_.expert_row_count();
        part(
            step_part::exchange, "dispatch",
            [&] { exchange.dispatch(plan_, x, shaped(expert_in_, rows, x.cols)); },
            {&plan_.dispatch});
        part(
            step_part::exchange, "dispatch_weights",
            [&] { row_weights_ = exchange.dispatch_weights(plan_, decided_.weights); },
            {&plan_.pair_dispatch});
        part(step_part::expert, "expert", [&] {
            shaped(expert_out_, rows, x.cols);
            for (std::size_t e = 0; e < experts_.size(); ++e)
                experts_[e].forward(of_expert(in(expert_in_), e), of_expert(out(expert_out_), e));
        });
        part(
            step_part::exchange, "combine",
            [&] { exchange.combine(plan_, expert_out_, row_weights_, y); }, {&plan_.combine});
        count_sent();
    }

    /// With x and batch of the last forward pass; writes the gradient of x.
    void backward(matrix_view<const Scalar> x, const batch& of, matrix_view<const Scalar> grad_y,
                  matrix_view<Scalar> grad_x) {
        auto& exchange = where_.exchange;
        const std::size_t rows = plan_.expert_row_count();
        std::vector<Scalar> grad_weights(decided_.weights.size());
        part(
            step_part::exchange, "combine_backward",
            [&] {
                exchange.combine_backward(plan_, grad_y, expert_out_, row_weights_,
                                          shaped(grad_out_, rows, x.cols), grad_weights);
            },
            {&plan_.dispatch, &plan_.pair_combine});
        part(step_part::expert, "expert backward", [&] {
            shaped(grad_in_, rows, x.cols);
            for (std::size_t e = 0; e < experts_.size(); ++e)
                experts_[e].backward(of_expert(in(expert_in_), e), of_expert(in(grad_out_), e),
                                     of_expert(out(grad_in_), e));
        });
        part(
            step_part::exchange, "dispatch_backward",
            [&] { exchange.dispatch_backward(plan_, grad_in_, grad_x); }, {&plan_.combine});
        part(step_part::route, "route backward", [&] {
            router_.backward(x, decided_, load_, context(of), std::span<const Scalar>(grad_weights),
                             loss_scale_, grad_x);
        });
        count_sent();
        router_.end_step(load_);
    }

    /// The router's own loss of the last forward pass: this rank's share of the mean over all
    /// tokens.
    double own_loss() const { return static_cast<double>(own_loss_); }

    void list(parameter_list<Scalar>& to) {
        router_.list(to.shared);
        for (auto& e : experts_) e.list(to.expert);
    }

  private:
    /// Does the work on the clock's account, and as a span of the trace where there is one.
    template <class Work>
    void part(step_part of, std::string_view name, Work&& work,
              std::initializer_list<const locmoe::flow*> flows = {}) {
        where_.clock.run(of, [&] { span(where_.exchange.backend(), name, work, flows); });
    }

    // What is drawn at random follows the row's place in the batch of all ranks, which hold equally
    // many rows while training.
    locmoe::route_context context(const batch& of) const {
        auto c = where_.exchange.context(of.ids);
        c.domains = of.domains;
        c.step = where_.step;
        c.first_token = static_cast<std::uint64_t>(c.rank) * of.ids.size();
        c.training = where_.training;
        return c;
    }

    void make_plan() {
        auto& exchange = where_.exchange;
        // one count more than experts: the tokens
        auto counts = locmoe::count_choices(decided_);
        const std::size_t experts = counts.size();
        counts.push_back(static_cast<std::int64_t>(decided_.token_count));
        auto scan = exchange.backend().scan_counts(counts);
        const std::int64_t tokens = scan.total.back();
        load_.assign(scan.total.begin(), scan.total.end() - 1);
        scan.before.pop_back();
        loss_scale_ = tokens == 0
                          ? Scalar(0)
                          : static_cast<Scalar>(decided_.token_count) / static_cast<Scalar>(tokens);

        // Choices rather than tokens times k: not every token fills all its slots.
        std::int64_t choices = 0;
        for (const std::int64_t n : load_) choices += n;
        demand_ = {static_cast<std::size_t>(choices), 1, experts};
        used_capacity_ = capacity_.capacity(demand_);
        const auto assigned =
            locmoe::assign(decided_, {.capacity = used_capacity_, .before = scan.before});
        if (where_.strategy == row_strategy::direct)
            plan_ = exchange.plan(assigned, locmoe::direct{});
        else if (where_.strategy == row_strategy::node_aggregated)
            plan_ = exchange.plan(assigned, locmoe::node_aggregated{});
        else
            plan_ = best_plan(assigned);
        where_.plan = &plan_;
        count_choices(assigned, counts, choices);
        if (where_.measures) assigned_ = assigned;
    }

    const locmoe::exchange_plan& best_plan(const locmoe::assignment& assigned) {
        const std::size_t row_bytes = width_ * sizeof(Scalar);
        if (!best_)
            best_.emplace(where_.exchange, locmoe::plan_options{row_bytes, where_.costs},
                          locmoe::all_strategies());
        return best_->plan(assigned);
    }

    void count_choices(const locmoe::assignment& assigned, std::span<const std::int64_t> own,
                       std::int64_t all) {
        auto& exchange = where_.exchange;
        auto& statistics = where_.statistics;
        const auto n = static_cast<std::int64_t>(load_.size());
        std::int64_t most = 0;
        for (const std::int64_t l : load_) most = l > most ? l : most;
        for (std::size_t e = 0; e < load_.size(); ++e) statistics.chosen += own[e];
        statistics.dropped += assigned.dropped_count();
        for (const locmoe::expert_id e : plan_.pair_experts)
            if (exchange.nodes().same_node(exchange.backend().rank(),
                                           exchange.placement().rank_of(e)))
                ++statistics.kept_on_node;
        statistics.expert_rows += static_cast<std::int64_t>(plan_.expert_row_count());
        statistics.padded_rows += n * used_capacity_.value_or(most);
        if (used_capacity_)
            statistics.capacity_rows = statistics.capacity_rows.value_or(0) + *used_capacity_;
        statistics.load_max_over_mean +=
            all == 0 ? 1 : static_cast<double>(most * n) / static_cast<double>(all);
        ++statistics.passes;
    }

    // Shows the schedule what the step did: to all ranks the same.
    void observe(matrix_view<const Scalar> x) {
        locmoe::capacity_observation seen{.demand = demand_, .load = load_};
        locmoe::delta_sketch delta;
        if (capacity_.wants_delta() || where_.measures) {
            const auto own = router_.measure_delta(x, decided_, where_.step);
            delta = locmoe::delta_sketch::from_counts(
                where_.exchange.backend().scan_counts(own.counts()).total);
            seen.delta = &delta;
        }
        if (where_.measures)
            where_.measured = {demand_, used_capacity_, load_, delta, assigned_, plan_.strategy};
        capacity_.observe(seen);
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

    using best_plans =
        locmoe::plan_cache<locmoe::executor<Backend>, decltype(locmoe::all_strategies())>;

    environment& where_;
    std::size_t width_;  // d
    layer_router<Scalar> router_;
    any_capacity capacity_;
    std::vector<feed_forward<Scalar>> experts_;  // this rank's, ascending
    locmoe::basic_routing<Scalar> decided_;
    std::vector<std::int64_t> load_;  // [n], of all ranks
    locmoe::capacity_demand demand_ = {};
    std::optional<std::int64_t> used_capacity_;
    locmoe::assignment assigned_;  // kept where it is measured
    std::optional<best_plans> best_;  // once it is asked for
    locmoe::exchange_plan plan_;
    std::vector<Scalar> row_weights_;
    matrix<Scalar> expert_in_, expert_out_, grad_out_, grad_in_;  // [R, d]
    Scalar loss_scale_ = 0;                                       // this rank's share of all tokens
    Scalar own_loss_ = 0;
};

}  // namespace trainer
