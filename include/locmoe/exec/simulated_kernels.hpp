#pragma once

#include <cstddef>
#include <span>

#include "locmoe/core/token_rows.hpp"
#include "locmoe/exec/host_kernels.hpp"
#include "locmoe/exec/row_kernels.hpp"
#include "locmoe/exec/simulated.hpp"

namespace locmoe::inline v0 {

/// The host's kernels, with the time that they would take on the simulated cluster put on the
/// rank's clock: the bytes of the rows that are read, at `pack_bandwidth`. An executor with these
/// over a simulated_backend takes as long as `simulate` says.
class simulated_kernels {
  public:
    /// `backend` is this rank's, and outlives them.
    explicit simulated_kernels(simulated_backend& backend) : backend_(&backend) {}

    /// Takes the time of one row for each of the range, empty rows too.
    void gather(const row_space& space, const row_sums& rows, row_range range,
                token_rows to) const {
        host_.gather(space, rows, range, to);
        read(range.end - range.begin, to.row_bytes);
    }

    /// Takes the time of all sources of the range.
    template <class Weight>
    void sum(const row_space& space, const row_sums& rows, row_range range,
             std::span<const Weight> weights, token_rows to) const {
        host_.sum(space, rows, range, weights, to);
        read(rows.is_gather()
                 ? range.end - range.begin
                 : static_cast<std::size_t>(rows.first[range.end] - rows.first[range.begin]),
             to.row_bytes);
    }

    /// Takes the time of all rows of `in`.
    template <class Weight>
    void scale(const_token_rows in, std::span<const Weight> weights, token_rows to) const {
        host_.scale(in, weights, to);
        read(in.rows, in.row_bytes);
    }

    /// Takes the time of all rows of both.
    template <class Result>
    void dot(const_token_rows a, const_token_rows b, std::span<Result> dots) const {
        host_.dot(a, b, dots);
        read(a.rows + b.rows, a.row_bytes);
    }

  private:
    void read(std::size_t rows, std::size_t row_bytes) const {
        backend_->advance(static_cast<double>(rows) * static_cast<double>(row_bytes) /
                          backend_->costs().pack_bandwidth);
    }

    simulated_backend* backend_;
    host_kernels host_;
};

}  // namespace locmoe
