#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "locmoe/core/error.hpp"
#include "locmoe/plan/exchange_plan.hpp"

namespace locmoe::inline v0 {

namespace detail {

/// The numbers that `rows` makes of a rank's row space.
template <class Number>
std::vector<Number> replay_sums(const std::vector<Number>& space, const row_sums& rows) {
    std::vector<Number> out(rows.rows(), Number{});
    for (std::size_t i = 0; i < out.size(); ++i)
        for (const row_index r : rows.sources(i))
            out[i] = static_cast<Number>(out[i] + space.at(static_cast<std::size_t>(r)));
    return out;
}

/// Each rank's row space once all phases are in: its source rows, then staging.
template <class Number>
std::vector<std::vector<Number>> replay_space(std::span<const exchange_plan> plans,
                                              flow exchange_plan::* which,
                                              const std::vector<std::vector<Number>>& inputs) {
    const std::size_t ranks = plans.size();
    std::vector<std::vector<Number>> space(inputs);
    for (std::size_t p = 0; ranks > 0 && p < (plans[0].*which).phases.size(); ++p) {
        std::vector<std::vector<Number>> packed;
        for (std::size_t r = 0; r < ranks; ++r)
            packed.push_back(replay_sums(space[r], (plans[r].*which).phases.at(p).pack));
        for (std::size_t r = 0; r < ranks; ++r)
            for (const segment& in : (plans[r].*which).phases[p].receives) {
                const segment* out = nullptr;
                for (const segment& s : (plans.begin()[in.peer].*which).phases[p].sends)
                    if (s.peer == static_cast<rank_id>(r)) out = &s;
                if (out == nullptr || out->rows != in.rows)
                    throw plan_error(concat("locmoe: replay: rank ", r, " expects ", in.rows,
                                            " rows from rank ", in.peer, " in phase ", p,
                                            ", which sends ",
                                            out == nullptr ? row_index{0} : out->rows));
                const auto& from = packed[static_cast<std::size_t>(in.peer)];
                space[r].insert(space[r].end(), from.begin() + out->first,
                                from.begin() + out->first + out->rows);
            }
    }
    return space;
}

}  // namespace detail

/// Runs one flow of all ranks' plans in one process, with one number for each row: `inputs[r]` are
/// the source rows of rank r, and the result's [r] the rows delivered there. The plain meaning of a
/// plan, for checks and what-if questions; it takes no backend and costs no care for speed.
/// Throws plan_error where a receive has no send of its size.
template <class Number>
std::vector<std::vector<Number>> replay(std::span<const exchange_plan> plans,
                                        flow exchange_plan::* which,
                                        const std::vector<std::vector<Number>>& inputs) {
    const auto space = detail::replay_space(plans, which, inputs);
    std::vector<std::vector<Number>> delivered;
    for (std::size_t r = 0; r < plans.size(); ++r)
        delivered.push_back(detail::replay_sums(space[r], (plans[r].*which).deliver));
    return delivered;
}

}  // namespace locmoe
