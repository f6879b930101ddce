#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <vector>

#include <mpi.h>

#include "locmoe/plan/exchange_plan.hpp"

namespace bench {

/// One row a pair by MPI_Alltoallv: what a user writes by hand. Where rows come from and go to is
/// taken from a plan of `direct`, so that both sides move the same.
class by_hand {
  public:
    by_hand(const locmoe::exchange_plan& plan, std::size_t cols) : plan_(plan), cols_(cols) {
        const locmoe::phase& all = plan.dispatch.phases.at(0);
        const auto ranks = plan.rank_count;
        for (auto* list : {&send_counts_, &send_at_, &receive_counts_, &receive_at_})
            list->assign(ranks, 0);
        for (const locmoe::segment& s : all.sends) {
            send_counts_[static_cast<std::size_t>(s.peer)] = numbers(s.rows);
            send_at_[static_cast<std::size_t>(s.peer)] = numbers(s.first);
        }
        for (const locmoe::segment& s : all.receives) {
            receive_counts_[static_cast<std::size_t>(s.peer)] = numbers(s.rows);
            receive_at_[static_cast<std::size_t>(s.peer)] = numbers(s.first);
        }
        packed_.resize(all.pack.rows() * cols);
        staged_.resize(static_cast<std::size_t>(plan.dispatch.staging_rows) * cols);
        back_.resize(all.pack.rows() * cols);
    }

    void dispatch(const float* tokens, float* rows) {
        const std::vector<locmoe::row_index>& pack = plan_.dispatch.phases[0].pack.from;
        for (std::size_t i = 0; i < pack.size(); ++i) copy(tokens, pack[i], packed_.data(), i);
        MPI_Alltoallv(packed_.data(), send_counts_.data(), send_at_.data(), MPI_FLOAT,
                      staged_.data(), receive_counts_.data(), receive_at_.data(), MPI_FLOAT,
                      MPI_COMM_WORLD);
        const std::vector<locmoe::row_index>& place = plan_.dispatch.deliver.from;
        const locmoe::row_index own = plan_.dispatch.source_rows;
        for (std::size_t i = 0; i < place.size(); ++i)
            if (place[i] < own)
                copy(tokens, place[i], rows, i);
            else
                copy(staged_.data(), place[i] - own, rows, i);
    }

    void combine(const float* rows, float* tokens) {
        const std::vector<locmoe::row_index>& place = plan_.dispatch.deliver.from;
        const locmoe::row_index own = plan_.dispatch.source_rows;
        std::fill_n(tokens, plan_.token_count * cols_, 0.0f);
        for (std::size_t i = 0; i < place.size(); ++i)
            if (place[i] < own)
                add(rows, i, tokens, place[i]);
            else
                copy(rows, static_cast<locmoe::row_index>(i), staged_.data(),
                     static_cast<std::size_t>(place[i] - own));
        MPI_Alltoallv(staged_.data(), receive_counts_.data(), receive_at_.data(), MPI_FLOAT,
                      back_.data(), send_counts_.data(), send_at_.data(), MPI_FLOAT,
                      MPI_COMM_WORLD);
        const std::vector<locmoe::row_index>& pack = plan_.dispatch.phases[0].pack.from;
        for (std::size_t i = 0; i < pack.size(); ++i) add(back_.data(), i, tokens, pack[i]);
    }

  private:
    int numbers(locmoe::row_index rows) const {
        return static_cast<int>(rows) * static_cast<int>(cols_);
    }

    void copy(const float* from, locmoe::row_index row, float* to, std::size_t at) const {
        std::memcpy(to + at * cols_, from + static_cast<std::size_t>(row) * cols_,
                    cols_ * sizeof(float));
    }
    void add(const float* from, std::size_t row, float* to, locmoe::row_index at) const {
        const float* source = from + row * cols_;
        float* sum = to + static_cast<std::size_t>(at) * cols_;
        for (std::size_t c = 0; c < cols_; ++c) sum[c] += source[c];
    }

    const locmoe::exchange_plan& plan_;
    std::size_t cols_;
    std::vector<int> send_counts_, send_at_, receive_counts_, receive_at_;
    std::vector<float> packed_, staged_, back_;
};

}  // namespace bench
