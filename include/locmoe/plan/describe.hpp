#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "locmoe/core/error.hpp"
#include "locmoe/plan/exchange_plan.hpp"
#include "locmoe/plan/traffic.hpp"

namespace locmoe::inline v0 {

namespace detail {

struct side {
    row_index rows = 0;
    std::size_t messages = 0;
};

inline side add_up(const std::vector<segment>& segments) {
    side s;
    for (const segment& one : segments) {
        s.rows += one.rows;
        ++s.messages;
    }
    return s;
}

inline void describe_flow(std::string& text, std::string_view name, const flow& moved) {
    text += concat("  ", name, ": ", moved.source_rows, " rows in, ", moved.deliver.rows(),
                   " rows out\n");
    for (const phase& p : moved.phases) {
        const side out = add_up(p.sends);
        const side in = add_up(p.receives);
        text += concat("    ", p.name, ": sends ", out.rows, " rows in ", out.messages,
                       " messages, receives ", in.rows, " rows in ", in.messages, "\n");
    }
}

inline std::string milliseconds(std::int64_t nanoseconds) {
    return concat(static_cast<double>(nanoseconds) * 1e-6, " ms");
}

/// Why the plan is of its strategy.
inline void describe_choice(std::string& text, const plan_choice& choice) {
    const cost_estimate& best = choice.chosen();
    text += concat("  chosen for rows of ", choice.row_bytes, " bytes: ", best.title());
    if (!best.declined.empty()) {
        text += concat(", as a fallback, for no strategy fits; it does not, for ", best.declined,
                       "\n");
    } else {
        text += concat(", estimated ", milliseconds(best.nanoseconds));
        if (choice.lower_bound > 0)
            text += concat(", ",
                           static_cast<double>(best.nanoseconds) /
                               static_cast<double>(choice.lower_bound),
                           " times the lower bound of ", milliseconds(choice.lower_bound));
        text += "\n";
    }
    std::string_view rank = "runner-up";
    for (std::size_t i = 1; i < choice.candidates.size(); ++i) {
        const cost_estimate& other = choice.candidates[i];
        if (!other.declined.empty()) {
            text += concat("    declined: ", other.strategy, ", for ", other.declined, "\n");
            continue;
        }
        text += concat("    ", rank, ": ", other.title(), ", ", milliseconds(other.nanoseconds),
                       other.nanoseconds < best.nanoseconds ? ", equal as far as prices tell" : "",
                       "\n");
        rank = "then";
    }
}

inline std::string json(const plan_choice& choice) {
    std::string all;
    for (const cost_estimate& c : choice.candidates) {
        all += concat(all.empty() ? "" : ", ", R"({"strategy": ")", c.title(), R"(", )");
        all += c.declined.empty() ? concat(R"("nanoseconds": )", c.nanoseconds, "}")
                                  : concat(R"("declined": ")", c.declined, R"("})");
    }
    return concat(R"({"row_bytes": )", choice.row_bytes, R"(, "lower_bound_nanoseconds": )",
                  choice.lower_bound, R"(, "candidates": [)", all, "]}");
}

inline void describe_traffic(std::string& text, std::string_view name, const traffic& t) {
    text += concat("  ", name, ": intra-node ", t.intra_node.rows, " rows, ",
                   t.intra_node.messages, " messages, ", t.intra_node.bytes,
                   " bytes; inter-node ", t.inter_node.rows, " rows, ", t.inter_node.messages,
                   " messages, ", t.inter_node.bytes, " bytes\n");
}

inline std::string list(std::span<const rank_id> ranks) {
    std::string all;
    for (const rank_id r : ranks) all += concat(all.empty() ? "" : ", ", r);
    return all;
}

inline std::string json(const tier_traffic& t) {
    return concat(R"({"rows": )", t.rows, R"(, "messages": )", t.messages, R"(, "bytes": )",
                  t.bytes, "}");
}

inline std::string json(const traffic& t) {
    return concat(R"({"intra_node": )", json(t.intra_node), R"(, "inter_node": )",
                  json(t.inter_node), "}");
}

inline std::string json(std::span<const segment> segments) {
    std::string all = "[";
    for (const segment& s : segments)
        all += concat(all.size() > 1 ? ", " : "", R"({"peer": )", s.peer, R"(, "tier": ")",
                      tier_name(s.tier), R"(", "first": )", s.first, R"(, "rows": )", s.rows, "}");
    return all + "]";
}

inline std::string json(const flow& moved, std::size_t row_bytes) {
    std::string phases;
    for (const phase& p : moved.phases)
        phases += concat(phases.empty() ? "" : ", ", R"({"name": ")", p.name,
                         R"(", "sends": )", json(p.sends), R"(, "receives": )", json(p.receives),
                         "}");
    return concat(R"({"rows_in": )", moved.source_rows, R"(, "rows_out": )",
                  moved.deliver.rows(), R"(, "traffic": )",
                  json(count_traffic(moved, row_bytes)), R"(, "phases": [)", phases, "]}");
}

}  // namespace detail

/// What one rank's plan does, for a person: strategy and, where it was chosen by price, why; rows,
/// each phase, and the traffic of one dispatch and one combine of rows of `row_bytes` bytes.
inline std::string describe(const exchange_plan& plan, std::size_t row_bytes) {
    using detail::concat;
    std::string text = concat("plan of rank ", plan.rank, " of ", plan.rank_count, ": ",
                              plan.strategy, "\n  ", plan.token_count, " tokens, top-",
                              plan.choice_count, ": ", plan.pair_count(), " pairs kept, ",
                              plan.dropped_pairs, " dropped; ", plan.expert_row_count(),
                              " rows for ", plan.experts.size(), " experts here\n");
    if (plan.rows_per_source > 0)
        text += concat("  padded to ", plan.rows_per_source, " rows for each rank and expert; all ",
                       "counts below are with the empty rows, which travel too\n");
    if (!plan.group.empty())
        text += concat("  tokens, pairs and experts are those of the group of ranks ",
                       detail::list(plan.group), "\n");
    if (plan.choice) detail::describe_choice(text, *plan.choice);
    detail::describe_flow(text, "dispatch", plan.dispatch);
    detail::describe_flow(text, "combine", plan.combine);
    detail::describe_traffic(text, "sent by dispatch", plan.traffic(row_bytes));
    detail::describe_traffic(text, "sent by combine", count_traffic(plan.combine, row_bytes));
    return text;
}

/// The same as JSON (RFC 8259), every message listed.
inline std::string describe_json(const exchange_plan& plan, std::size_t row_bytes) {
    using detail::concat;
    std::string experts;
    for (std::size_t i = 0; i < plan.experts.size(); ++i)
        experts += concat(i == 0 ? "" : ", ", R"({"expert": )", plan.experts[i], R"(, "rows": )",
                          plan.expert_first[i + 1] - plan.expert_first[i], "}");
    return concat(R"({"strategy": ")", plan.strategy, R"(", "rank": )", plan.rank,
                  R"(, "ranks": )", plan.rank_count, R"(, "tokens": )", plan.token_count,
                  R"(, "choices": )", plan.choice_count, R"(, "pairs_kept": )", plan.pair_count(),
                  R"(, "pairs_dropped": )", plan.dropped_pairs, R"(, "row_bytes": )", row_bytes,
                  plan.rows_per_source == 0
                      ? std::string()
                      : concat(R"(, "rows_per_source": )", plan.rows_per_source),
                  plan.group.empty() ? std::string()
                                     : concat(R"(, "group": [)", detail::list(plan.group), "]"),
                  R"(, "experts": [)", experts, "]",
                  plan.choice ? concat(R"(, "choice": )", detail::json(*plan.choice)) : "",
                  R"(, "dispatch": )", detail::json(plan.dispatch, row_bytes), R"(, "combine": )",
                  detail::json(plan.combine, row_bytes), "}");
}

/// A whole cluster's exchange in a few lines: `plans[r]` is rank r's.
inline std::string describe(std::span<const exchange_plan> plans, std::size_t row_bytes) {
    using detail::concat;
    traffic out;
    traffic back;
    std::size_t pairs = 0;
    std::int64_t dropped = 0;
    row_index most = 0;
    for (const exchange_plan& p : plans) {
        out += p.traffic(row_bytes);
        back += count_traffic(p.combine, row_bytes);
        if (p.first_of_group() == p.rank) {
            pairs += p.pair_count();
            dropped += p.dropped_pairs;
        }
        const auto rows = static_cast<row_index>(p.expert_row_count());
        if (rows > most) most = rows;
    }
    std::string text = concat("exchange of ", plans.size(), " ranks: ",
                              plans.empty() ? std::string() : plans[0].strategy, "\n  ", pairs,
                              " pairs kept, ", dropped, " dropped; at most ", most,
                              " rows on one rank\n");
    if (!plans.empty() && plans[0].rows_per_source > 0)
        text += concat("  padded to ", plans[0].rows_per_source, " rows for each rank and expert; ",
                       "all counts of rows are with the empty ones, which travel too\n");
    if (!plans.empty() && plans[0].choice) detail::describe_choice(text, *plans[0].choice);
    detail::describe_traffic(text, "sent by dispatch", out);
    detail::describe_traffic(text, "sent by combine", back);
    return text;
}

}  // namespace locmoe
