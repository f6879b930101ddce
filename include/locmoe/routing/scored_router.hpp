#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "locmoe/core/detail/reused.hpp"
#include "locmoe/core/error.hpp"
#include "locmoe/core/matrix_view.hpp"
#include "locmoe/core/parallel.hpp"
#include "locmoe/routing/auxiliary_loss.hpp"
#include "locmoe/routing/detail/check.hpp"
#include "locmoe/routing/locality_loss.hpp"
#include "locmoe/routing/router_policy.hpp"
#include "locmoe/routing/routing.hpp"
#include "locmoe/routing/score_function.hpp"
#include "locmoe/tensor/tensor_traits.hpp"

namespace locmoe::inline v0 {

/// Which token a choice is made for. `scratch` `[3 n + 16]` and `experts`
/// `[n]` are working memory, of no particular content.
template <class Real>
struct token_place {
    const route_context& where;    ///< the batch
    std::size_t token;             ///< row of the rank's tokens, from 0
    std::span<Real> scratch;       ///< 3 n + 16 numbers
    std::span<expert_id> experts;  ///< n ids

    /// The row in the global batch, which noise and draws follow.
    std::uint64_t global_token() const { return where.first_token + token; }
};

/// What a choice looks at: the logits, or the scores that a score function made of them.
enum class choice_input : std::uint8_t {
    logits,  ///< before the score function
    scores   ///< after it
};

/// Makes weights of the scores of a token's chosen experts, and takes their gradient back to the
/// scores. `weighting` is one.
template <class Rule, class Real>
concept weight_rule = requires(const Rule& rule, std::span<const Real> read,
                               std::span<Real> written, std::span<const expert_id> chosen) {
    { rule.weigh(read, chosen, written) } -> std::same_as<void>;
    { rule.weigh_backward(read, chosen, read, written) } -> std::same_as<void>;
};

/// Chooses `choice_count()` experts for one token from its logits or scores `[n]`, as its `input`
/// says. May leave slots `no_expert`. One with a member `restrict_to(row, place)` may first mask
/// logits with minus infinity.
template <class Choice, class Real>
concept row_choice = weight_rule<Choice, Real> &&
    requires(const Choice& choice, std::span<const Real> row, const token_place<Real>& place,
             std::span<expert_id> chosen) {
    { Choice::input } -> std::convertible_to<choice_input>;
    { choice.choice_count() } -> std::convertible_to<std::size_t>;
    { choice.choose(row, place, chosen) } -> std::same_as<void>;
};

/// Chooses for all of a rank's tokens at once, from logits or scores `[T, n]`; writes
/// `choice_count` and `chosen` of the routing.
template <class Choice, class Real>
concept batch_choice = weight_rule<Choice, Real> &&
    requires(const Choice& choice, matrix_view<const Real> table, const route_context& where,
             basic_routing<Real>& decided) {
    { Choice::input } -> std::convertible_to<choice_input>;
    { choice.choose(table, where, decided) } -> std::same_as<void>;
};

/// The losses that a router adds of its own accord.
struct own_loss_options {
    auxiliary_options auxiliary = {};       ///< alpha = 0: none
    locality_options locality = {.mu = 0};  ///< mu = 0: none
};

/// What nearly every learned router is: a gate's logits, a score of each, a choice among them, and
/// weights made of the chosen scores. The policies differ in these parts alone. A gate or a choice
/// that depends on more than the tokens (noise, placement) has a member `at(where)` that gives the
/// part to use there.
template <class Gate, class Score, class Choice>
class scored_router {
  public:
    using real = typename Gate::real;  ///< the gate's

    /// Throws argument_error unless 1 <= k <= n, where the choice has a k, and where an option of
    /// the losses is out of its range.
    explicit scored_router(Gate gate, Choice choice, own_loss_options losses = {}, Score score = {})
        : gate_(std::move(gate)),
          score_(std::move(score)),
          choice_(std::move(choice)),
          auxiliary_(losses.auxiliary),
          locality_(losses.locality.mu == 0 ? std::nullopt
                                            : std::optional<locality_loss>(losses.locality)) {
        if constexpr (requires { choice_.choice_count(); })
            if (choice_.choice_count() == 0 || choice_.choice_count() > expert_count())
                detail::throw_argument("router", "k",
                                       detail::concat("1 to n = ", expert_count(), " choices"),
                                       detail::concat(choice_.choice_count()));
    }

    std::size_t expert_count() const noexcept { return gate_.expert_count(); }  ///< n
    const Gate& gate() const noexcept { return gate_; }        ///< as given
    const Choice& choice() const noexcept { return choice_; }  ///< as given
    Choice& choice() noexcept { return choice_; }              ///< may be changed between batches

    /// Tokens `[T, d]`. `probabilities` of the result are the scores `[T, n]`. Throws
    /// argument_error where shapes or placement do not fit the gate, or a logit is not finite.
    template <class Tensor>
    basic_routing<real> route(const Tensor& tokens, const route_context& where) const {
        basic_routing<real> decided;
        route_into(tokens, where, decided);
        return decided;
    }

    /// The same into an earlier batch's routing, whose memory is used again: for large T n, fresh
    /// pages cost as much as the softmax. Where it throws, `decided` is of no use. `threads` share
    /// the tokens where gate and choice look at each by itself.
    template <class Tensor, parallel Threads = const one_thread>
    void route_into(const Tensor& tokens, const route_context& where,
                    basic_routing<real>& decided, Threads& threads = detail::caller_alone) const {
        const auto view = view_of(tokens);
        begin(view, where, decided);
        decided.probabilities.resize(view.rows * expert_count());
        const matrix_view<real> table(decided.probabilities.data(), view.rows, expert_count());
        const auto& gate = part_at(gate_, where);
        const auto& rule = part_at(choice_, where);
        if constexpr (in_blocks<decltype(gate), decltype(rule), decltype(view)>) {
            route_blocks(gate, rule, view, where, decided, threads,
                         [&](std::size_t first, std::size_t rows) {
                             return rows_of(table, first, rows);
                         });
        } else {
            gate.forward(view, table);
            decide_all(rule, table, where, decided, threads);
        }
    }

    /// The same choices and weights without `probabilities`, for inference, where no loss asks for
    /// them: scores are kept for a few tokens at a time, if gate and choice work in blocks.
    template <class Tensor, parallel Threads = const one_thread>
    void choose_into(const Tensor& tokens, const route_context& where,
                     basic_routing<real>& decided, Threads& threads = detail::caller_alone) const {
        const auto view = view_of(tokens);
        begin(view, where, decided);
        const auto& gate = part_at(gate_, where);
        const auto& rule = part_at(choice_, where);
        if constexpr (in_blocks<decltype(gate), decltype(rule), decltype(view)>) {
            const std::size_t n = expert_count();
            route_blocks(gate, rule, view, where, decided, threads,
                         [&](std::size_t, std::size_t rows) {
                             const auto scores = detail::reused<real, scored_router>(rows * n);
                             return matrix_view<real>(scores.data(), rows, n);
                         });
        } else {
            route_into(tokens, where, decided, threads);
        }
        decided.probabilities.clear();
    }

    /// `load` `[n]`: `count_choices`, of this rank or summed over all.
    router_losses<real> losses(const basic_routing<real>& decided,
                               std::span<const std::int64_t> load,
                               const route_context& where) const {
        const auto mean = score_.mean(scores_of("losses", decided, where));
        router_losses<real> own;
        own.auxiliary = static_cast<real>(auxiliary_.value(mean, load, where.rank));
        if (locality_) own.locality = static_cast<real>(locality_->value(mean, where));
        return own;
    }

    /// Adds to `gradients.tokens` and, where the gate has weights, to `gradients.gate`. `tokens`,
    /// `decided`, `load` and `where` are those of `route` and `losses`, and the gate's weights have
    /// not changed since. The choice itself has no gradient; a token without any takes part in the
    /// router's own losses alone.
    template <class Tensor>
    void backward(const Tensor& tokens, const basic_routing<real>& decided,
                  std::span<const std::int64_t> load, const route_context& where,
                  const router_gradients<real>& gradients) const {
        const auto view = view_of(tokens);
        const std::size_t n = expert_count(), k = decided.choice_count;
        detail::check_context("backward", n, where);
        check_tokens(view, where);
        if constexpr (requires { gate_.check_gradient(gradients.gate, where.rank); })
            gate_.check_gradient(gradients.gate, where.rank);
        const auto scores = scores_of("backward", decided, where);
        const auto shape = [&](std::string_view name, const auto& matrix, std::size_t cols) {
            detail::check_shape("backward", name, matrix, decided.token_count, cols, where.rank);
        };
        shape("tokens", view, view.cols);
        shape("gradients.weights", gradients.weights, k);
        shape("gradients.tokens", gradients.tokens, view.cols);
        if (gradients.logits.data != nullptr) shape("gradients.logits", gradients.logits, n);

        const std::vector<real> own = own_gradient(scores, load, where, gradients.loss_scale);
        const auto& choice = part_at(choice_, where);
        std::vector<real> storage(view.rows * n);
        const matrix_view<real> grad(storage.data(), view.rows, n);
        for (std::size_t t = 0; t < view.rows; ++t) {
            const std::span<const real> row = scores.row(t);
            const std::span<const expert_id> chosen(decided.chosen.data() + t * k, k);
            check_chosen(chosen, t, where);
            score_.add_mean_gradient(row, std::span<const real>(own), grad.row(t));
            choice.weigh_backward(row, chosen, gradients.weights.row(t), grad.row(t));
            score_.backward(row, grad.row(t));
            if (gradients.logits.data != nullptr)
                for (std::size_t i = 0; i < n; ++i) grad(t, i) += gradients.logits(t, i);
        }
        part_at(gate_, where).backward(view, grad, gradients.tokens, gradients.gate);
    }

  private:
    template <class Part>
    static decltype(auto) part_at(const Part& part, const route_context& where) {
        if constexpr (requires { part.at(where); })
            return part.at(where);
        else
            return static_cast<const Part&>(part);
    }

    template <class View>
    void check_tokens(const View& view, const route_context& where) const {
        if constexpr (requires { gate_.check_columns(view.cols, where.rank); })
            if (view.rows != 0) gate_.check_columns(view.cols, where.rank);
    }

    // A gate that gives the logits of a few tokens at a time, `in_blocks(tokens).forward(first,
    // logits)`, and a choice that looks at one token: scores are then made and looked at while they
    // are in a cache.
    template <class GatePart, class Rule, class View>
    static constexpr bool in_blocks = row_choice<std::remove_cvref_t<Rule>, real> &&
        requires(const GatePart& gate, const View& view) { gate.in_blocks(view); };

    static matrix_view<real> rows_of(matrix_view<real> table, std::size_t first,
                                     std::size_t rows) {
        return {table.row(first).data(), rows, table.cols, table.row_stride};
    }

    // `table_of(first, rows)`: where the scores of so many tokens go.
    template <class GatePart, class Rule, class View, class Threads, class TableOf>
    void route_blocks(const GatePart& gate, const Rule& rule, const View& view,
                      const route_context& where, basic_routing<real>& decided, Threads& threads,
                      const TableOf& table_of) const {
        size_choices(rule.choice_count(), decided);
        if (view.rows == 0) return;
        const auto blocks = gate.in_blocks(view);
        const std::size_t most = blocks.rows_at_once();
        detail::for_ranges(threads, view.rows, most, [&](std::size_t begin, std::size_t end) {
            for (std::size_t t = begin; t < end; t += most) {
                const std::size_t rows = most < end - t ? most : end - t;
                const matrix_view<real> block = table_of(t, rows);
                blocks.forward(t, block);
                std::span<const std::byte> soon;
                if constexpr (requires { blocks.bytes_from(t); }) soon = blocks.bytes_from(t + rows);
                decide(rule, block, t, where, decided, soon);
            }
        });
    }

    template <class Rule, class Threads>
    void decide_all(const Rule& rule, matrix_view<real> table, const route_context& where,
                    basic_routing<real>& decided, [[maybe_unused]] Threads& threads) const {
        if constexpr (row_choice<Rule, real>) {
            size_choices(rule.choice_count(), decided);
            constexpr std::size_t grain = 64;
            detail::for_ranges(threads, table.rows, grain, [&](std::size_t begin, std::size_t end) {
                decide(rule, rows_of(table, begin, end - begin), begin, where, decided);
            });
        } else {
            decide_batch(rule, table, where, decided);
        }
    }

    template <class View>
    void begin(const View& view, const route_context& where, basic_routing<real>& decided) const {
        detail::check_context("route", expert_count(), where);
        check_tokens(view, where);
        decided.token_count = view.rows;
        decided.expert_count = expert_count();
    }

    static void size_choices(std::size_t k, basic_routing<real>& decided) {
        decided.choice_count = k;
        decided.chosen.resize(decided.token_count * k);
        decided.weights.resize(decided.token_count * k);
    }

    // For the tokens from `first` on, whose logits `table` holds; `soon` is to be read after that.
    template <class Rule>
    void decide(const Rule& rule, matrix_view<real> table, std::size_t first,
                const route_context& where, basic_routing<real>& decided,
                [[maybe_unused]] std::span<const std::byte> soon = {}) const {
        const std::size_t k = decided.choice_count, n = table.cols;
        expert_id* const chosen = decided.chosen.data() + first * k;
        real* const weights = decided.weights.data() + first * k;
        for (std::size_t t = 0; t < table.rows;) {
            std::size_t end = t;
            if constexpr (requires {
                              rule.choose_rows(score_, table, std::span(chosen, k), soon);
                          }) {
                const std::size_t rest = table.rows - t;
                end += rule.choose_rows(score_, rows_of(table, t, rest),
                                        {chosen + t * k, rest * k},
                                        t == 0 ? soon : std::span<const std::byte>{});
            }
            const auto weigh = [&](std::size_t token) {
                rule.weigh(std::span<const real>(table.row(token)),
                           std::span<const expert_id>(chosen + token * k, k),
                           std::span<real>(weights + token * k, k));
            };
            for (; t < end; ++t) weigh(t);
            constexpr std::size_t single = 8;  // before several at a time are tried again
            for (end = t + single; t < end && t < table.rows; ++t) {
                const auto scratch = detail::reused<real, scored_router*>(3 * n + 16);
                const auto experts = detail::reused<expert_id, scored_router*>(n);
                const std::span<real> row = table.row(t);
                const std::span<expert_id> slots(chosen + t * k, k);
                const token_place<real> place{where, first + t, scratch, experts};
                detail::check_logits<real>(row, first + t, where.rank);
                if constexpr (requires { rule.restrict_to(row, place); })
                    rule.restrict_to(row, place);
                if constexpr (Rule::input == choice_input::logits)
                    rule.choose(std::span<const real>(row), place, slots);
                score_.forward(row);
                if constexpr (Rule::input == choice_input::scores)
                    rule.choose(std::span<const real>(row), place, slots);
                weigh(t);
            }
        }
    }

    template <batch_choice<real> Rule>
    void decide_batch(const Rule& rule, matrix_view<real> table, const route_context& where,
                      basic_routing<real>& decided) const {
        for (std::size_t t = 0; t < table.rows; ++t)
            detail::check_logits<real>(table.row(t), t, where.rank);
        if constexpr (Rule::input == choice_input::logits)
            rule.choose(matrix_view<const real>(table), where, decided);
        for (std::size_t t = 0; t < table.rows; ++t) score_.forward(table.row(t));
        if constexpr (Rule::input == choice_input::scores)
            rule.choose(matrix_view<const real>(table), where, decided);
        const std::size_t k = decided.choice_count;
        decided.weights.resize(table.rows * k);
        for (std::size_t t = 0; t < table.rows; ++t)
            rule.weigh(std::span<const real>(table.row(t)),
                       std::span<const expert_id>(decided.chosen.data() + t * k, k),
                       std::span<real>(decided.weights.data() + t * k, k));
    }

    // The scores as [T, n], once `decided` has the shape that `route` gives it.
    matrix_view<const real> scores_of(std::string_view function, const basic_routing<real>& decided,
                                      const route_context& where) const {
        const auto check = [&](std::string_view what, std::size_t want, std::size_t got) {
            if (got != want)
                detail::throw_argument(function, detail::concat("decided.", what),
                                       detail::concat(want), detail::concat(got), where.rank);
        };
        const std::size_t rows = decided.token_count, n = expert_count();
        check("expert_count", n, decided.expert_count);
        if constexpr (requires { choice_.choice_count(); })
            check("choice_count", choice_.choice_count(), decided.choice_count);
        check("chosen.size()", rows * decided.choice_count, decided.chosen.size());
        check("weights.size()", rows * decided.choice_count, decided.weights.size());
        check("probabilities.size()", rows * n, decided.probabilities.size());
        return {decided.probabilities.data(), rows, n};
    }

    // d own losses / d a token's distribution [n]: the same for every token.
    std::vector<real> own_gradient(matrix_view<const real> scores,
                                   std::span<const std::int64_t> load, const route_context& where,
                                   real loss_scale) const {
        std::vector<double> grad_mean(expert_count(), 0.0);
        const auto scale = static_cast<double>(loss_scale);
        auxiliary_.add_gradient(load, scale, grad_mean, where.rank);
        if (locality_) locality_->add_gradient(score_.mean(scores), where, scale, grad_mean);
        std::vector<real> own(grad_mean.size());
        for (std::size_t i = 0; i < own.size() && scores.rows != 0; ++i)
            own[i] = static_cast<real>(grad_mean[i] / static_cast<double>(scores.rows));
        return own;
    }

    void check_chosen(std::span<const expert_id> chosen, std::size_t token,
                      const route_context& where) const {
        for (const expert_id e : chosen)
            if (e != no_expert && (e < 0 || static_cast<std::size_t>(e) >= expert_count()))
                detail::throw_argument("backward", detail::concat("expert of token ", token),
                                       detail::concat("0 to ", expert_count() - 1),
                                       detail::concat(e), where.rank);
    }

    Gate gate_;
    Score score_;
    Choice choice_;
    auxiliary_loss auxiliary_;
    std::optional<locality_loss> locality_;
};

}  // namespace locmoe
