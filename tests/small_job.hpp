#pragma once

// Jobs from plain small numbers, any of which make a job: what looks for faults may change, lower or
// leave out each number alone, until the least job is left that still shows the fault.

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "locmoe/plan/capacity_padded.hpp"
#include "locmoe/plan/direct.hpp"
#include "locmoe/plan/group_wise.hpp"
#include "locmoe/plan/node_aggregated.hpp"
#include "locmoe/plan/node_balanced.hpp"
#include "locmoe/plan/plan_all.hpp"
#include "locmoe/plan/store_and_forward.hpp"
#include "random_cases.hpp"

namespace small_job {

struct numbers {
    std::vector<std::uint8_t> nodes;                // [groups]: alike, on one node
    std::vector<std::uint8_t> experts;              // [n]: on which rank, modulo P
    std::vector<std::vector<std::uint8_t>> chosen;  // [groups][T k]: modulo n + 1, n for none
    std::uint8_t choices = 0;                       // k - 1, modulo 4
    std::uint8_t capacity = 0;                      // 0: dropless; odd: of each rank, else of all
    std::uint8_t group_size = 0;                    // less 1, modulo 3
    std::uint8_t strategy = 0;                      // see `plans_of`
    std::uint8_t order = 0;                         // 0: none, else rotated by window order - 1

    friend bool operator==(const numbers&, const numbers&) = default;
};

inline std::ostream& operator<<(std::ostream& out, const numbers& n) {
    const auto list = [&](const std::vector<std::uint8_t>& values) {
        out << '{';
        for (std::size_t i = 0; i < values.size(); ++i)
            out << (i > 0 ? ", " : "") << int{values[i]};
        out << '}';
    };
    out << "nodes ";
    list(n.nodes);
    out << ", experts ";
    list(n.experts);
    out << ", chosen {";
    for (const auto& of_rank : n.chosen) list(of_rank);
    return out << "}, choices " << int{n.choices} << ", capacity " << int{n.capacity}
               << ", group_size " << int{n.group_size} << ", strategy " << int{n.strategy}
               << ", order " << int{n.order};
}

constexpr std::size_t strategy_count = 13;

struct job {
    random_cases::job drawn;
    std::size_t group_size = 1;     // neighbouring ranks that hold the same tokens
    std::int64_t padded_rows = 0;   // of a strategy that pads
    numbers of;
};

/// The routing of one group's tokens.
inline locmoe::routing routing_of(const std::vector<std::uint8_t>& chosen, std::size_t choices,
                                  std::size_t experts) {
    locmoe::routing decided;
    decided.token_count = chosen.size() / choices;
    decided.choice_count = choices;
    decided.expert_count = experts;
    for (std::size_t i = 0; i < decided.token_count * choices; ++i) {
        const std::size_t e = chosen[i] % (experts + 1);
        decided.chosen.push_back(e == experts ? locmoe::no_expert
                                              : static_cast<locmoe::expert_id>(e));
        decided.weights.push_back(static_cast<float>(1 + (i * 7 + chosen[i]) % 16) / 16.0f);
    }
    return decided;
}

/// Only the strategy of number 9 has groups of several ranks.
inline job make(const numbers& n) {
    const std::size_t groups = n.nodes.empty() ? 1 : n.nodes.size();
    const std::size_t size = n.strategy % strategy_count == 9 ? 1 + n.group_size % 3u : 1;
    const std::size_t experts = n.experts.empty() ? 1 : n.experts.size();
    const std::size_t choices = 1 + n.choices % 4u;
    std::map<std::uint8_t, locmoe::node_id> number_of;
    std::vector<locmoe::node_id> node_of;
    for (std::size_t g = 0; g < groups; ++g) {
        const auto next = static_cast<locmoe::node_id>(number_of.size());
        const auto at = number_of.try_emplace(n.nodes.empty() ? std::uint8_t{0} : n.nodes[g], next);
        node_of.insert(node_of.end(), size, at.first->second);
    }
    std::vector<locmoe::rank_id> rank_of(experts, 0);
    for (std::size_t e = 0; e < n.experts.size(); ++e)
        rank_of[e] = static_cast<locmoe::rank_id>(n.experts[e] % (groups * size));
    job j{{locmoe::topology::from_node_of_rank(std::move(node_of)),
           locmoe::expert_placement::from_rank_of_expert(std::move(rank_of), groups * size),
           {},
           {},
           {}},
          size,
          1,
          n};
    std::vector<std::int64_t> before(experts, 0);
    for (std::size_t g = 0; g < groups; ++g) {
        const auto decided = routing_of(
            g < n.chosen.size() ? n.chosen[g] : std::vector<std::uint8_t>{}, choices, experts);
        locmoe::assign_options options;
        if (n.capacity > 0) options.capacity = (n.capacity - 1) / 2;
        if (n.capacity > 0 && n.capacity % 2 == 0) options.before = before;
        const auto assigned = locmoe::assign(decided, options);
        const auto load = locmoe::count_choices(decided);
        for (std::size_t e = 0; e < experts; ++e) before[e] += load[e];
        j.drawn.decided.insert(j.drawn.decided.end(), size, decided);
        j.drawn.assigned.insert(j.drawn.assigned.end(), size, assigned);
    }
    j.padded_rows = random_cases::least_padded_capacity(j.drawn) + n.group_size % 3;
    return j;
}

/// Calls `visit(strategy)` with the strategy of the job's number.
template <class Visit>
auto with_strategy(const job& j, Visit&& visit) {
    using namespace locmoe;
    const std::size_t more = 2 + j.of.strategy / strategy_count % 3u;
    switch (j.of.strategy % strategy_count) {
        case 0: return visit(direct{});
        case 1: return visit(node_aggregated{});
        case 2: return visit(node_aggregated{.exact_combine = true});
        case 3: return visit(node_aggregated{.chunks = more});
        case 4: return visit(node_balanced{});
        case 5: return visit(node_balanced{.exact_combine = true});
        case 6: return visit(store_and_forward{.radix = more});
        case 7: return visit(store_and_forward{.radix = more, .exact_combine = true});
        case 8: return visit(group_wise{1});
        case 9: return visit(group_wise{j.group_size});
        case 10: return visit(capacity_padded{direct{}, j.padded_rows});
        case 11: return visit(capacity_padded{node_aggregated{}, j.padded_rows});
        default: return visit(capacity_padded{store_and_forward{more}, j.padded_rows});
    }
}

/// A planner of any strategy, so that what takes one is compiled once.
class any_planner {
  public:
    std::size_t rounds;

    template <class Planner>
    explicit any_planner(Planner planner)
        : rounds(planner.rounds), own_(std::make_unique<held<Planner>>(std::move(planner))) {}

    std::vector<locmoe::message> outgoing(std::size_t round) { return own_->outgoing(round); }
    void incoming(std::size_t round, const std::vector<locmoe::message>& received) {
        own_->incoming(round, received);
    }
    locmoe::exchange_plan finish() { return own_->finish(); }

  private:
    struct base {
        virtual ~base() = default;
        virtual std::vector<locmoe::message> outgoing(std::size_t round) = 0;
        virtual void incoming(std::size_t round, const std::vector<locmoe::message>& received) = 0;
        virtual locmoe::exchange_plan finish() = 0;
    };
    template <class Planner>
    struct held final : base {
        explicit held(Planner p) : planner(std::move(p)) {}
        std::vector<locmoe::message> outgoing(std::size_t round) override {
            return planner.outgoing(round);
        }
        void incoming(std::size_t round, const std::vector<locmoe::message>& received) override {
            planner.incoming(round, received);
        }
        locmoe::exchange_plan finish() override { return planner.finish(); }
        Planner planner;
    };
    std::unique_ptr<base> own_;
};

/// The strategy of a job's number.
struct any_strategy {
    const job* of;

    std::string name() const {
        return with_strategy(*of, [](const auto& s) { return std::string(s.name()); });
    }
    any_planner planner(const locmoe::plan_request& request) const {
        return with_strategy(*of, [&](const auto& s) { return any_planner(s.planner(request)); });
    }
};

inline std::vector<locmoe::exchange_plan> put_in_order(std::vector<locmoe::exchange_plan> plans,
                                                       const job& j) {
    if (j.of.order == 0) return plans;
    const locmoe::topology& nodes = j.drawn.nodes;
    for (locmoe::exchange_plan& plan : plans)
        plan = locmoe::ordered(
            plan, nodes,
            locmoe::rotated_order(nodes, nodes.node_of(plan.rank), j.of.order - 1u));
    return plans;
}

/// All ranks' plans under the strategy and order of the job's numbers.
inline std::vector<locmoe::exchange_plan> plans_of(const job& j) {
    return put_in_order(
        locmoe::plan_all(any_strategy{&j}, j.drawn.nodes, j.drawn.placement, j.drawn.assigned), j);
}

}  // namespace small_job
