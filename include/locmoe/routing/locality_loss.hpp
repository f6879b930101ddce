#pragma once

#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <vector>

#include "locmoe/core/error.hpp"
#include "locmoe/routing/detail/check.hpp"
#include "locmoe/routing/routing.hpp"

namespace locmoe::inline v0 {

/// The defaults. mu = 0.01 is the auxiliary loss's alpha: under a uniform routing over N nodes the
/// divergence is about (1 - 1 / N) log((N - 1) / epsilon) - log N, 1.6 for two nodes and below 4.6
/// for any number, so that the two losses start within an order of magnitude of one another.
/// epsilon = 0.01 lets one token in a hundred leave its node for free: little traffic beside the
/// (N - 1) / N of a router that knows no nodes, while the slope stays gentle, at most
/// mu (log((N - 1) / epsilon) + 1). A smaller epsilon pulls harder.
struct locality_options {
    double mu = 0.01;       ///< >= 0
    double epsilon = 0.01;  ///< 0 < epsilon < 1
};

/// The locality loss of LocMoE (arXiv 2401.13920), per node and smoothed: mu KL(D_c || D_l). D_c[v]
/// is the mean probability, over this rank's tokens, of going to an expert of node v. D_l is
/// 1 - epsilon on the rank's own node and epsilon spread evenly over the other nodes that hold an
/// expert; nodes without experts take no part. It is 0 where D_c = D_l, and without tokens.
///
/// It is undefined, and taken as 0 with gradient 0, where all experts are on one node or the rank's
/// own node holds none: then no choice is more local than another.
class locality_loss {
  public:
    /// Throws argument_error unless mu is finite and >= 0, and epsilon strictly between 0 and 1.
    explicit locality_loss(locality_options options = {}) : options_(options) {
        if (!(options.mu >= 0 && options.mu - options.mu == 0))
            detail::throw_argument("locality_loss", "mu", "a finite number >= 0",
                                   detail::concat(options.mu));
        if (!(options.epsilon > 0 && options.epsilon < 1))
            detail::throw_argument("locality_loss", "epsilon", "between 0 and 1, both excluded",
                                   detail::concat(options.epsilon));
    }

    /// `mean` is P `[n]`, as `mean_probabilities` gives it. Throws argument_error where it does not
    /// fit `where.placement`, or that not `where.nodes`.
    double value(std::span<const double> mean, const route_context& where) const {
        double divergence = 0;
        for (const node_share& node : spread(mean, where))
            divergence += node.current * log_ratio(node);
        return options_.mu * divergence;
    }

    /// Adds `scale` times d value / d P_i to `grad_mean` `[n]`; d value / d probability of expert i
    /// is that divided by T, for every token alike. A node whose share has underflowed to 0 counts
    /// as the smallest positive double: the exact slope is infinite there, but meets p = 0 in the
    /// softmax, where their product tends to 0.
    void add_gradient(std::span<const double> mean, const route_context& where, double scale,
                      std::span<double> grad_mean) const {
        const std::vector<node_share> nodes = spread(mean, where);
        if (grad_mean.size() != mean.size())
            detail::throw_argument("locality_loss", "grad_mean",
                                   detail::concat("n = ", mean.size(), " numbers"),
                                   detail::concat(grad_mean.size()), where.rank);
        if (nodes.empty()) return;
        for (std::size_t i = 0; i < mean.size(); ++i)
            grad_mean[i] += scale * options_.mu * (log_ratio(nodes[node_of(i, where)]) + 1);
    }

  private:
    struct node_share {
        double current = 0;  // D_c
        double target = 0;   // D_l, 0 for a node without experts
    };

    static std::size_t node_of(std::size_t expert, const route_context& where) {
        const rank_id rank = where.placement.rank_of(static_cast<expert_id>(expert));
        return static_cast<std::size_t>(where.nodes.node_of(rank));
    }

    // log(D_c / D_l); 0 for a node without experts, which has D_c = 0 as well.
    static double log_ratio(const node_share& node) {
        if (node.target == 0) return 0;
        const double least = std::numeric_limits<double>::min();
        return std::log(node.current > least ? node.current : least) - std::log(node.target);
    }

    // Both distributions over all nodes; empty where the loss is undefined.
    std::vector<node_share> spread(std::span<const double> mean, const route_context& where) const {
        detail::check_context("locality_loss", mean.size(), where);
        std::vector<node_share> nodes(where.nodes.node_count());
        for (std::size_t i = 0; i < mean.size(); ++i) {
            node_share& node = nodes[node_of(i, where)];
            node.current += mean[i];
            node.target = 1;
        }
        double holding = 0;
        for (const node_share& node : nodes) holding += node.target;
        node_share& own = nodes[static_cast<std::size_t>(where.nodes.node_of(where.rank))];
        if (holding == 1 || own.target == 0) return {};
        for (node_share& node : nodes) node.target *= options_.epsilon / (holding - 1);
        own.target = 1 - options_.epsilon;
        return nodes;
    }

    locality_options options_;
};

}  // namespace locmoe
