#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "exec/backend_laws.hpp"
#include "locmoe/exec/executor.hpp"
#include "locmoe/exec/verify_agreement.hpp"
#include "locmoe/plan/direct.hpp"
#include "locmoe/plan/node_aggregated.hpp"
#include "locmoe/plan/plan_all.hpp"
#include "locmoe/tensor/standard.hpp"
#include "random_cases.hpp"

/// What becomes of faults, over any backend, checked from inside the job. One rank, the last, is at
/// fault; every rank looks at its own error.
namespace fault_laws {

using backend_laws::expect;
using namespace locmoe;

constexpr std::size_t width = 3;

struct outcome {
    enum { none, argument, plan, backend, other } kind = none;
    std::string words;

    bool says(const std::string& part) const { return words.find(part) != std::string::npos; }
};

template <class Call>
outcome outcome_of(Call&& call) {
    try {
        call();
    } catch (const argument_error& e) {
        return {outcome::argument, e.what()};
    } catch (const plan_error& e) {
        return {outcome::plan, e.what()};
    } catch (const backend_error& e) {
        return {outcome::backend, e.what()};
    } catch (const std::exception& e) {
        return {outcome::other, e.what()};
    } catch (...) {
        return {outcome::other, ""};
    }
    return {};
}

template <class Backend>
bool at_fault(const Backend& backend) {
    return static_cast<std::size_t>(backend.rank()) + 1 == backend.rank_count();
}

/// The same error on all ranks, and nothing sent: all goes on afterwards.
template <class Backend>
void same_plan_error(Backend& backend, const outcome& got, const std::string& words) {
    expect(got.kind == outcome::plan && got.says(words),
           detail::concat("a plan_error with '", words, "', got '", got.words, "'"),
           backend.rank());
    expect(detail::first_text(backend, got.words) == got.words, "the same words on every rank",
           backend.rank());
}

/// One job with its plans, and the same ranks' plans for other tokens. All ranks know all of them.
struct two_jobs {
    random_cases::job job;
    std::vector<assignment> other;
    std::vector<exchange_plan> plans;
    std::vector<exchange_plan> others;

    template <class Strategy>
    two_jobs(std::size_t ranks, std::uint32_t seed, const Strategy& strategy)
        : job(random_cases::job_on(ranks, seed)), other(job.assigned) {
        for (assignment& a : other)
            for (expert_id& e : a.expert)
                if (e != no_expert) e = static_cast<expert_id>(job.placement.expert_count()) - 1 - e;
        plans = plan_all(strategy, job.nodes, job.placement, job.assigned);
        others = plan_all(strategy, job.nodes, job.placement, other);
    }
};

/// Token rows of a rank, there and back through its plan. The experts do nothing.
template <class Backend>
void there_and_back(executor<Backend>& ex, const exchange_plan& plan, std::size_t cols = width) {
    const auto base = static_cast<float>(100 * (ex.backend().rank() + 1));
    std::vector<float> tokens(plan.token_count * cols), back(tokens.size());
    for (std::size_t i = 0; i < tokens.size(); ++i) tokens[i] = base + static_cast<float>(i);
    std::vector<float> rows(plan.expert_row_count() * cols);
    ex.dispatch(plan, as_matrix(tokens, cols), as_matrix(rows, cols));
    ex.combine(plan, as_matrix(rows, cols), std::vector<float>{}, as_matrix(back, cols));
    std::vector<float> kept(plan.token_count, 0);
    for (const std::int64_t slot : plan.pair_slots)
        kept[static_cast<std::size_t>(slot) / plan.choice_count] += 1;
    for (std::size_t i = 0; i < tokens.size(); ++i)
        expect(back[i] == kept[i / cols] * tokens[i], "rows come back", ex.backend().rank());
}

/// The words for the first message of dispatch, by its receiver, whose ends have other counts.
inline std::string first_mismatch(const std::vector<exchange_plan>& plans) {
    for (const exchange_plan& to : plans)
        for (std::size_t p = 0; p < to.dispatch.phases.size(); ++p)
            for (const exchange_plan& from : plans) {
                row_index sent = 0, expected = 0;
                for (const segment& s : from.dispatch.phases[p].sends)
                    if (s.peer == to.rank) sent += s.rows;
                for (const segment& s : to.dispatch.phases[p].receives)
                    if (s.peer == from.rank) expected += s.rows;
                if (sent != expected)
                    return detail::concat("locmoe: dispatch: phase ", p, " (",
                                          to.dispatch.phases[p].name, "): rank ", to.rank,
                                          " expected ", expected, " rows from rank ", from.rank,
                                          ", which sends ", sent);
            }
    return "";
}

/// One rank holds the plan of other tokens: the first message whose ends disagree is named on all
/// ranks, before anything is sent. Returns how many did.
template <class Backend, class Strategy>
std::size_t other_counts_are_named(Backend& backend, const Strategy& strategy, std::uint32_t seeds) {
    std::size_t found = 0;
    const auto me = static_cast<std::size_t>(backend.rank());
    for (std::uint32_t seed = 0; seed < seeds; ++seed) {
        const two_jobs two(backend.rank_count(), seed, strategy);
        executor ex(backend, two.job.nodes, two.job.placement);
        std::vector<exchange_plan> mixed = two.plans;
        mixed.back() = two.others.back();
        const std::string words = first_mismatch(mixed);
        const outcome got = outcome_of([&] {
            std::vector<float> tokens(mixed[me].token_count * width);
            std::vector<float> rows(mixed[me].expert_row_count() * width);
            ex.dispatch(mixed[me], as_matrix(tokens, width), as_matrix(rows, width));
        });
        if (words.empty())
            expect(got.kind == outcome::none, "plans that fit are run", backend.rank());
        else
            same_plan_error(backend, got, words);
        found += words.empty() ? 0u : 1u;
        if (!words.empty())
            same_plan_error(backend, outcome_of([&] { ex.verify_agreement(mixed[me]); }), "phase");
        there_and_back(ex, two.plans[me]);
    }
    return found;
}

/// A plan that breaks a law by itself, on one rank: the others hear its words, nothing is sent.
template <class Backend>
void broken_plans_are_refused(Backend& backend) {
    const std::size_t ranks = backend.rank_count();
    if (ranks < 2) return;
    std::uint32_t seed = 0;
    const auto changeable = [&] {  // the rank at fault sends, receives and delivers
        const exchange_plan plan = two_jobs(ranks, seed, direct{}).plans.back();
        const phase& p = plan.dispatch.phases[0];
        return !p.sends.empty() && !p.receives.empty() && !plan.dispatch.deliver.from.empty();
    };
    while (!changeable()) ++seed;
    const two_jobs two(ranks, seed, direct{});
    executor ex(backend, two.job.nodes, two.job.placement);
    const exchange_plan& right = two.plans[static_cast<std::size_t>(backend.rank())];
    const auto whole = static_cast<row_index>(1) << 40;
    using change = void (*)(exchange_plan&, phase&, row_index);
    const std::pair<const char*, change> changes[] = {
        {"source row", [](exchange_plan&, phase& p, row_index n) { p.pack.from.at(0) = n; }},
        {"no source", [](exchange_plan&, phase& p, row_index) { p.pack.from.at(0) = -1; }},
        {"delivered row",
         [](exchange_plan& a, phase&, row_index n) { a.dispatch.deliver.from.at(0) = n; }},
        {"sent rows", [](exchange_plan&, phase& p, row_index n) { p.sends.at(0).rows = n; }},
        {"first sent row", [](exchange_plan&, phase& p, row_index) { ++p.sends.at(0).first; }},
        {"itself", [](exchange_plan& a, phase& p, row_index) { p.sends.at(0).peer = a.rank; }},
        {"no rank", [](exchange_plan&, phase& p, row_index) { p.sends.at(0).peer = -1; }},
        {"beyond all",
         [](exchange_plan& a, phase& p, row_index) {
             p.receives.at(0).peer = static_cast<rank_id>(a.rank_count);
         }},
        {"received rows", [](exchange_plan&, phase& p, row_index) { p.receives.at(0).rows = 0; }},
        {"staging", [](exchange_plan& a, phase&, row_index) { --a.dispatch.staging_rows; }},
        {"needs", [](exchange_plan&, phase& p, row_index) { p.needs = 9; }},
        {"order", [](exchange_plan&, phase& p, row_index) { p.send_order.assign(99, 0); }},
        {"no expert rows", [](exchange_plan& a, phase&, row_index) { a.expert_first.clear(); }}};
    for (const auto& [name, act] : changes) {
        exchange_plan plan = right;
        std::vector<float> tokens(right.token_count * width);
        std::vector<float> rows(right.expert_row_count() * width);
        if (at_fault(backend)) act(plan, plan.dispatch.phases.at(0), whole);
        const outcome got = outcome_of(
            [&] { ex.dispatch(plan, as_matrix(tokens, width), as_matrix(rows, width)); });
        const bool own = got.kind == outcome::plan || got.kind == outcome::argument;
        const std::string culprit = detail::concat("rank ", ranks - 1);
        expect((at_fault(backend) ? own : got.kind == outcome::backend) && got.says(culprit),
               detail::concat("a broken plan is refused on all ranks: ", name, ": ", got.words),
               backend.rank());
        const outcome cut = outcome_of([&] { ex.pipeline(plan, 2); });
        expect(cut.kind == got.kind && cut.says(culprit),
               detail::concat("and not cut into chunks: ", name, ": ", cut.words), backend.rank());
        there_and_back(ex, right);
    }
    exchange_plan plan = right;
    if (at_fault(backend)) plan.pair_slots.at(0) = whole;
    const std::vector<float> weights(right.token_count * right.choice_count);
    const outcome got = outcome_of([&] { ex.dispatch_weights(plan, weights); });
    expect(got.says("pair_slots on rank"), "pairs stay inside their weights", backend.rank());
}

/// Every other way in which calls do not fit together is named before anything is sent.
template <class Backend>
void other_calls_are_named(Backend& backend) {
    const std::size_t ranks = backend.rank_count();
    if (ranks < 2) return;
    const bool odd = at_fault(backend);
    const std::string culprit =
        ranks == 2 ? "rank 1" : detail::concat("rank ", ranks - 1);
    const two_jobs two(ranks, 5, direct{});
    executor ex(backend, two.job.nodes, two.job.placement);
    const auto me = static_cast<std::size_t>(backend.rank());
    const exchange_plan& plan = two.plans[me];
    const std::size_t cols = odd ? 7 : width;
    std::vector<float> tokens(plan.token_count * 7), rows(plan.expert_row_count() * 7);
    std::vector<std::int32_t> whole(tokens.size()), whole_rows(rows.size());

    same_plan_error(backend, outcome_of([&] { there_and_back(ex, plan, cols); }),
                    detail::concat("dispatch: ", culprit,
                                   " holds another row width in bytes than the others: 28, "
                                   "expected 12"));
    same_plan_error(backend, outcome_of([&] {
                        if (odd)
                            ex.dispatch(plan, as_matrix(whole, 7), as_matrix(whole_rows, 7));
                        else
                            ex.dispatch(plan, as_matrix(tokens, 7), as_matrix(rows, 7));
                    }),
                    culprit + " holds another element type");
    same_plan_error(backend, outcome_of([&] {
                        if (odd)
                            ex.combine(plan, as_matrix(rows, 7), std::vector<float>{},
                                       as_matrix(tokens, 7));
                        else
                            ex.dispatch(plan, as_matrix(tokens, 7), as_matrix(rows, 7));
                    }),
                    culprit + " calls combine where the others call dispatch");
    same_plan_error(backend, outcome_of([&] {
                        if (odd)
                            ex.plan(two.job.assigned[me], direct{});
                        else
                            ex.dispatch(plan, as_matrix(tokens, 7), as_matrix(rows, 7));
                    }),
                    culprit + " calls plan where the others call dispatch");
    exchange_plan changed = plan;
    if (odd) changed.dispatch.phases[0].window.messages = 1;
    same_plan_error(backend, outcome_of([&] { there_and_back(ex, changed); }), culprit);
    changed = plan;
    if (odd) changed.dispatch.phases.emplace_back();
    same_plan_error(backend, outcome_of([&] { there_and_back(ex, changed); }),
                    culprit + " holds another number of phases");
    changed = plan;
    if (odd) changed.strategy = "by hand";
    same_plan_error(backend, outcome_of([&] { ex.verify_agreement(changed); }),
                    culprit + " holds another strategy");
    same_plan_error(backend, outcome_of([&] { auto pipe = ex.pipeline(plan, odd ? 2 : 3); }),
                    culprit + " holds another number of chunks than the others: 2, expected 3");

    // A layer in chunks, whose token rows and results have a type and a width each.
    auto pipe = ex.pipeline(plan, 2);
    const std::vector<float> row_weights(plan.expert_row_count());
    std::vector<float> grad_weights(plan.token_count * plan.choice_count);
    const auto layer_is_refused = [&](auto number, std::size_t in_cols, std::size_t out_cols) {
        const auto rows_of = [](std::size_t count, std::size_t width_of, auto like) {
            return std::vector<decltype(like)>(count * width_of);
        };
        auto x = rows_of(plan.token_count, in_cols, number);
        auto in = rows_of(plan.expert_row_count(), in_cols, number);
        auto y = rows_of(plan.token_count, out_cols, 0.0f);
        auto out = rows_of(plan.expert_row_count(), out_cols, 0.0f), grad = out;
        const auto no_expert = [](const auto&...) {};
        const auto words = [&](const char* function) {
            return detail::concat(function, ": ", culprit,
                                  " holds another element type or row width than the others");
        };
        same_plan_error(backend, outcome_of([&] {
                            pipe.forward(as_matrix(x, in_cols), as_matrix(in, in_cols), no_expert,
                                         as_matrix(out, out_cols), row_weights,
                                         as_matrix(y, out_cols));
                        }),
                        words("forward"));
        same_plan_error(backend, outcome_of([&] {
                            pipe.backward(as_matrix(y, out_cols), as_matrix(out, out_cols),
                                          row_weights, as_matrix(grad, out_cols), no_expert,
                                          as_matrix(in, in_cols), as_matrix(x, in_cols),
                                          grad_weights);
                        }),
                        words("backward"));
    };
    layer_is_refused(0.0f, cols, width);
    layer_is_refused(0.0f, width, cols);
    if (odd)
        layer_is_refused(std::int32_t{0}, width, width);
    else
        layer_is_refused(0.0f, width, width);
    there_and_back(ex, plan);
    ex.verify_agreement(plan);
}

/// Values that all hold alike pass; of others, the ranks that differ from most are named.
template <class Backend>
void disagreement_names_the_ranks(Backend& backend) {
    const std::size_t ranks = backend.rank_count();
    const auto me = static_cast<std::size_t>(backend.rank());
    backend_laws::random_numbers random(5);
    for (std::size_t round = 0; round < 40; ++round) {
        const std::size_t others = backend_laws::draw(random, (ranks + 1) / 2);
        std::vector<std::size_t> odd;
        while (odd.size() < others) {
            const std::size_t r = backend_laws::draw(random, ranks);
            if (std::find(odd.begin(), odd.end(), r) == odd.end()) odd.push_back(r);
        }
        std::sort(odd.begin(), odd.end());
        const bool differs = std::find(odd.begin(), odd.end(), me) != odd.end();
        const std::uint64_t value = backend_laws::mixed(round, differs ? me + 1 : 0, 0, 0);
        const outcome got = outcome_of([&] {
            verify_agreement(backend, "law", {{"weather", 7}, {"seed", value}});
        });
        if (odd.empty())
            expect(got.kind == outcome::none, "ranks that agree are told nothing", backend.rank());
        else
            same_plan_error(backend, got,
                            detail::concat("law: ", detail::ranks_text(odd), " hold"));
    }
}

struct no_luck {};  // not even a std::exception

/// Plans as `direct` does, but fails at one of its five moments.
struct failing_strategy {
    int moment = -1;

    struct planner_type {
        decltype(std::declval<direct>().planner(std::declval<plan_request>())) inner;
        int moment;
        std::size_t rounds;

        void fail(int now) const {
            if (now == moment) throw std::runtime_error("out of luck");
        }
        std::vector<message> outgoing(std::size_t round) {
            fail(1);
            auto all = inner.outgoing(round);
            if (moment == 4) all.push_back({999, {}});
            if (moment == 5) throw no_luck{};
            return all;
        }
        void incoming(std::size_t round, const std::vector<message>& received) {
            fail(2);
            inner.incoming(round, received);
        }
        exchange_plan finish() {
            fail(3);
            return inner.finish();
        }
    };

    std::string name() const { return "failing"; }
    planner_type planner(const plan_request& request) const {
        if (moment == 0) throw std::runtime_error("out of luck");
        auto inner = direct{}.planner(request);
        const std::size_t rounds = inner.rounds;
        return {std::move(inner), moment, rounds};
    }
};

/// A rank that throws while it plans fails all ranks, whenever it does; the next plan is made.
template <class Backend>
void failing_planners_strand_nobody(Backend& backend) {
    const two_jobs two(backend.rank_count(), 2, direct{});
    executor ex(backend, two.job.nodes, two.job.placement);
    const assignment& assigned = two.job.assigned[static_cast<std::size_t>(backend.rank())];
    const std::string culprit = detail::concat("rank ", backend.rank_count() - 1);
    for (int moment = 0; moment <= 5; ++moment) {
        const outcome got = outcome_of(
            [&] { ex.plan(assigned, failing_strategy{at_fault(backend) ? moment : -1}); });
        if (at_fault(backend))
            expect(got.kind == (moment == 4 ? outcome::argument : outcome::other),
                   "the rank at fault gets its own exception", backend.rank());
        else
            expect(got.kind == outcome::backend && got.says(culprit) &&
                       got.says(moment == 4   ? "999"
                                : moment == 5 ? "an exception without words"
                                              : "out of luck"),
                   detail::concat("the others hear of it: ", got.words), backend.rank());
    }
    there_and_back(ex, ex.plan(assigned, failing_strategy{}));
}

/// Copies rows as the host does, and before the n-th time does something else.
struct other_kernels : host_kernels {
    int* gathers_left = nullptr;
    std::function<void()> first;

    void gather(const row_space& space, const row_sums& rows, row_range range, token_rows to) const {
        if (--*gathers_left == 0) first();
        host_kernels::gather(space, rows, range, to);
    }
};

/// All calls are refused from now on, on this rank as on all others, and say why.
template <class Executor>
void is_poisoned(Executor& ex, const exchange_plan& plan, const assignment& assigned,
                 const std::string& cause) {
    std::vector<float> tokens(plan.token_count * width), rows(plan.expert_row_count() * width);
    const auto refused = [&](auto&& call) {
        const outcome got = outcome_of(call);
        expect(got.kind == outcome::backend && got.says("of no use any more") && got.says(cause),
               detail::concat("a call after a failed exchange is refused: ", got.words),
               ex.backend().rank());
    };
    refused([&] { ex.dispatch(plan, as_matrix(tokens, width), as_matrix(rows, width)); });
    refused([&] { ex.dispatch_weights(plan, std::vector<float>(plan.token_count *
                                                               plan.choice_count)); });
    refused([&] { ex.plan(assigned, direct{}); });
    refused([&] { auto pipe = ex.pipeline(plan, 2); });
    refused([&] { ex.verify_agreement(plan); });
    refused([&] { executor again(ex.backend(), ex.nodes(), ex.placement()); });
}

/// A rank that fails in the middle of an exchange, at its n-th work on rows: all ranks fail, and the
/// backend is of no use any more. The backend is spent.
template <class Backend>
void failed_exchange_poisons(Backend& backend, int gathers, bool pipelined) {
    const two_jobs two(backend.rank_count(), 4, node_aggregated{});
    const auto me = static_cast<std::size_t>(backend.rank());
    int left = 0;
    other_kernels kernels;
    kernels.gathers_left = &left;
    kernels.first = [] { throw std::runtime_error("out of luck"); };
    executor ex(backend, two.job.nodes, two.job.placement, kernels);
    const exchange_plan& plan = two.plans[me];
    auto pipe = ex.pipeline(plan, 2);
    if (at_fault(backend)) left = gathers;
    std::vector<float> tokens(plan.token_count * width), rows(plan.expert_row_count() * width);
    std::vector<float> none, back(tokens.size()), out(rows.size());
    const outcome got = outcome_of([&] {
        if (pipelined)
            pipe.forward(as_matrix(tokens, width), as_matrix(rows, width), [](const auto&...) {},
                         as_matrix(out, width), none, as_matrix(back, width));
        else
            ex.dispatch(plan, as_matrix(tokens, width), as_matrix(rows, width));
        backend.agree("");  // nobody goes on, though its own rows may be there
    });
    const std::string cause =
        detail::concat("rank ", backend.rank_count() - 1, " gave up: out of luck");
    if (at_fault(backend))
        expect(got.kind == outcome::other && got.words == "out of luck",
               "the rank at fault gets its own exception", backend.rank());
    else
        expect(got.kind == outcome::backend && got.says(cause),
               detail::concat("the others hear of it: ", got.words), backend.rank());
    is_poisoned(ex, plan, two.job.assigned[me], cause);
}

/// One rank is busy with `nap`, which must take longer than the deadline, before it comes to an
/// operation: all ranks name it, itself too when it comes, and have then called `told`. Operation 3 is
/// an exchange, where it is busy packing. The backend is spent.
template <class Backend>
void slow_rank_is_named(Backend& backend, int operation, std::function<void()> nap,
                        const std::function<void()>& told) {
    const two_jobs two(backend.rank_count(), 4, node_aggregated{});
    const auto me = static_cast<std::size_t>(backend.rank());
    int left = 0;
    other_kernels kernels;
    kernels.gathers_left = &left;
    kernels.first = nap;
    executor ex(backend, two.job.nodes, two.job.placement, kernels);
    const exchange_plan& plan = two.plans[me];
    if (at_fault(backend)) {
        left = operation == 3 ? 1 : 0;
        if (operation != 3) nap();
    }
    const outcome got = outcome_of([&] {
        if (operation == 0) backend.agree("");
        if (operation == 1) backend.exchange_messages({});
        if (operation == 2) backend.scan_counts({});
        if (operation == 3) {
            std::vector<float> tokens(plan.token_count * width);
            std::vector<float> rows(plan.expert_row_count() * width);
            ex.dispatch(plan, as_matrix(tokens, width), as_matrix(rows, width));
        }
        backend.agree("");
    });
    told();
    expect(got.kind == outcome::backend &&
               got.says(detail::concat("rank ", backend.rank_count() - 1)) && got.says(" ms"),
           detail::concat("a rank that does not come is named: ", got.words), backend.rank());
    is_poisoned(ex, plan, two.job.assigned[me], "ms");
}

}  // namespace fault_laws
