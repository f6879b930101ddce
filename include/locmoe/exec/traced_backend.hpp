#pragma once

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "locmoe/core/error.hpp"
#include "locmoe/exec/backend.hpp"
#include "locmoe/exec/exchange_trace.hpp"
#include "locmoe/plan/flow.hpp"

namespace locmoe::inline v0 {

/// Another backend, and a note of what this rank does on it and when. Give the executor this one,
/// and say by `run` what each call is:
///
///     traced_backend traced(backend);
///     executor ex(traced, nodes, placement);
///     traced.run("dispatch", [&] { ex.dispatch(plan, x, rows); }, {&plan.dispatch});
///     const auto traces = gather_traces(traced, traced.trace());
///
/// A transfer is ready to be packed once the rank's last call to the backend has ended: in between
/// the executor does nothing but make rows. Times are the backend's own where it has a clock,
/// `now()`, as simulated_backend does; else std::chrono::steady_clock's, from when the ranks met in
/// the constructor, so that clocks of several machines agree to about a message's latency.
template <exchange_backend Backend>
class traced_backend {
  public:
    /// The other backend's transfer, and where it stands in the trace.
    class transfer {
      private:
        friend traced_backend;
        typename Backend::transfer inner_;
        std::size_t span_ = 0;
        std::size_t number_ = 0;
        bool noted_ = false;
    };

    /// Collective. The backend outlives it.
    explicit traced_backend(Backend& backend) : backend_(&backend) {
        backend.agree("");
        start_ = clock_now();
        free_since_ = now();
    }
    traced_backend(const traced_backend&) = delete;
    traced_backend& operator=(const traced_backend&) = delete;

    /// The other backend.
    Backend& inner() noexcept { return *backend_; }
    /// What has been noted so far.
    const exchange_trace& trace() const noexcept { return trace_; }

    /// Whether it notes anything from here on; it does at first. Not within `run`.
    void record(bool on) noexcept { recording_ = on; }

    /// Does the work, and notes it as a span of that name. Transfers take their names from the
    /// phases of the flows, one after the other; without a flow, or beyond, they get a number.
    /// A `run` within another's work is a span of its own.
    template <class Work>
    void run(std::string_view name, Work&& work, std::initializer_list<const flow*> flows = {}) {
        if (!recording_) return work();
        std::vector<std::string> names;
        for (const flow* moved : flows)
            for (const phase& p : moved->phases) names.push_back(p.name);
        const std::size_t number = trace_.spans.size();
        trace_.spans.push_back({std::string(name), now(), 0, {}});
        const std::size_t outer = std::exchange(span_, number + 1);
        std::swap(names, names_);
        struct ending {
            traced_backend& traced;
            std::size_t number, outer;
            std::vector<std::string>& names;
            ~ending() {
                traced.trace_.spans[number].end = traced.now();
                traced.span_ = outer;
                std::swap(names, traced.names_);
            }
        } at_the_end{*this, number, outer, names};
        free_since_ = now();
        work();
    }

    /// The other backend's.
    rank_id rank() const { return std::as_const(*backend_).rank(); }
    /// The other backend's.
    std::size_t rank_count() const { return std::as_const(*backend_).rank_count(); }

    /// Notes a transfer of the span under way; outside of `run` it only passes on.
    transfer start(std::span<const send_block> sends, std::span<const receive_block> receives,
                   std::span<const receive_block> paced = {}, std::size_t window = 0) {
        transfer started;
        if (!recording_ || span_ == 0) {
            started.inner_ = backend_->start(sends, receives, paced, window);
            return started;
        }
        traced_transfer note;
        note.times.ready = free_since_;
        note.messages_out = static_cast<std::int64_t>(sends.size());
        note.messages_in = static_cast<std::int64_t>(receives.size() + paced.size());
        for (const send_block& s : sends) note.bytes_out += static_cast<std::int64_t>(s.bytes);
        for (const auto blocks : {receives, paced})
            for (const receive_block& r : blocks)
                note.bytes_in += static_cast<std::int64_t>(r.bytes);
        started.inner_ = backend_->start(sends, receives, paced, window);
        note.times.posted = note.times.done = free_since_ = now();

        auto& transfers = trace_.spans[span_ - 1].transfers;
        started.span_ = span_ - 1;
        started.number_ = transfers.size();
        started.noted_ = true;
        note.name = started.number_ < names_.size()
                        ? names_[started.number_]
                        : detail::concat("transfer ", started.number_ + 1);
        transfers.push_back(std::move(note));
        return started;
    }

    /// Notes when the transfer was over.
    void wait(transfer& started) {
        backend_->wait(started.inner_);
        if (!recording_) return;
        free_since_ = now();
        if (started.noted_)
            trace_.spans[started.span_].transfers[started.number_].times.done = free_since_;
    }

    /// Passes on, and notes nothing: but what is packed next begins after it.
    std::vector<message> exchange_messages(std::vector<message> messages) {
        auto received = backend_->exchange_messages(std::move(messages));
        if (recording_) free_since_ = now();
        return received;
    }

    /// Passes on, like `exchange_messages`.
    count_scan scan_counts(std::span<const std::int64_t> counts) {
        auto scan = backend_->scan_counts(counts);
        if (recording_) free_since_ = now();
        return scan;
    }

    /// Passes on, like `exchange_messages`.
    std::uint64_t agree(std::string_view failure, std::uint64_t number = 0) {
        const std::uint64_t sum = backend_->agree(failure, number);
        if (recording_) free_since_ = now();
        return sum;
    }

    /// Only passes on.
    void abandon(std::string_view words) { backend_->abandon(words); }

  private:
    double clock_now() const {
        if constexpr (requires { { backend_->now() } -> std::convertible_to<double>; })
            return backend_->now();
        else
            return std::chrono::duration<double>(
                       std::chrono::steady_clock::now().time_since_epoch())
                .count();
    }
    double now() const { return clock_now() - start_; }

    Backend* backend_;
    double start_ = 0;
    double free_since_ = 0;  // this rank's last call to the backend ended
    bool recording_ = true;
    std::size_t span_ = 0;            // the one under way, plus 1; 0: none
    std::vector<std::string> names_;  // of its transfers
    exchange_trace trace_;
};

}  // namespace locmoe
