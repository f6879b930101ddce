#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "locmoe/core/error.hpp"
#include "locmoe/core/ids.hpp"
#include "locmoe/routing/detail/check.hpp"
#include "locmoe/routing/drop_ledger.hpp"
#include "locmoe/routing/entropy_loss.hpp"
#include "locmoe/routing/routing.hpp"

namespace locmoe::inline v0 {

/// How a router spreads its tokens, over any number of batches: the load of each expert, its
/// balance, how much of it stays on the tokens' own node, and what was dropped and why.
///
/// Everything is kept in two flat arrays that merge by sums: `counts()` (exact) and `sums()`. To
/// have the job's figures, `s.set_counts(backend.scan_counts(s.counts()).total)` and
/// `all_reduce_sum(backend, s.sums())`.
class routing_stats {
  public:
    /// Nothing counted yet, of n experts on N nodes.
    routing_stats(std::size_t experts, std::size_t nodes)
        : experts_(experts), nodes_(nodes), counts_(head + experts + 2 * nodes, 0), sums_(1, 0.0) {}

    std::size_t expert_count() const noexcept { return experts_; }  ///< n
    std::size_t node_count() const noexcept { return nodes_; }      ///< N

    /// Adds one rank's batch: one pass over its choices, before any drop. Throws argument_error
    /// where router, context and these statistics disagree about experts or nodes.
    template <class Real>
    void add(const basic_routing<Real>& decided, const route_context& where) {
        using detail::concat;
        detail::check_context("routing_stats", experts_, where);
        if (decided.expert_count != experts_ || where.nodes.node_count() != nodes_)
            detail::throw_argument(
                "routing_stats", "decided", concat(experts_, " experts on ", nodes_, " nodes"),
                concat(decided.expert_count, " on ", where.nodes.node_count()), where.rank);
        std::vector<std::int64_t> load(experts_, 0);
        for (std::size_t i = 0; i < decided.chosen.size(); ++i) {
            const expert_id e = decided.chosen[i];
            if (e == no_expert) continue;
            if (e < 0 || static_cast<std::size_t>(e) >= experts_)
                detail::throw_argument(
                    "routing_stats", concat("expert of token ", i / decided.choice_count),
                    concat("0 to n - 1 with n = ", experts_), concat(e), where.rank);
            ++load[static_cast<std::size_t>(e)];
        }
        const auto node = static_cast<std::size_t>(where.nodes.node_of(where.rank));
        counts_[tokens_at] += static_cast<std::int64_t>(decided.token_count);
        for (std::size_t e = 0; e < experts_; ++e) {
            counts_[head + e] += load[e];
            counts_[pairs_at(node)] += load[e];
            if (where.nodes.same_node(where.rank,
                                      where.placement.rank_of(static_cast<expert_id>(e))))
                counts_[local_at(node)] += load[e];
        }
    }

    /// Adds what an assignment did (`assignment::ledger`).
    void add(const drop_ledger& ledger) {
        const auto c = ledger.counts();
        for (std::size_t i = 0; i < c.size(); ++i) counts_[ledger_at + i] += c[i];
    }

    /// Adds the entropy of each token's probabilities: a logarithm for each of [T, n], so a call of
    /// its own. Throws argument_error where there are none.
    template <class Real>
    void add_entropy(const basic_routing<Real>& decided) {
        using detail::concat;
        const std::size_t n = decided.expert_count;
        if (decided.probabilities.size() != decided.token_count * n)
            detail::throw_argument("routing_stats", "decided.probabilities",
                                   concat("T n = ", decided.token_count * n, " numbers"),
                                   concat(decided.probabilities.size()));
        for (std::size_t t = 0; t < decided.token_count; ++t)
            sums_[0] += entropy(std::span<const Real>(decided.probabilities).subspan(t * n, n));
        counts_[entropy_tokens_at] += static_cast<std::int64_t>(decided.token_count);
    }

    std::int64_t token_count() const { return counts_[tokens_at]; }  ///< of all batches

    /// [n]: pairs (token, slot) that chose each expert.
    std::span<const std::int64_t> load() const {
        return std::span(counts_).subspan(head, experts_);
    }

    /// (token, slot) pairs that chose an expert, before any drop.
    std::int64_t pair_count() const {
        std::int64_t all = 0;
        for (const std::int64_t l : load()) all += l;
        return all;
    }

    /// 1 under perfect balance, n where one expert has all; 1 where there is no load.
    double load_max_over_mean() const {
        std::int64_t most = 0;
        for (const std::int64_t l : load()) most = l > most ? l : most;
        return most == 0 ? 1
                         : static_cast<double>(most) * static_cast<double>(experts_) /
                               static_cast<double>(pair_count());
    }

    /// Of the load, in nats: log n under perfect balance, 0 where one expert has all or none any.
    double load_entropy() const {
        const std::int64_t all = pair_count();
        std::vector<double> share(experts_, 0.0);
        for (std::size_t e = 0; e < experts_ && all != 0; ++e)
            share[e] = static_cast<double>(load()[e]) / static_cast<double>(all);
        return entropy(std::span<const double>(share));
    }

    /// The mean over tokens given to `add_entropy`, in nats; 0 without any.
    double token_entropy() const {
        return ratio(sums_[0], static_cast<double>(counts_[entropy_tokens_at]));
    }

    /// Of the pairs that start on a node, the share that stays there; 0 where none starts.
    double local_share(node_id node) const {
        const auto v = static_cast<std::size_t>(node);
        return ratio(static_cast<double>(counts_[local_at(v)]),
                     static_cast<double>(counts_[pairs_at(v)]));
    }

    /// The same over all nodes.
    double local_share() const {
        double local = 0;
        for (std::size_t v = 0; v < nodes_; ++v) local += static_cast<double>(counts_[local_at(v)]);
        return ratio(local, static_cast<double>(pair_count()));
    }

    /// The sum of all ledgers that were added.
    drop_ledger ledger() const {
        return drop_ledger::from_counts(std::span<const std::int64_t, drop_ledger::count>(
            counts_.data() + ledger_at, drop_ledger::count));
    }

    /// Every count in one array, for a sum over ranks.
    std::span<const std::int64_t> counts() const noexcept { return counts_; }

    /// Throws argument_error where the length differs from that of `counts()`.
    void set_counts(std::span<const std::int64_t> counts) {
        if (counts.size() != counts_.size())
            detail::throw_argument("routing_stats", "counts",
                                   detail::concat(counts_.size(), " numbers"),
                                   detail::concat(counts.size()));
        counts_.assign(counts.begin(), counts.end());
    }

    /// One number, the sum of the tokens' entropies, for a sum over ranks.
    std::span<double> sums() noexcept { return sums_; }
    std::span<const double> sums() const noexcept { return sums_; }  ///< the same, for reading

  private:
    static constexpr std::size_t tokens_at = 0;
    static constexpr std::size_t entropy_tokens_at = 1;
    static constexpr std::size_t ledger_at = 2;
    static constexpr std::size_t head = ledger_at + drop_ledger::count;

    std::size_t pairs_at(std::size_t node) const { return head + experts_ + node; }
    std::size_t local_at(std::size_t node) const { return head + experts_ + nodes_ + node; }

    static double ratio(double part, double whole) { return whole == 0 ? 0 : part / whole; }

    std::size_t experts_;
    std::size_t nodes_;
    std::vector<std::int64_t> counts_;
    std::vector<double> sums_;
};

/// For a person, in a few lines.
inline std::string describe(const routing_stats& stats) {
    using detail::concat;
    const drop_ledger d = stats.ledger();
    std::string text =
        concat("routing of ", stats.token_count(), " tokens, ", stats.pair_count(),
               " choices among ", stats.expert_count(), " experts\n  load: largest over mean ",
               stats.load_max_over_mean(), ", entropy ", stats.load_entropy(), " of ",
               std::log(static_cast<double>(stats.expert_count())), " nats;");
    for (const std::int64_t l : stats.load()) text += concat(" ", l);
    text += concat("\n  on their own node: ", stats.local_share(), "; by node");
    for (std::size_t v = 0; v < stats.node_count(); ++v)
        text += concat(" ", stats.local_share(static_cast<node_id>(v)));
    return text + concat("\n  dropped: ", d.dropped(), " (", d.capacity, " first choices, ",
                         d.second_choice, " later ones); not chosen ", d.not_chosen, ", moved ",
                         d.moved, ", tokens lost ", d.lost_tokens, ", padding rows ", d.padding,
                         "\n");
}

/// The same as JSON (RFC 8259).
inline std::string describe_json(const routing_stats& stats) {
    using detail::concat;
    const drop_ledger d = stats.ledger();
    std::string load;
    for (const std::int64_t l : stats.load()) load += concat(load.empty() ? "" : ", ", l);
    std::string local;
    for (std::size_t v = 0; v < stats.node_count(); ++v)
        local += concat(v == 0 ? "" : ", ", stats.local_share(static_cast<node_id>(v)));
    return concat(R"({"tokens": )", stats.token_count(), R"(, "choices": )", stats.pair_count(),
                  R"(, "load": [)", load, R"(], "load_max_over_mean": )",
                  stats.load_max_over_mean(), R"(, "load_entropy": )", stats.load_entropy(),
                  R"(, "token_entropy": )", stats.token_entropy(), R"(, "local_share": )",
                  stats.local_share(), R"(, "local_share_by_node": [)", local,
                  R"(], "drops": {"capacity": )", d.capacity, R"(, "second_choice": )",
                  d.second_choice, R"(, "not_chosen": )", d.not_chosen, R"(, "moved": )", d.moved,
                  R"(, "lost_tokens": )", d.lost_tokens, R"(, "padding": )", d.padding, "}}");
}

}  // namespace locmoe
