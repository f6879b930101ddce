#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "locmoe/core/error.hpp"
#include "locmoe/plan/strategy.hpp"
#include "locmoe/topology/topology.hpp"

namespace locmoe::inline v0 {

/// What the price of a strategy needs to know of one of its phases, before any plan is made.
struct phase_shape {
    std::string name;                        ///< what reports call it
    link_tier tier = link_tier::inter_node;  ///< of all its messages
    std::size_t needs = 0;                   ///< it starts once the phases before this one are in
    std::size_t peers = 0;                   ///< most ranks that one rank sends to, or hears from
};

/// How many rows and messages each rank sends and receives in each phase of an exchange. Each rank
/// puts in what its own tokens cause, on whatever ranks; the sum over all ranks is the exchange's.
class row_loads {
  public:
    /// The counts of one rank in one phase.
    enum side : std::size_t {
        rows_out,      ///< that it sends
        rows_in,       ///< that it receives
        messages_out,  ///< that it sends
        messages_in,   ///< that it receives
        sides          ///< how many counts there are
    };

    /// `leaf_nodes` nodes share a leaf switch, as in `leaf_switches`.
    row_loads(const topology& nodes, std::vector<phase_shape> phases, std::size_t leaf_nodes)
        : nodes_(&nodes),
          phases_(std::move(phases)),
          leaf_nodes_(leaf_nodes),
          leaves_((nodes.node_count() - 1) / leaf_nodes + 1),
          words_(phases_.size() * (nodes.rank_count() * sides + leaves_ * leaf_sides), 0) {}

    /// The topology that it was built with, and does not own.
    const topology& nodes() const { return *nodes_; }
    /// The phases that it was built with, in the order of their numbers.
    const std::vector<phase_shape>& phases() const { return phases_; }
    /// Nodes on each leaf switch, perhaps fewer on the last.
    std::size_t leaf_nodes() const { return leaf_nodes_; }
    /// Leaf switches: the nodes over `leaf_nodes()`, rounded up.
    std::size_t leaf_count() const { return leaves_; }

    /// `rows` of this rank's rows go from `from` to `to` in phase number `phase`. Called once for
    /// each such pair of ranks; nothing where `rows` is 0 or the ranks are the same.
    void add(std::size_t phase, rank_id from, rank_id to, std::int64_t rows) {
        if (rows == 0 || from == to) return;
        at(phase, from, rows_out) += rows;
        at(phase, to, rows_in) += rows;
        ++at(phase, from, messages_out);
        ++at(phase, to, messages_in);
        const std::size_t up = leaf_of(from);
        const std::size_t down = leaf_of(to);
        if (up == down) return;
        words_[leaf_place(phase, up)] += rows;
        words_[leaf_place(phase, down) + 1] += rows;
    }

    /// Rows that cross the uplinks of a leaf switch in the direction that has more.
    std::int64_t uplink_rows(std::size_t phase, std::size_t leaf) const {
        const std::int64_t up = words_[leaf_place(phase, leaf)];
        const std::int64_t down = words_[leaf_place(phase, leaf) + 1];
        return up > down ? up : down;
    }

    /// A phase gets one of `parts` equal parts, rounded up, of the rows of a phase of `whole`, in
    /// as many messages as there are rows for.
    void take_part(std::size_t phase, const row_loads& whole, std::size_t whole_phase,
                   std::int64_t parts) {
        const auto part = [parts](std::int64_t n) { return (n + parts - 1) / parts; };
        for (std::size_t r = 0; r < nodes_->rank_count(); ++r) {
            const auto rank = static_cast<rank_id>(r);
            for (const side rows : {rows_out, rows_in})
                at(phase, rank, rows) = part(whole.at(whole_phase, rank, rows));
            for (const side messages : {messages_out, messages_in}) {
                const std::int64_t rows =
                    at(phase, rank, messages == messages_out ? rows_out : rows_in);
                const std::int64_t all = whole.at(whole_phase, rank, messages);
                at(phase, rank, messages) = all < rows ? all : rows;
            }
        }
        for (std::size_t i = 0; i < leaves_ * leaf_sides; ++i)
            words_[leaf_place(phase, 0) + i] =
                part(whole.words_[whole.leaf_place(whole_phase, 0) + i]);
    }

    /// One count, to be changed; numbers are not checked.
    std::int64_t& at(std::size_t phase, rank_id rank, side which) {
        return words_[place(phase, rank, which)];
    }
    /// One count, with messages as they were added: `messages` gives what is priced.
    std::int64_t at(std::size_t phase, rank_id rank, side which) const {
        return words_[place(phase, rank, which)];
    }

    /// Messages, where several ranks' rows may share one: no more than there are peers.
    std::int64_t messages(std::size_t phase, rank_id rank, side which) const {
        const auto most = static_cast<std::int64_t>(phases_[phase].peers);
        const std::int64_t added = at(phase, rank, which);
        return added < most ? added : most;
    }

    /// Numbers that add up over ranks: 4 for each phase and rank, 2 for each phase and leaf.
    std::span<const std::int64_t> words() const { return words_; }
    /// Takes the sums. Throws argument_error unless there are as many.
    void assign(std::span<const std::int64_t> words) {
        if (words.size() != words_.size())
            detail::throw_argument("row_loads", "words",
                                   detail::concat(words_.size(), ", as many as `words` gives"),
                                   detail::concat(words.size()));
        words_.assign(words.begin(), words.end());
    }

  private:
    static constexpr std::size_t leaf_sides = 2;  // up, down

    std::size_t leaf_of(rank_id rank) const {
        return static_cast<std::size_t>(nodes_->node_of(rank)) / leaf_nodes_;
    }
    std::size_t leaf_place(std::size_t phase, std::size_t leaf) const {
        return phases_.size() * nodes_->rank_count() * sides +
               (phase * leaves_ + leaf) * leaf_sides;
    }
    std::size_t place(std::size_t phase, rank_id rank, side which) const {
        return (phase * nodes_->rank_count() + static_cast<std::size_t>(rank)) * sides + which;
    }

    const topology* nodes_;
    std::vector<phase_shape> phases_;
    std::size_t leaf_nodes_;
    std::size_t leaves_;
    std::vector<std::int64_t> words_;
};

/// A strategy that can be priced before it is planned.
///
/// - `phase_shapes(nodes)` says which phases there are: the same on every rank.
/// - `add_loads(request, loads)` puts in what this rank's tokens cause.
/// - `loads_name()`: strategies whose phase_shapes and add_loads are the same share a name for
///   them.
/// - `declines(nodes)` says why it is not fit for a topology, "" where it is.
///
/// It may have `settle(sums)`, which turns the sum over all ranks into the loads to be priced, for
/// what no rank can know alone.
template <class Strategy>
concept priced_strategy =
    exchange_strategy<Strategy> && requires(const Strategy& strategy, const topology& nodes,
                                            const plan_request& request, row_loads& loads) {
        { strategy.phase_shapes(nodes) } -> std::same_as<std::vector<phase_shape>>;
        { strategy.add_loads(request, loads) } -> std::same_as<void>;
        { strategy.loads_name() } -> std::convertible_to<std::string>;
        { strategy.declines(nodes) } -> std::convertible_to<std::string>;
    };

}  // namespace locmoe
