// What ranks tell one another while they plan, with a few words changed: plan_error, or plans that
// validate can be asked about.

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "fuzz/bytes.hpp"
#include "locmoe/plan/detail/from_next_rank.hpp"
#include "locmoe/plan/validate.hpp"
#include "plan_oracle.hpp"

using namespace locmoe;

namespace {

void change(std::vector<message>& inbox, fuzz::bytes& from) {
    if (inbox.empty()) return;
    auto& words = inbox[from.below(inbox.size())].words;
    if (words.empty() || from.below(8) == 0) {
        words.resize(from.below(6), static_cast<std::int64_t>(from.below(5)) - 2);
        return;
    }
    std::int64_t& word = words[from.below(words.size())];
    const std::size_t how = from.below(8);
    if (how < 5)
        word += static_cast<std::int64_t>(from.below(9)) - 4;
    else if (how == 5)
        word = -1 - static_cast<std::int64_t>(from.word() >> 1);
    else
        word = static_cast<std::int64_t>(from.below(64)) - 32;
}

void plan(const small_job::job& j, fuzz::bytes& from, std::size_t changes) {
    const std::size_t ranks = j.drawn.nodes.rank_count();
    const small_job::any_strategy strategy{&j};
    std::vector<small_job::any_planner> planners;
    for (std::size_t r = 0; r < ranks; ++r)
        planners.push_back(strategy.planner({static_cast<rank_id>(r), j.drawn.nodes,
                                             j.drawn.placement, j.drawn.assigned[r]}));
    for (std::size_t round = 0; round < planners[0].rounds; ++round) {
        std::vector<std::vector<message>> inbox(ranks);
        for (std::size_t r = 0; r < ranks; ++r)
            for (message& m : planners[r].outgoing(round))
                inbox.at(static_cast<std::size_t>(m.peer))
                    .push_back({static_cast<rank_id>(r), std::move(m.words)});
        for (std::size_t i = 0; i < changes; ++i) change(inbox[from.below(ranks)], from);
        for (std::size_t r = 0; r < ranks; ++r)
            planners[r].incoming(
                round, detail::from_next_rank(static_cast<rank_id>(r), std::move(inbox[r])));
    }
    std::vector<exchange_plan> plans;
    for (auto& p : planners) plans.push_back(p.finish());
    validate(plans);
    const std::string law = plan_oracle::broken_law(plans);
    if (!law.empty()) fuzz::found("a wrong plan let through: " + law);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::bytes from(data, size);
    const std::size_t changes = from.below(4);
    const auto j = small_job::make(fuzz::job_numbers(from));
    try {
        plan(j, from, changes);
    } catch (const plan_error&) {
        if (changes == 0) throw;
    }
    return 0;
}
