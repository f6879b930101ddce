#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <span>
#include <utility>
#include <vector>

#include "locmoe/core/error.hpp"
#include "locmoe/core/matrix_view.hpp"
#include "locmoe/core/token_rows.hpp"
#include "locmoe/exec/backend.hpp"
#include "locmoe/exec/detail/agreed.hpp"
#include "locmoe/exec/verify_agreement.hpp"
#include "locmoe/plan/exchange_plan.hpp"
#include "locmoe/plan/split.hpp"
#include "locmoe/plan/validate.hpp"
#include "locmoe/tensor/tensor_traits.hpp"

namespace locmoe::inline v0 {

/// What an expert function is told of the rows that it gets.
struct pipeline_chunk {
    std::size_t number = 0;     ///< 0 to chunks - 1, in this order
    std::size_t first_row = 0;  ///< where the chunk's R_c rows start among the R
    const exchange_plan& plan;  ///< of this chunk: its `expert_first` says whose the R_c rows are
};

/// The way of a layer's tokens to their experts and back, in chunks that overlap: while this rank's
/// experts compute one chunk, later ones are on their way to them and earlier ones on their way
/// home, one chunk between nodes while another is inside them. Made by `executor::pipeline`, for
/// one plan and any number of tensors; results are those of the executor's calls without chunks, to
/// the bit, where an expert treats each row by itself.
///
/// Each chunk holds a range of every rank's tokens. Expert rows, of which there are R, lie chunk by
/// chunk, and within a chunk as in any plan; so a chunk is a slice of each tensor [R, d]. An expert
/// function is called once for each chunk on every rank, with no rows where there are none:
///
///     // in, out: [R_c, d]
///     expert(const pipeline_chunk& chunk, matrix_view<const E> in, matrix_view<E> out)
///
/// If it throws, it is not called again, the exchange goes on, so that no rank waits in vain, and
/// in the end its exception is thrown on this rank; other ranks get the rows as they were then.
///
/// The schedule is the same on all ranks, whatever they hold: in tick t, chunk t - s takes step s.
/// Its steps are the legs of dispatch (phases that can be under way together), the experts, the
/// legs of combine. Every step is posted before the experts compute, dispatch before combine, and
/// is waited for in the next tick. All member functions but the readers are collective.
template <class Executor>
class pipeline {
  public:
    /// Cuts `whole` into chunks and has all ranks agree on them; see `executor::pipeline`.
    pipeline(Executor& executor, exchange_plan whole, std::size_t chunks)
        : executor_(&executor), whole_(std::move(whole)) {
        executor.agree_on_plan("pipeline", whole_, [&] {
            detail::check_chunks(chunks);
            validate(whole_);
        }, chunks);
        find_legs();
        cut(chunks);
        first_row_.assign(1, 0);
        for (const plan_chunk& c : chunks_)
            first_row_.push_back(first_row_.back() + c.expert_rows.size());
    }

    /// The plan that was cut.
    const exchange_plan& whole() const { return whole_; }
    /// How many chunks, those without a token included.
    std::size_t chunk_count() const { return chunks_.size(); }
    /// Chunk `number`, 0 to chunk_count() - 1, which is not checked.
    const plan_chunk& chunk(std::size_t number) const { return chunks_[number]; }

    /// Where the rows of a chunk start among the R; of `chunk_count()`, where they end.
    std::size_t first_row(std::size_t number) const { return first_row_[number]; }

    /// Gate weights to where the expert rows are: weights [T, k] -> [R], chunk by chunk.
    template <class Real>
    std::vector<Real> dispatch_weights(const std::vector<Real>& weights) {
        const std::vector<Real> rows = executor_->dispatch_weights(whole_, weights);
        std::vector<Real> own;
        own.reserve(rows.size());
        for (const plan_chunk& c : chunks_)
            for (const row_index r : c.expert_rows)
                own.push_back(rows[static_cast<std::size_t>(r)]);
        return own;
    }

    /// Dispatch, the experts, combine: tokens [T, d] -> expert_inputs [R, d], by `expert` ->
    /// expert_outputs [R, d'], with row_weights [R] (empty: all 1) -> results [T, d']; all
    /// overwritten. Throws what the executor's dispatch and combine throw, before anything is sent.
    template <class Tokens, class ExpertInputs, class Expert, class ExpertOutputs, class Real,
              class Results>
    void forward(const Tokens& tokens, ExpertInputs&& expert_inputs, Expert&& expert,
                 ExpertOutputs&& expert_outputs, const std::vector<Real>& row_weights,
                 Results&& results) {
        const auto from = as_token_rows(view_of(tokens));
        const auto inputs = writable_view_of(expert_inputs);
        const auto outputs = writable_view_of(expert_outputs);
        const auto to = as_token_rows(writable_view_of(results));
        const common_value same[] = {type_and_width(from), type_and_width(as_token_rows(outputs))};
        detail::agreed(executor_->backend(), "forward", same, [&] {
            executor_->check_exchange("forward", whole_, whole_.dispatch, from, "tokens",
                                      as_token_rows(inputs), "expert_inputs", 0);
            executor_->check_exchange("forward", whole_, whole_.combine, as_token_rows(outputs),
                                      "expert_outputs", to, "results", row_weights.size());
        });
        std::exception_ptr failure;
        executor_->exchange([&] {
            run(from, as_token_rows(inputs), as_token_rows(outputs), to,
                std::span<const Real>(row_weights),
                [&](std::size_t c) { call(expert, c, inputs, outputs, failure); });
        });
        if (failure) std::rethrow_exception(failure);
    }

    /// The backward pass of `forward`: grad_results [T, d'], and its expert_outputs [R, d'] and
    /// row_weights [R] -> grad_outputs [R, d'], by `expert`, which goes from gradients of a chunk's
    /// outputs to those of its inputs, -> grad_inputs [R, d] -> grad_tokens [T, d], and
    /// grad_weights [T, k], 0 where a pair was dropped; all overwritten. Throws what the executor's
    /// combine_backward and dispatch_backward throw, before anything is sent.
    template <class GradResults, class ExpertOutputs, class Real, class GradOutputs, class Expert,
              class GradInputs, class GradTokens>
    void backward(const GradResults& grad_results, const ExpertOutputs& expert_outputs,
                  const std::vector<Real>& row_weights, GradOutputs&& grad_outputs, Expert&& expert,
                  GradInputs&& grad_inputs, GradTokens&& grad_tokens,
                  std::vector<Real>& grad_weights) {
        const auto from = as_token_rows(view_of(grad_results));
        const auto outputs = as_token_rows(view_of(expert_outputs));
        const auto arriving = writable_view_of(grad_outputs);
        const auto leaving = writable_view_of(grad_inputs);
        const auto to = as_token_rows(writable_view_of(grad_tokens));
        const common_value same[] = {type_and_width(from), type_and_width(as_token_rows(leaving)),
                                     {"weight type", sizeof(Real)}};
        detail::agreed(executor_->backend(), "backward", same, [&] {
            executor_->check_exchange("backward", whole_, whole_.dispatch, from, "grad_results",
                                      as_token_rows(arriving), "grad_outputs", 0);
            executor_->check_combine_backward("backward", whole_, outputs, "expert_outputs",
                                              as_token_rows(arriving), "grad_outputs",
                                              row_weights.size(), grad_weights.size());
            executor_->check_exchange("backward", whole_, whole_.combine, as_token_rows(leaving),
                                      "grad_inputs", to, "grad_tokens", 0);
        });
        std::vector<Real> dots;
        std::exception_ptr failure;
        const auto compute = [&](std::size_t c) {
            const token_rows gradient = slice(as_token_rows(arriving), c);
            executor_->kernels_.dot(gradient, slice(outputs, c), slice(std::span<Real>(dots), c));
            executor_->kernels_.scale(gradient, slice(std::span<const Real>(row_weights), c),
                                      gradient);
            call(expert, c, arriving, leaving, failure);
        };
        executor_->exchange([&] {
            dots.resize(row_weights.size());
            run(from, as_token_rows(arriving), as_token_rows(leaving), to,
                std::span<const Real>{}, compute);
            std::vector<Real> rows(dots.size());
            for (std::size_t c = 0, i = 0; c < chunks_.size(); ++c)
                for (const row_index r : chunks_[c].expert_rows)
                    rows[static_cast<std::size_t>(r)] = dots[i++];
            executor_->return_weights(whole_, rows, grad_weights);
        });
        if (failure) std::rethrow_exception(failure);
    }

  private:
    std::size_t rows_of(std::size_t c) const { return first_row_[c + 1] - first_row_[c]; }

    template <class E>
    matrix_view<E> slice(matrix_view<E> all, std::size_t c) const {
        return {all.data + first_row_[c] * all.row_stride, rows_of(c), all.cols, all.row_stride};
    }
    template <class Byte>
    basic_token_rows<Byte> slice(basic_token_rows<Byte> all, std::size_t c) const {
        return slice(all, first_row_[c], rows_of(c));
    }
    template <class Byte>
    static basic_token_rows<Byte> slice(basic_token_rows<Byte> all, std::size_t first,
                                        std::size_t rows) {
        return {all.row(first), rows, all.row_bytes, all.row_stride, all.type};
    }
    template <class Real>
    std::span<Real> slice(std::span<Real> all, std::size_t c) const {
        return all.empty() ? all : all.subspan(first_row_[c], rows_of(c));
    }

    template <class Expert, class In, class Out>
    void call(Expert& expert, std::size_t c, matrix_view<In> in, matrix_view<Out> out,
              std::exception_ptr& failure) const {
        if (failure) return;
        try {
            expert(pipeline_chunk{c, first_row_[c], chunks_[c].plan},
                   slice(matrix_view<const In>(in), c), slice(out, c));
        } catch (...) {
            failure = std::current_exception();
        }
    }

    static common_value type_and_width(const_token_rows rows) {
        return {"element type or row width", fingerprint()
                                                 .add(static_cast<std::uint64_t>(rows.type))
                                                 .add(rows.row_bytes)
                                                 .value()};
    }

    /// Ranks tell those that they send rows to which chunk a row is of; then each cuts its plan,
    /// and the chunks are checked, once and for all, as the executor checks every exchange.
    void cut(std::size_t chunks) {
        const auto tokens = as_numbers(chunk_of_tokens(whole_.token_count, chunks));
        const auto pairs = as_numbers(chunk_of_pairs(whole_, chunks));
        auto staged_rows = unknown(whole_.dispatch), staged_pairs = unknown(whole_.pair_dispatch);
        std::vector<chunk_sum> staged_results, staged_pair_results;
        if (!is_mirrored(whole_)) {
            staged_results = unknown(whole_.combine);
            staged_pair_results = unknown(whole_.pair_combine);
        }
        if (chunks > 1) {
            carry(whole_.dispatch, tokens, staged_rows);
            carry(whole_.pair_dispatch, pairs, staged_pairs);
            if (!is_mirrored(whole_)) {
                carry(whole_.combine, at_expert(whole_.dispatch, tokens, staged_rows),
                      staged_results);
                carry(whole_.pair_combine, at_expert(whole_.pair_dispatch, pairs, staged_pairs),
                      staged_pair_results);
            }
        }
        detail::attempt tried;
        std::vector<const flow*> flows;
        tried([&] {
            chunks_ = split(whole_, chunks, as_chunks(staged_rows), as_chunks(staged_pairs),
                            as_chunks(staged_results), as_chunks(staged_pair_results));
            for (const plan_chunk& c : chunks_) {
                const std::size_t rows = c.plan.expert_row_count();
                detail::check_flow(c.plan, "dispatch", c.plan.dispatch, c.plan.token_count, rows,
                                   true);
                detail::check_flow(c.plan, "combine", c.plan.combine, rows, c.plan.token_count,
                                   false);
                flows.push_back(&c.plan.dispatch);
                flows.push_back(&c.plan.combine);
            }
        });
        executor_->agree_on("pipeline", flows, element_type::i64, sizeof(chunk_sum), [&] {
            if (tried.failed()) tried.rethrow();
        });
    }

    /// A leg ends before a phase that needs one of its phases, on any rank: so all ranks post the
    /// same phases in each tick.
    void find_legs() {
        std::vector<std::int64_t> needed;
        for (const flow* moved : {&whole_.dispatch, &whole_.combine})
            for (std::size_t p = 0; p < moved->phases.size(); ++p)
                for (std::size_t q = 0; q < p; ++q)
                    needed.push_back(moved->phases[p].needs > q ? 1 : 0);
        if (!needed.empty()) needed = executor_->backend().scan_counts(needed).total;
        std::size_t next = 0;
        const auto legs = [&](const flow& moved) {
            std::vector<std::size_t> first;
            for (std::size_t p = 0; p < moved.phases.size(); ++p) {
                std::size_t needs = 0;
                for (std::size_t q = 0; q < p; ++q)
                    if (needed[next++] > 0) needs = q + 1;
                if (first.empty() || needs > first.back()) first.push_back(p);
            }
            first.push_back(moved.phases.size());
            return first;
        };
        dispatch_legs_ = legs(whole_.dispatch);
        combine_legs_ = legs(whole_.combine);
    }

    /// The chunk of a row, and 2^32 for the row itself: where m rows of a chunk are added up, m
    /// times both.
    using chunk_sum = std::int64_t;
    static constexpr chunk_sum one_row = chunk_sum{1} << 32;

    static std::vector<chunk_sum> as_numbers(const std::vector<std::int32_t>& chunks) {
        std::vector<chunk_sum> numbers;
        numbers.reserve(chunks.size());
        for (const std::int32_t c : chunks) numbers.push_back(one_row + c);
        return numbers;
    }
    static std::vector<std::int32_t> as_chunks(const std::vector<chunk_sum>& numbers) {
        std::vector<std::int32_t> chunks;
        chunks.reserve(numbers.size());
        for (const chunk_sum n : numbers)
            chunks.push_back(
                static_cast<std::int32_t>(n < one_row ? 0 : n % one_row / (n / one_row)));
        return chunks;
    }

    static std::vector<chunk_sum> unknown(const flow& moved) {
        return std::vector<chunk_sum>(static_cast<std::size_t>(moved.staging_rows), 0);
    }

    /// What lies in this rank's staging where all ranks send `numbers` through the flow.
    void carry(const flow& moved, const std::vector<chunk_sum>& numbers,
               std::vector<chunk_sum>& staged) {
        executor_->exchange([&] {
            const auto flights = executor_->use_flights(1);
            flights[0].begin(executor_->backend(), executor_->kernels_, moved,
                             as_token_rows(executor_->column(numbers)), false);
            flights[0].post(moved.phases.size(), std::span<const float>{});
            flights[0].arrive(moved.phases.size());
            const const_token_rows rows = flights[0].staging();
            for (std::size_t i = 0; i < staged.size(); ++i)
                std::memcpy(&staged[i], rows.row(i), sizeof(chunk_sum));
        });
    }

    /// The number that each expert row has after `carry`.
    static std::vector<chunk_sum> at_expert(const flow& moved,
                                            const std::vector<chunk_sum>& sources,
                                            const std::vector<chunk_sum>& staged) {
        std::vector<chunk_sum> numbers;
        numbers.reserve(moved.deliver.from.size());
        for (const row_index r : moved.deliver.from) {
            const auto i = static_cast<std::size_t>(r);
            if (r < 0)  // an empty row of a padded plan, which `split` refuses
                numbers.push_back(0);
            else
                numbers.push_back(i < sources.size() ? sources[i] : staged[i - sources.size()]);
        }
        return numbers;
    }

    /// The schedule. `leaving` is written by `compute(c)` out of what has come to `arriving`.
    template <class Weight, class Compute>
    void run(const_token_rows from, token_rows arriving, const_token_rows leaving, token_rows to,
             std::span<const Weight> weights, Compute&& compute) {
        const std::size_t out = dispatch_legs_.size() - 1;
        const std::size_t home = combine_legs_.size() - 1;
        const auto flights = executor_->use_flights(out + home + 2);
        const auto outbound = [&](std::size_t c) -> auto& { return flights[c % (out + 1)]; };
        const auto inbound = [&](std::size_t c) -> auto& {
            return flights[out + 1 + c % (home + 1)];
        };
        const std::span<const Weight> unweighted;
        for (std::size_t tick = 0; tick <= chunks_.size() + out + home; ++tick) {
            // The work of the chunks at step `first` + leg, for legs up to `last`, the last one
            // first.
            const auto at_legs = [&](std::size_t first, std::size_t last, auto&& work) {
                for (std::size_t leg = last + 1; leg-- > 0;)
                    if (first + leg <= tick && tick - first - leg < chunks_.size())
                        work(leg, tick - first - leg);
            };
            at_legs(0, out, [&](std::size_t leg, std::size_t c) {
                if (leg > 0) outbound(c).arrive(dispatch_legs_[leg]);
            });
            at_legs(0, out, [&](std::size_t leg, std::size_t c) {
                const plan_chunk& chunk = chunks_[c];
                if (leg == 0)
                    outbound(c).begin(
                        executor_->backend(), executor_->kernels_, chunk.plan.dispatch,
                        slice(from, chunk.first_token, chunk.plan.token_count), false);
                if (leg < out) outbound(c).post(dispatch_legs_[leg + 1], unweighted);
            });
            at_legs(out + 1, home, [&](std::size_t leg, std::size_t c) {
                if (leg > 0) inbound(c).arrive(combine_legs_[leg]);
            });
            at_legs(out + 1, home, [&](std::size_t leg, std::size_t c) {
                if (leg == 0)
                    inbound(c).begin(executor_->backend(), executor_->kernels_,
                                     chunks_[c].plan.combine, slice(leaving, c), !weights.empty());
                if (leg < home) inbound(c).post(combine_legs_[leg + 1], slice(weights, c));
            });
            // Rows are made of what has come in when all messages of the tick are on their way.
            at_legs(out, 0, [&](std::size_t, std::size_t c) {
                outbound(c).deliver(unweighted, slice(arriving, c));
            });
            at_legs(out + 1 + home, 0, [&](std::size_t, std::size_t c) {
                const plan_chunk& chunk = chunks_[c];
                inbound(c).deliver(slice(weights, c),
                                   slice(to, chunk.first_token, chunk.plan.token_count));
            });
            at_legs(out, 0, [&](std::size_t, std::size_t c) { compute(c); });
        }
    }

    Executor* executor_;
    exchange_plan whole_;
    std::vector<plan_chunk> chunks_;
    std::vector<std::size_t> first_row_;  // [chunks + 1]
    std::vector<std::size_t> dispatch_legs_;  // [legs + 1]: where each starts among the phases
    std::vector<std::size_t> combine_legs_;
};

}  // namespace locmoe
