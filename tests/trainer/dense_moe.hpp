#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "locmoe/capacity/capacity_factor.hpp"
#include "locmoe/topology/expert_placement.hpp"
#include "locmoe/topology/topology.hpp"

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
        std::optional<double> capacity_factor;
        std::size_t dropped = 0;  ///< tokens, summed over layers and forward passes
    };

    dense_moe(const std::string& name, const model_shape& shape, std::uint64_t seed,
              environment& where)
        : where_(where), router_(name, shape.width, where.router, seed) {
        for (std::size_t e = 0; e < shape.experts; ++e)
            experts_.emplace_back(make_expert<Scalar>(name, e, shape, seed));
    }

    void forward(matrix_view<const Scalar> x, std::span<const std::int32_t> ids,
                 matrix_view<Scalar> y) {
        const std::size_t ranks = where_.nodes.rank_count(), share = x.rows / ranks;
        decided_.clear();
        load_.assign(experts_.size(), 0);
        for (std::size_t r = 0; r < ranks; ++r) {
            decided_.push_back(router_.route(rows_of(x, r * share, share), context(r, ids, share)));
            const auto counts = locmoe::count_choices(decided_[r]);
            for (std::size_t e = 0; e < load_.size(); ++e) load_[e] += counts[e];
        }
        own_loss_ = 0;
        for (std::size_t r = 0; r < ranks; ++r)
            own_loss_ +=
                static_cast<double>(router_.loss(decided_[r], load_, context(r, ids, share))) /
                static_cast<double>(ranks);

        std::size_t capacity = x.rows;
        if (where_.capacity_factor)
            capacity =
                locmoe::capacity_from_factor(*where_.capacity_factor, {x.rows, 1, experts_.size()});
        std::vector<std::size_t> taken(experts_.size(), 0);
        kept_.assign(x.rows, false);
        output_.resize({x.rows, x.cols});
        for (std::size_t t = 0; t < x.rows; ++t) {
            const auto e = expert_of(t, share);
            kept_[t] = taken[e]++ < capacity;
            fill(rows_of(y, t, 1), Scalar(0));
            if (!kept_[t]) {
                ++where_.dropped;
                continue;
            }
            experts_[e].forward(rows_of(x, t, 1), rows_of(out(output_), t, 1));
            for (std::size_t j = 0; j < x.cols; ++j) y(t, j) = weight_of(t, share) * output_(t, j);
        }
    }

    void backward(matrix_view<const Scalar> x, std::span<const std::int32_t> ids,
                  matrix_view<const Scalar> grad_y, matrix_view<Scalar> grad_x) {
        const std::size_t ranks = where_.nodes.rank_count(), share = x.rows / ranks;
        std::vector<Scalar> grad_weights(x.rows, Scalar(0));
        matrix<Scalar> grad_output({1, x.cols}), output({1, x.cols});
        for (std::size_t t = 0; t < x.rows; ++t) {
            fill(rows_of(grad_x, t, 1), Scalar(0));
            if (!kept_[t]) continue;
            for (std::size_t j = 0; j < x.cols; ++j) {
                grad_weights[t] += grad_y(t, j) * output_(t, j);
                grad_output(0, j) = grad_y(t, j) * weight_of(t, share);
            }
            auto& expert = experts_[expert_of(t, share)];
            expert.forward(rows_of(x, t, 1), out(output));  // it remembers one row only
            expert.backward(rows_of(x, t, 1), in(grad_output), rows_of(grad_x, t, 1));
        }
        for (std::size_t r = 0; r < ranks; ++r)
            router_.backward(
                rows_of(x, r * share, share), decided_[r], load_, context(r, ids, share),
                std::span<const Scalar>(grad_weights).subspan(r * share, share),
                Scalar(1) / static_cast<Scalar>(ranks), rows_of(grad_x, r * share, share));
    }

    double own_loss() const { return own_loss_; }

    void list(parameter_list<Scalar>& to) {
        router_.list(to.shared);
        for (auto& e : experts_) e.list(to.expert);
    }

  private:
    locmoe::route_context context(std::size_t rank, std::span<const std::int32_t> ids,
                                  std::size_t share) const {
        return {static_cast<locmoe::rank_id>(rank), where_.nodes, where_.placement,
                ids.subspan(rank * share, share)};
    }
    std::size_t expert_of(std::size_t t, std::size_t share) const {
        return static_cast<std::size_t>(decided_[t / share].chosen[t % share]);
    }
    Scalar weight_of(std::size_t t, std::size_t share) const {
        return decided_[t / share].weights[t % share];
    }

    environment& where_;
    layer_router<Scalar> router_;
    std::vector<feed_forward<Scalar>> experts_;
    std::vector<typename layer_router<Scalar>::routing> decided_;  // a rank
    std::vector<std::int64_t> load_;
    std::vector<bool> kept_;
    matrix<Scalar> output_;  // [T, d], before the weights
    double own_loss_ = 0;
};

}  // namespace trainer
