#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "locmoe/assign/assignment.hpp"
#include "locmoe/core/detail/reused.hpp"
#include "locmoe/core/element.hpp"
#include "locmoe/core/error.hpp"
#include "locmoe/exec/backend.hpp"
#include "locmoe/exec/detail/agreed.hpp"
#include "locmoe/exec/detail/flight.hpp"
#include "locmoe/exec/detail/meeting_counts.hpp"
#include "locmoe/exec/host_kernels.hpp"
#include "locmoe/exec/pipeline.hpp"
#include "locmoe/exec/row_kernels.hpp"
#include "locmoe/exec/verify_agreement.hpp"
#include "locmoe/plan/detail/from_next_rank.hpp"
#include "locmoe/plan/exchange_plan.hpp"
#include "locmoe/plan/strategy.hpp"
#include "locmoe/plan/validate.hpp"
#include "locmoe/tensor/tensor_traits.hpp"

namespace locmoe::inline v0 {

/// Plans and runs exchanges over one backend. Built once, by all ranks together; it keeps the
/// staging memory, which grows to the largest exchange and is reused. Every member function but the
/// readers is collective: all ranks call it in the same order.
///
/// Before anything is sent, one `agree` of the backend's settles all of this, and after an error
/// the executor is as it was before:
/// - Where one rank's arguments or plan are wrong in themselves, that rank throws argument_error or
///   plan_error and every other rank backend_error with its words.
/// - Where the ranks' calls, element types, row widths or plans do not fit together, each throws
///   plan_error with the same words, which name the ranks; for a message whose receiver expects
///   another number of rows, both ranks, the phase and both numbers.
///
/// What goes wrong later (the transport fails, a rank is waited for beyond the deadline, memory
/// runs out) fails on all ranks: that rank throws its own exception, every other one backend_error
/// with its words. What was to be written is undefined then, and backend and executor are of no use
/// any more: every call throws backend_error with the first cause.
///
/// Shapes: T tokens and k choices of this rank, K kept pairs, R rows for the experts of this rank
/// (`plan.expert_row_count()`), d numbers a row; T, K and R differ from rank to rank and may be 0.
template <exchange_backend Backend, row_kernels Kernels = host_kernels>
class executor {
  public:
    /// Throws unless topology and placement fit the backend and are the same on all ranks. The
    /// backend outlives the executor.
    executor(Backend& backend, topology nodes, expert_placement placement, Kernels kernels = {})
        : backend_(&backend),
          nodes_(std::move(nodes)),
          placement_(std::move(placement)),
          kernels_(std::move(kernels)) {
        const common_value same[] = {{"topology", fingerprint(nodes_).value()},
                                     {"expert_placement", fingerprint(placement_).value()}};
        detail::agreed(backend, "executor", same, [&] {
            using detail::concat;
            if (nodes_.rank_count() != backend.rank_count())
                detail::throw_argument("executor", "nodes",
                                       concat("a topology of ", backend.rank_count(), " ranks"),
                                       concat(nodes_.rank_count()), backend.rank());
            if (placement_.rank_count() != backend.rank_count())
                detail::throw_argument("executor", "placement",
                                       concat("one over ", backend.rank_count(), " ranks"),
                                       concat(placement_.rank_count()), backend.rank());
        });
    }

    /// The backend that it was built over, for collectives of the caller's own between two calls.
    Backend& backend() { return *backend_; }
    /// Its copy of the topology, the same on all ranks.
    const topology& nodes() const { return nodes_; }
    /// Its copy of the placement, the same on all ranks.
    const expert_placement& placement() const { return placement_; }

    /// What routers need to know of this rank. `token_ids` is asked for by hash routers alone.
    route_context context(std::span<const std::int32_t> token_ids = {}) const {
        return {backend_->rank(), nodes_, placement_, token_ids};
    }

    /// This rank's plan for an assignment. Metadata: what the strategy's rounds send. Throws
    /// plan_error on all ranks where their strategies differ.
    template <exchange_strategy Strategy>
    exchange_plan plan(const assignment& assigned, const Strategy& strategy) {
        const plan_request request{backend_->rank(), nodes_, placement_, assigned};
        using planner_type = decltype(strategy.planner(request));
        std::optional<planner_type> planner;
        common_value same[] = {{"strategy", fingerprint(strategy.name()).value()},
                               {"number of rounds", 0, true}};
        detail::agreed(*backend_, "plan", same, [&] {
            check_request(request);
            planner.emplace(strategy.planner(request));
            same[1].value = planner->rounds;
        });
        detail::attempt tried;
        std::optional<exchange_plan> made;
        for (std::size_t round = 0; round < planner->rounds; ++round) {
            // A rank that failed stays in step, so that nobody waits for it: it just has no more to
            // say.
            std::vector<message> outgoing;
            tried([&] {
                std::vector<message> all = planner->outgoing(round);
                detail::check_messages(backend_->rank(), backend_->rank_count(), all);
                outgoing = std::move(all);
            });
            const std::vector<message> received = detail::from_next_rank(
                backend_->rank(), backend_->exchange_messages(std::move(outgoing)));
            tried([&] { planner->incoming(round, received); });
        }
        tried([&] { made = planner->finish(); });
        tried.settle(*backend_, 0);
        return std::move(*made);
    }

    /// Throws unless the plans of all ranks fit together, before any tensor is there: one strategy,
    /// `validate` for each plan by itself, and what every exchange checks, for all four flows.
    void verify_agreement(const exchange_plan& plan) {
        agree_on_plan("verify_agreement", plan, [&] { validate(plan); });
    }

    /// Token rows to the ranks of their experts: tokens [T, d] -> expert_rows [R, d], overwritten.
    /// Bytes alone: any element type, every bit as it was.
    template <class Tokens, class ExpertRows>
    void dispatch(const exchange_plan& plan, const Tokens& tokens, ExpertRows&& expert_rows) {
        run("dispatch", plan, plan.dispatch, as_token_rows(view_of(tokens)), "tokens",
            as_token_rows(writable_view_of(expert_rows)), "expert_rows",
            std::span<const float>{});
    }

    /// Gate weights to where the expert rows are: weights [T, k] -> [R].
    template <class Real>
    std::vector<Real> dispatch_weights(const exchange_plan& plan,
                                       const std::vector<Real>& weights) {
        std::vector<Real> rows;
        dispatch_weights_into(plan, weights, rows);
        return rows;
    }

    /// The same into an earlier batch's memory.
    template <class Real>
    void dispatch_weights_into(const exchange_plan& plan, const std::vector<Real>& weights,
                               std::vector<Real>& row_weights) {
        agree_on_pairs<Real>("dispatch_weights", plan.pair_dispatch, [&] {
            check_pairs("dispatch_weights", "weights", plan, weights.size());
            detail::check_flow(plan, "pair_dispatch", plan.pair_dispatch, plan.pair_count(),
                               plan.expert_row_count(), true);
        });
        exchange([&] {
            const auto pairs = detail::reused<Real, executor>(plan.pair_count());
            for (std::size_t i = 0; i < pairs.size(); ++i)
                pairs[i] = weights[static_cast<std::size_t>(plan.pair_slots[i])];
            row_weights.resize(plan.expert_row_count());
            transport(plan.pair_dispatch,
                      as_token_rows(matrix_view<const Real>(pairs.data(), pairs.size(), 1)),
                      as_token_rows(column(row_weights)), std::span<const Real>{});
        });
    }

    /// Expert outputs back to their tokens, weighted and added up: expert_rows [R, d], row_weights
    /// [R] (empty: all 1) -> tokens [T, d], overwritten; a token with no kept pair gets zeros. The
    /// weights are applied before anything is sent, so relays add up partial sums. Sums are kept in
    /// `sum_type_t` and rounded where rows are stored, in an order that the plan fixes.
    template <class ExpertRows, class Real, class Tokens>
    void combine(const exchange_plan& plan, const ExpertRows& expert_rows,
                 const std::vector<Real>& row_weights, Tokens&& tokens) {
        run("combine", plan, plan.combine, as_token_rows(view_of(expert_rows)), "expert_rows",
            as_token_rows(writable_view_of(tokens)), "tokens",
            std::span<const Real>(row_weights));
    }

    /// The backward pass of `combine`: grad_tokens [T, d], and the forward pass's expert_rows [R,
    /// d] and row_weights [R] -> grad_expert_rows [R, d], overwritten, and grad_weights [T, k],
    /// overwritten: the inner product of gradient and expert output, 0 where a pair was dropped.
    template <class GradTokens, class ExpertRows, class Real, class GradExpertRows>
    void combine_backward(const exchange_plan& plan, const GradTokens& grad_tokens,
                          const ExpertRows& expert_rows, const std::vector<Real>& row_weights,
                          GradExpertRows&& grad_expert_rows, std::vector<Real>& grad_weights) {
        const auto forward = as_token_rows(view_of(expert_rows));
        const auto gradient = as_token_rows(writable_view_of(grad_expert_rows));
        agree_on_pairs<Real>("combine_backward", plan.pair_combine, [&] {
            check_combine_backward("combine_backward", plan, forward, "expert_rows", gradient,
                                   "grad_expert_rows", row_weights.size(), grad_weights.size());
            detail::check_flow(plan, "pair_combine", plan.pair_combine, plan.expert_row_count(),
                               plan.pair_count(), false);
        });
        run("combine_backward", plan, plan.dispatch, as_token_rows(view_of(grad_tokens)),
            "grad_tokens", gradient, "grad_expert_rows", std::span<const float>{});

        exchange([&] {
            std::vector<Real> dots(plan.expert_row_count());
            kernels_.dot(gradient, forward, std::span<Real>(dots));
            return_weights(plan, dots, grad_weights);
            kernels_.scale(gradient, std::span<const Real>(row_weights), gradient);
        });
    }

    /// The backward pass of `dispatch`: grad_expert_rows [R, d] -> grad_tokens [T, d], overwritten.
    template <class GradExpertRows, class GradTokens>
    void dispatch_backward(const exchange_plan& plan, const GradExpertRows& grad_expert_rows,
                           GradTokens&& grad_tokens) {
        run("dispatch_backward", plan, plan.combine, as_token_rows(view_of(grad_expert_rows)),
            "grad_expert_rows", as_token_rows(writable_view_of(grad_tokens)), "grad_tokens",
            std::span<const float>{});
    }

    /// Cuts a plan into chunks that overlap with the experts' computation; the number must be the
    /// same on all ranks (`chunk_count` finds a good one). Metadata: a scan of a few counts, and
    /// one number for each row and pair of the plan, which travels as rows and weights do. The
    /// executor outlives the pipeline. Throws argument_error where the number is 0, plan_error
    /// where it differs or the plans do not fit together.
    locmoe::pipeline<executor> pipeline(exchange_plan plan, std::size_t chunks) {
        return {*this, std::move(plan), chunks};
    }

  private:
    friend class locmoe::pipeline<executor>;
    using flight = detail::flight<Backend, Kernels>;

    /// Nothing is sent before all ranks have agreed: `check` finds nothing wrong here, all make
    /// this call with the same values, and in each flow every message meets its receive.
    template <class Check>
    void agree_on(std::string_view function, std::span<const common_value> same,
                  std::span<const flow* const> flows, Check&& check) {
        detail::attempt tried;
        tried(check);
        const std::uint64_t sum =
            tried.settle(*backend_, detail::ring_term(function, same, backend_->rank(),
                                                      backend_->rank_count()) +
                                        detail::count_balance(flows, backend_->rank()));
        if (sum == 0) return;
        detail::name_disagreement(*backend_, function, same);
        for (const flow* moved : flows) detail::name_mismatch(*backend_, function, *moved);
        throw plan_error(detail::concat("locmoe: ", function, ": the ranks' plans do not fit"));
    }
    /// The same for rows of one type and width.
    template <class Check>
    void agree_on(std::string_view function, std::span<const flow* const> flows, element_type type,
                  std::size_t row_bytes, Check&& check) {
        const common_value same[] = {{"element type", static_cast<std::uint64_t>(type)},
                                     {"row width in bytes", row_bytes, true},
                                     detail::phase_value(flows)};
        agree_on(function, same, flows, check);
    }
    /// The same for all flows of a plan, which is to be cut into as many chunks, if into any.
    template <class Check>
    void agree_on_plan(std::string_view function, const exchange_plan& plan, Check&& check,
                       std::uint64_t chunks = 0) {
        const flow* const flows[] = {&plan.dispatch, &plan.combine, &plan.pair_dispatch,
                                     &plan.pair_combine};
        const common_value same[] = {{"number of chunks", chunks, true},
                                     {"strategy", fingerprint(plan.strategy).value()},
                                     detail::phase_value(flows)};
        agree_on(function, same, flows, [&] {
            check_plan(function, plan);
            check();
        });
    }
    template <class Real, class Check>
    void agree_on_pairs(std::string_view function, const flow& moved, Check&& check) {
        const flow* const flows[] = {&moved};
        agree_on(function, flows, element_traits<Real>::type, sizeof(Real), check);
    }

    /// Once its first message may have left, an exchange cannot be taken back: if this rank fails,
    /// all do.
    template <class Work>
    void exchange(Work&& work) {
        detail::attempt tried;
        tried(work);
        if (!tried.failed()) return;
        backend_->abandon(tried.words());
        tried.rethrow();
    }

    static std::string shape(const_token_rows rows) {
        return detail::concat("[", rows.rows, ", ", rows.cols(), "] of ",
                              element_name(rows.type));
    }

    void check_rows(std::string_view function, std::string_view argument, const_token_rows rows,
                    std::size_t expected) const {
        using detail::concat;
        if (rows.rows != expected)
            detail::throw_argument(function, argument, concat(expected, " rows"),
                                   concat(rows.rows), backend_->rank());
        if (rows.rows > 1 && rows.row_stride < rows.row_bytes)
            detail::throw_argument(function, argument,
                                   concat("a row stride of at least ", rows.row_bytes, " bytes"),
                                   concat(rows.row_stride), backend_->rank());
        if (rows.data == nullptr && rows.rows * rows.row_bytes > 0)
            detail::throw_argument(function, argument, "data", "a null pointer",
                                   backend_->rank());
    }

    void check_pairs(std::string_view function, std::string_view argument,
                     const exchange_plan& plan, std::size_t got) const {
        using detail::concat;
        check_plan(function, plan);
        const std::size_t expected = plan.token_count * plan.choice_count;
        if (got != expected)
            detail::throw_argument(function, argument, concat("T k = ", expected, " numbers"),
                                   concat(got), backend_->rank());
        for (const std::int64_t slot : plan.pair_slots)
            if (slot < 0 || static_cast<std::size_t>(slot) >= expected)
                detail::throw_argument(function, "plan.pair_slots",
                                       concat("0 to T k - 1 with T k = ", expected), concat(slot),
                                       backend_->rank());
    }

    void check_plan(std::string_view function, const exchange_plan& plan) const {
        using detail::concat;
        if (plan.rank != backend_->rank() || plan.rank_count != backend_->rank_count())
            detail::throw_argument(
                function, "plan",
                concat("that of rank ", backend_->rank(), " of ", backend_->rank_count()),
                concat("that of rank ", plan.rank, " of ", plan.rank_count), backend_->rank());
        if (plan.expert_first.empty())
            detail::throw_argument(function, "plan.expert_first", "at least one row", "none",
                                   backend_->rank());
    }

    template <class Real>
    static matrix_view<Real> column(std::vector<Real>& values) {
        return {values.data(), values.size(), 1};
    }
    template <class Real>
    static matrix_view<const Real> column(const std::vector<Real>& values) {
        return {values.data(), values.size(), 1};
    }

    /// What one flow asks of its rows; `weights`: how many, 0 for none.
    void check_exchange(std::string_view function, const exchange_plan& plan, const flow& moved,
                        const_token_rows from, std::string_view from_name, const_token_rows to,
                        std::string_view to_name, std::size_t weights) const {
        using detail::concat;
        check_plan(function, plan);
        check_rows(function, from_name, from, static_cast<std::size_t>(moved.source_rows));
        check_rows(function, to_name, to, moved.deliver.rows());
        if (from.row_bytes != to.row_bytes || from.type != to.type)
            detail::throw_argument(function, to_name,
                                   concat("rows of ", from.cols(), " ", element_name(from.type),
                                          " as in ", from_name),
                                   concat(to.cols(), " ", element_name(to.type)),
                                   backend_->rank());
        if (weights != 0 && weights != from.rows)
            detail::throw_argument(function, "row_weights", concat("none, or R = ", from.rows),
                                   concat(weights), backend_->rank());
        if (weights != 0 && (from.type == element_type::i32 || from.type == element_type::i64))
            detail::throw_argument(function, "row_weights", "none with integer rows",
                                   concat(weights), backend_->rank());
    }

    /// What the backward pass of combine asks beside what its flow does.
    void check_combine_backward(std::string_view function, const exchange_plan& plan,
                                const_token_rows forward, std::string_view forward_name,
                                const_token_rows gradient, std::string_view gradient_name,
                                std::size_t row_weights, std::size_t grad_weights) const {
        using detail::concat;
        check_plan(function, plan);
        check_rows(function, forward_name, forward, plan.expert_row_count());
        if (forward.row_bytes != gradient.row_bytes || forward.type != gradient.type)
            detail::throw_argument(function, forward_name,
                                   concat(shape(gradient), " as ", gradient_name), shape(forward),
                                   backend_->rank());
        if (row_weights != plan.expert_row_count())
            detail::throw_argument(function, "row_weights",
                                   concat("R = ", plan.expert_row_count(), " weights"),
                                   concat(row_weights), backend_->rank());
        check_pairs(function, "grad_weights", plan, grad_weights);
    }

    template <class Weight>
    void run(std::string_view function, const exchange_plan& plan, const flow& moved,
             const_token_rows from, std::string_view from_name, token_rows to,
             std::string_view to_name, std::span<const Weight> weights) {
        const flow* const flows[] = {&moved};
        agree_on(function, flows, from.type, from.row_bytes, [&] {
            check_exchange(function, plan, moved, from, from_name, to, to_name, weights.size());
            detail::check_flow(plan, function, moved, from.rows, to.rows, false);
        });
        transport(moved, from, to, weights);
    }

    /// A number for each expert row to the (token, slot) of its pair: [R] -> [T, k], 0 where a pair
    /// was dropped.
    template <class Real>
    void return_weights(const exchange_plan& plan, const std::vector<Real>& rows,
                        std::vector<Real>& weights) {
        std::vector<Real> pairs(plan.pair_count());
        transport(plan.pair_combine, as_token_rows(column(rows)), as_token_rows(column(pairs)),
                  std::span<const Real>{});
        for (Real& w : weights) w = Real(0);
        for (std::size_t i = 0; i < pairs.size(); ++i)
            weights[static_cast<std::size_t>(plan.pair_slots[i])] = pairs[i];
    }

    /// Runs any flow, all of its phases at once as far as their needs allow.
    template <class Weight>
    void transport(const flow& moved, const_token_rows from, token_rows to,
                   std::span<const Weight> weights) {
        exchange([&] {
            const auto flights = use_flights(1);
            flights[0].begin(*backend_, kernels_, moved, from, !weights.empty());
            flights[0].post(moved.phases.size(), weights);
            flights[0].deliver(weights, to);
        });
    }

    /// Flights for one call, which gives up on its way out what an error left under way: no
    /// transfer may outlive the backend, nor the memory of its rows.
    class flights_in_use {
      public:
        explicit flights_in_use(std::span<flight> flights) : flights_(flights) {}
        flights_in_use(const flights_in_use&) = delete;
        flights_in_use& operator=(const flights_in_use&) = delete;
        ~flights_in_use() {
            for (flight& f : flights_) f.drop();
        }
        flight& operator[](std::size_t i) const { return flights_[i]; }

      private:
        std::span<flight> flights_;
    };

    flights_in_use use_flights(std::size_t count) {
        if (flights_.size() < count) flights_.resize(count);
        return flights_in_use(std::span(flights_).first(count));
    }

    Backend* backend_;
    topology nodes_;
    expert_placement placement_;
    Kernels kernels_;
    std::vector<flight> flights_;
};

}  // namespace locmoe
