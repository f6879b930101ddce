#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "locmoe/core/error.hpp"
#include "locmoe/core/token_rows.hpp"
#include "locmoe/exec/backend.hpp"
#include "locmoe/exec/detail/kept_memory.hpp"
#include "locmoe/exec/detail/phase_blocks.hpp"
#include "locmoe/exec/row_kernels.hpp"
#include "locmoe/plan/flow.hpp"

namespace locmoe::inline v0::detail {

/// One flow under way, advanced phase by phase by whoever holds it. Its packing and staging memory
/// is its own, grows to the largest flow and serves the next one.
template <exchange_backend Backend, row_kernels Kernels>
class flight {
  public:
    /// All of these stay as they are until the flow is delivered. `weighted`: rows are made by the
    /// kernels' `sum` even where they have one source and no weight, as sums differ from copies in
    /// the sign of a zero.
    void begin(Backend& backend, const Kernels& kernels, const flow& moved, const_token_rows from,
               bool weighted) {
        backend_ = &backend;
        kernels_ = &kernels;
        moved_ = &moved;
        weighted_ = weighted;
        drop();
        arrived_ = 0;
        packed_rows_ = 0;
        std::size_t rows = 0;
        for (const phase& p : moved.phases) rows += p.pack.rows();
        const auto staged = static_cast<std::size_t>(moved.staging_rows);
        grow(packed_, rows * from.row_bytes);
        grow(staging_, staged * from.row_bytes);
        space_ = {from, {staging_.data(), staged, from.row_bytes, from.row_bytes, from.type}};
    }

    /// Packs and posts the phases below `end` that have not been, each as soon as what it needs has
    /// come in.
    template <class Weight>
    void post(std::size_t end, std::span<const Weight> weights) {
        const std::size_t row_bytes = space_.sources.row_bytes;
        for (std::size_t p = transfers_.size(); p < end; ++p) {
            const phase& step = moved_->phases[p];
            arrive(step.needs);
            std::byte* out = packed_.data() + packed_rows_ * row_bytes;
            packed_rows_ += step.pack.rows();
            make_rows(step.pack, weights,
                      {out, step.pack.rows(), row_bytes, row_bytes, space_.sources.type});
            blocks_.list(step, row_bytes, out, staging_.data());
            transfers_.push_back(backend_->start(blocks_.sends, blocks_.receives, blocks_.paced,
                                                 blocks_.window));
        }
    }

    /// Waits for the phases below `end`, which have been posted. Where that fails, it says in
    /// which.
    void arrive(std::size_t end) {
        for (; arrived_ < end; ++arrived_) {
            try {
                backend_->wait(transfers_[arrived_]);
            } catch (const backend_error& e) {
                const std::string operation =
                    concat(e.operation(), " in phase ", arrived_, " (",
                           moved_->phases[arrived_].name, ")");
                const std::size_t before = std::string_view("locmoe: : ").size();
                throw backend_error(operation, e.code(), e.what() + before + e.operation().size());
            }
        }
    }

    /// The rows that have come in, as long as no other flow begins.
    const_token_rows staging() const { return space_.staging; }

    /// Waits for all phases, which have been posted, and makes the resulting rows.
    template <class Weight>
    void deliver(std::span<const Weight> weights, token_rows to) {
        arrive(transfers_.size());
        make_rows(moved_->deliver, weights, to);
        drop();
    }

    /// Gives up what is under way.
    void drop() {
        const bool under_way = arrived_ < transfers_.size();
        transfers_.clear();
        if (!under_way) return;
        keep_memory(std::exchange(packed_, {}));
        keep_memory(std::exchange(staging_, {}));
    }

  private:
    static void grow(std::vector<std::byte>& memory, std::size_t bytes) {
        if (memory.size() < bytes) memory.resize(bytes);
    }

    template <class Weight>
    void make_rows(const row_sums& rows, std::span<const Weight> weights, token_rows to) const {
        const row_range all{0, rows.rows()};
        if (to.row_bytes == 0) return;
        if (rows.is_gather() && !weighted_)
            kernels_->gather(space_, rows, all, to);
        else
            kernels_->sum(space_, rows, all, weights, to);
    }

    Backend* backend_ = nullptr;
    const Kernels* kernels_ = nullptr;
    const flow* moved_ = nullptr;
    bool weighted_ = false;
    row_space space_;
    std::size_t packed_rows_ = 0;
    std::size_t arrived_ = 0;
    std::vector<typename Backend::transfer> transfers_;  // one a phase posted
    std::vector<std::byte> packed_;
    std::vector<std::byte> staging_;
    phase_blocks blocks_;
};

}  // namespace locmoe::detail
