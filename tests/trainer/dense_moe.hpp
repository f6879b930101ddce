#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "locmoe/capacity/capacity_schedule.hpp"
#include "locmoe/topology/expert_placement.hpp"
#include "locmoe/topology/topology.hpp"

#include "batch.hpp"
#include "capacity_option.hpp"
#include "feed_forward.hpp"
#include "layer_router.hpp"
#include "model.hpp"

namespace trainer {

/// The reference of an MoE layer: all experts here, no plan and no exchange, one token after the
/// other. The batch is that of all ranks, in rank order, the same number of tokens each.
template <class Scalar>
class dense_moe {
  public:
    struct environment {
        router_options router;
        const locmoe::topology& nodes;
        const locmoe::expert_placement& placement;
        any_capacity capacity;
        bool training = true;  ///< false: schedules and biases stand still
        std::uint64_t step = 0;
        std::size_t dropped = 0;  ///< choices, summed over layers and forward passes
    };

    dense_moe(const std::string& name, const model_shape& shape, std::uint64_t seed,
              environment& where)
        : where_(where), router_(name, shape.width, where.router, seed), capacity_(where.capacity) {
        for (std::size_t e = 0; e < shape.experts; ++e)
            experts_.emplace_back(make_expert<Scalar>(name, e, shape, seed));
    }

    void forward(matrix_view<const Scalar> x, const batch& of, matrix_view<Scalar> y) {
        const std::size_t ranks = where_.nodes.rank_count(), share = x.rows / ranks;
        decided_.clear();
        load_.assign(experts_.size(), 0);
        for (std::size_t r = 0; r < ranks; ++r) {
            decided_.push_back(router_.route(rows_of(x, r * share, share), context(r, of, share)));
            const auto counts = locmoe::count_choices(decided_[r]);
            for (std::size_t e = 0; e < load_.size(); ++e) load_[e] += counts[e];
        }
        std::int64_t choices = 0;
        for (const std::int64_t l : load_) choices += l;
        const locmoe::capacity_demand demand{static_cast<std::size_t>(choices), 1, load_.size()};
        const auto capacity = used_capacity_ = capacity_.capacity(demand);
        own_loss_ = 0;
        for (std::size_t r = 0; r < ranks; ++r) {
            const auto of_rank = context(r, of, share);
            router_.adapt_mu(decided_[r], load_, capacity, of_rank);
            own_loss_ += static_cast<double>(router_.loss(decided_[r], load_, of_rank)) /
                         static_cast<double>(ranks);
        }
        std::vector<std::int64_t> taken(experts_.size(), 0);
        computed_.clear();
        matrix<Scalar> output({1, x.cols});
        for (std::size_t t = 0; t < x.rows; ++t) {
            fill(rows_of(y, t, 1), Scalar(0));
            const auto& decided = decided_[t / share];
            for (std::size_t s = 0; s < decided.choice_count; ++s) {
                const auto chosen = decided.expert(t % share, s);
                if (chosen == locmoe::no_expert) continue;
                const auto e = static_cast<std::size_t>(chosen);
                if (capacity && taken[e] >= *capacity) {
                    ++where_.dropped;
                    continue;
                }
                ++taken[e];
                const std::size_t pair = (t % share) * decided.choice_count + s;
                experts_[e].forward(rows_of(x, t, 1), out(output));
                for (std::size_t j = 0; j < x.cols; ++j)
                    y(t, j) += decided.weights[pair] * output(0, j);
                computed_.push_back({t, pair, e});
            }
        }
        locmoe::delta_sketch delta;
        for (std::size_t r = 0; r < ranks; ++r)
            delta.merge(
                router_.measure_delta(rows_of(x, r * share, share), decided_[r], where_.step));
        if (where_.training) capacity_.observe({.demand = demand, .load = load_, .delta = &delta});
    }

    void backward(matrix_view<const Scalar> x, const batch& of, matrix_view<const Scalar> grad_y,
                  matrix_view<Scalar> grad_x) {
        const std::size_t ranks = where_.nodes.rank_count(), share = x.rows / ranks;
        std::vector<std::vector<Scalar>> grad_weights;
        for (const auto& decided : decided_) grad_weights.emplace_back(decided.weights.size());
        matrix<Scalar> grad_output({1, x.cols}), output({1, x.cols}), grad({1, x.cols});
        fill(grad_x, Scalar(0));
        for (const auto& [t, pair, e] : computed_) {
            const Scalar weight = decided_[t / share].weights[pair];
            experts_[e].forward(rows_of(x, t, 1), out(output));  // it remembers one row only
            for (std::size_t j = 0; j < x.cols; ++j) {
                grad_weights[t / share][pair] += grad_y(t, j) * output(0, j);
                grad_output(0, j) = grad_y(t, j) * weight;
            }
            experts_[e].backward(rows_of(x, t, 1), in(grad_output), out(grad));
            add(rows_of(grad_x, t, 1), in(grad));
        }
        for (std::size_t r = 0; r < ranks; ++r) {
            const auto of_rank = context(r, of, share);
            router_.adapt_mu(decided_[r], load_, used_capacity_, of_rank);
            router_.backward(rows_of(x, r * share, share), decided_[r], load_, of_rank,
                             std::span<const Scalar>(grad_weights[r]),
                             Scalar(1) / static_cast<Scalar>(ranks),
                             rows_of(grad_x, r * share, share));
        }
        if (where_.training) router_.end_step(load_);
    }

    double own_loss() const { return own_loss_; }

    void list(parameter_list<Scalar>& to) {
        router_.list(to.shared);
        for (auto& e : experts_) e.list(to.expert);
    }

  private:
    locmoe::route_context context(std::size_t rank, const batch& of, std::size_t share) const {
        const auto own = [&](std::span<const std::int32_t> all) {
            return all.subspan(rank * share, share);
        };
        locmoe::route_context c{static_cast<locmoe::rank_id>(rank), where_.nodes, where_.placement,
                                own(of.ids), own(of.domains)};
        c.step = where_.step;
        c.first_token = rank * share;
        return c;
    }

    environment& where_;
    layer_router<Scalar> router_;
    any_capacity capacity_;
    std::vector<feed_forward<Scalar>> experts_;
    std::vector<typename layer_router<Scalar>::routing> decided_;  // a rank
    std::vector<std::int64_t> load_;
    std::optional<std::int64_t> used_capacity_;  // of one expert
    struct computed {
        std::size_t token, pair, expert;  // pair within its rank's [T, k]
    };
    std::vector<computed> computed_;
    double own_loss_ = 0;
};

}  // namespace trainer
