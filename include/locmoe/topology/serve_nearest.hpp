#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "locmoe/core/error.hpp"
#include "locmoe/core/ids.hpp"
#include "locmoe/core/matrix_view.hpp"
#include "locmoe/topology/detail/least_cost_flow.hpp"
#include "locmoe/topology/expert_placement.hpp"
#include "locmoe/topology/replicated_placement.hpp"
#include "locmoe/topology/topology.hpp"

namespace locmoe::inline v0 {
namespace detail {

/// Throws argument_error unless `loads` is [N, experts] of numbers from 0, their sum below 2^53.
/// Returns the sum.
inline std::int64_t check_loads(const char* function, matrix_view<const std::int64_t> loads,
                                std::size_t nodes, std::size_t experts) {
    constexpr std::int64_t exact_limit = std::int64_t{1} << 53;  // whole numbers in a double
    if (loads.rows != nodes || loads.cols != experts)
        throw_argument(function, "loads", concat("[", nodes, ", ", experts, "]"),
                       concat("[", loads.rows, ", ", loads.cols, "]"));
    std::int64_t sum = 0;
    for (std::size_t n = 0; n < nodes; ++n)
        for (std::size_t e = 0; e < experts; ++e) {
            const std::int64_t load = loads(n, e);
            if (load < 0 || load >= exact_limit - sum)
                throw_argument(function, concat("load of expert ", e, " from node ", n),
                               "0 or more, their sum below 2^53", concat(load));
            sum += load;
        }
    return sum;
}

/// Throws argument_error unless the cap is a number from 1.
inline void check_load_cap(const char* function, double load_cap) {
    if (!(load_cap >= 1 && load_cap < 1e9))
        throw_argument(function, "load_cap", "1 to 1e9", concat(load_cap));
}

/// Rows that a rank may take: the mean over `holders` ranks times `load_cap`, whole, and never less
/// than lets the rows fit at all.
inline std::int64_t rank_cap(std::int64_t rows, std::int64_t holders, double load_cap) {
    const std::int64_t mean = rows / holders + (rows % holders != 0);
    const double most = load_cap * static_cast<double>(rows) / static_cast<double>(holders);
    const auto cap = static_cast<std::int64_t>(std::floor(most));
    return cap < mean ? mean : cap;
}

/// The least cap from `cap` on that lets replicas serve all rows: `loads` [n], replica p is one of
/// expert `logical_of[p]` and stands on `rank_of[p]`. Where rows start does not matter here.
inline std::int64_t least_cap(std::span<const std::int64_t> loads, std::span<const rank_id> rank_of,
                              std::span<const expert_id> logical_of, std::size_t ranks,
                              std::int64_t cap) {
    constexpr std::size_t source = 0, sink = 1, first_rank = 2;
    const std::size_t first_expert = first_rank + ranks;
    std::int64_t total = 0;
    for (const std::int64_t load : loads) total += load;
    for (;;) {
        least_cost_flow flow(first_expert + loads.size());
        for (std::size_t r = 0; r < ranks; ++r) flow.add_arc(first_rank + r, sink, cap);
        for (std::size_t e = 0; e < loads.size(); ++e)
            flow.add_arc(source, first_expert + e, loads[e]);
        for (std::size_t p = 0; p < rank_of.size(); ++p)
            flow.add_arc(first_expert + static_cast<std::size_t>(logical_of[p]),
                         first_rank + static_cast<std::size_t>(rank_of[p]), total);
        const std::int64_t left = total - flow.run(source, sink);
        if (left == 0) return cap;
        // What is left can go only to full ranks that it still reaches: these need that much more
        // between them, so that this never steps over the least cap.
        std::int64_t full = 0;
        for (std::size_t r = 0; r < ranks; ++r) full += flow.reached(first_rank + r);
        cap += left / full + (left % full != 0);
    }
}

/// Who serves what, as a flow: (node, expert) -> ranks of that node that hold the expert, at no
/// cost; or -> all ranks that hold it, at the cost of a row between nodes; and each rank up to the
/// cap, above the mean at a cost too small to outweigh one row between nodes.
class serving {
  public:
    serving(const expert_placement& physical, const std::vector<expert_id>& logical_of,
            matrix_view<const std::int64_t> loads, const topology& nodes, std::int64_t mean,
            std::int64_t cap)
        : loads_(loads),
          ranks_(nodes.rank_count()),
          replicas_(logical_of.size()),
          flow_(2 + ranks_ + loads.cols * (1 + loads.rows)),
          near_(replicas_, 0),
          far_(replicas_, 0),
          leaving_(loads.rows * loads.cols, 0) {
        const auto inter_node_row = static_cast<std::int64_t>(ranks_) + 1;
        for (std::size_t r = 0; r < ranks_; ++r) {
            flow_.add_arc(rank(r), sink, mean);
            flow_.add_arc(rank(r), sink, cap - mean, 1);
        }
        for (std::size_t n = 0; n < loads.rows; ++n)
            for (std::size_t e = 0; e < loads.cols; ++e) {
                flow_.add_arc(source, pair(n, e), loads(n, e));
                leaving_[n * loads.cols + e] =
                    flow_.add_arc(pair(n, e), expert(e), loads(n, e), inter_node_row);
            }
        for (std::size_t p = 0; p < replicas_; ++p) {
            const rank_id holder = physical.rank_of(static_cast<expert_id>(p));
            const auto n = static_cast<std::size_t>(nodes.node_of(holder));
            const auto e = static_cast<std::size_t>(logical_of[p]);
            near_[p] = flow_.add_arc(pair(n, e), rank(static_cast<std::size_t>(holder)), cap);
            far_[p] = flow_.add_arc(expert(e), rank(static_cast<std::size_t>(holder)), cap);
        }
    }

    /// How much of the loads fits.
    std::int64_t run() { return flow_.run(source, sink); }

    /// [N, replicas]. Rows through an expert's hub are told apart by source node only here: nodes
    /// and replicas in order. No node meets a replica of its own there, for that would have cost
    /// nothing.
    std::vector<std::int64_t> shares(const std::vector<expert_id>& logical_of,
                                     const expert_placement& physical,
                                     const topology& nodes) const {
        std::vector<std::int64_t> out(loads_.rows * replicas_, 0);
        std::vector<std::size_t> next(loads_.cols, 0);  // node that the expert's hub is at
        std::vector<std::int64_t> left(loads_.cols, 0);
        for (std::size_t e = 0; e < loads_.cols; ++e) left[e] = flow_.through(leaving_[e]);
        for (std::size_t p = 0; p < replicas_; ++p) {
            const auto e = static_cast<std::size_t>(logical_of[p]);
            const auto n = static_cast<std::size_t>(
                nodes.node_of(physical.rank_of(static_cast<expert_id>(p))));
            out[n * replicas_ + p] += flow_.through(near_[p]);
            for (std::int64_t wanted = flow_.through(far_[p]); wanted > 0;) {
                while (left[e] == 0) left[e] = flow_.through(leaving_[++next[e] * loads_.cols + e]);
                const std::int64_t taken = wanted < left[e] ? wanted : left[e];
                out[next[e] * replicas_ + p] += taken;
                left[e] -= taken;
                wanted -= taken;
            }
        }
        return out;
    }

  private:
    static constexpr std::size_t source = 0;
    static constexpr std::size_t sink = 1;
    std::size_t rank(std::size_t r) const { return 2 + r; }
    std::size_t expert(std::size_t e) const { return 2 + ranks_ + e; }
    std::size_t pair(std::size_t n, std::size_t e) const {
        return 2 + ranks_ + (1 + n) * loads_.cols + e;
    }

    matrix_view<const std::int64_t> loads_;
    std::size_t ranks_;
    std::size_t replicas_;
    least_cost_flow flow_;
    std::vector<std::size_t> near_;     // replica -> arc from its own node's pair
    std::vector<std::size_t> far_;      // replica -> arc from its expert's hub
    std::vector<std::size_t> leaving_;  // (node, expert) -> arc to the expert's hub
};

}  // namespace detail

/// Splits the tokens among given replicas: as many as can be stay on the node that they start from,
/// while no rank takes more than `load_cap` times the mean over the ranks that hold an expert. Of
/// all such splits one with the fewest inter-node rows, and of these one with the least load above
/// the mean: a flow of least cost, exact and deterministic. Where the replicas admit no split under
/// the cap, the least cap that they do admit takes its place. A (node, expert) pair without load is
/// shared evenly among the node's own replicas, else among all.
///
/// `loads` [N, n]: rows that start on a node and are bound for a logical expert; n logical experts,
/// physical expert p a copy of `logical_of[p]`. Throws argument_error where shapes or values are
/// wrong, an expert has no replica, or the loads do not add up to less than 2^53.
inline replicated_placement serve_nearest(expert_placement physical,
                                          std::vector<expert_id> logical_of,
                                          matrix_view<const std::int64_t> loads,
                                          const topology& nodes, double load_cap = 1.1) {
    const std::int64_t total =
        detail::check_loads("serve_nearest", loads, nodes.node_count(), loads.cols);
    detail::check_load_cap("serve_nearest", load_cap);

    // Without any load, each pair's even shares; checks the map on the way.
    std::vector<std::int64_t> even(nodes.node_count() * logical_of.size(), 1);
    auto placed = replicated_placement::from_shares(physical, logical_of, loads.cols, nodes, even);
    std::int64_t holders = 0;
    for (std::size_t r = 0; r < nodes.rank_count(); ++r)
        holders += !physical.experts_of(static_cast<rank_id>(r)).empty();
    const std::int64_t mean = detail::rank_cap(total, holders, 1);
    std::vector<std::int64_t> of_expert(loads.cols, 0);
    for (std::size_t n = 0; n < loads.rows; ++n)
        for (std::size_t e = 0; e < loads.cols; ++e) of_expert[e] += loads(n, e);
    std::vector<rank_id> rank_of;
    for (std::size_t p = 0; p < logical_of.size(); ++p)
        rank_of.push_back(physical.rank_of(static_cast<expert_id>(p)));
    const std::int64_t cap = detail::least_cap(of_expert, rank_of, logical_of, nodes.rank_count(),
                                               detail::rank_cap(total, holders, load_cap));

    detail::serving serving(physical, logical_of, loads, nodes, mean, cap);
    const std::int64_t served = serving.run();
    LOCMOE_ASSERT(served == total);
    std::vector<std::int64_t> shares = serving.shares(logical_of, physical, nodes);
    for (std::size_t n = 0; n < loads.rows; ++n)
        for (std::size_t e = 0; e < loads.cols; ++e) {
            if (loads(n, e) > 0) continue;
            const auto replicas = placed.replicas_of(static_cast<expert_id>(e));
            bool own = false;
            const auto is_own = [&](expert_id p) {
                return nodes.node_of(physical.rank_of(p)) == static_cast<node_id>(n);
            };
            for (const expert_id p : replicas) own = own || is_own(p);
            for (const expert_id p : replicas)
                shares[n * logical_of.size() + static_cast<std::size_t>(p)] = !own || is_own(p);
        }
    return replicated_placement::from_shares(std::move(physical), std::move(logical_of), loads.cols,
                                             nodes, std::move(shares));
}

}  // namespace locmoe
