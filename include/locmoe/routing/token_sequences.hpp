#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "locmoe/core/error.hpp"

namespace locmoe::inline v0 {

/// Which sequence each token of a rank's batch belongs to. Sequences may differ in length, and the
/// tokens of one need not be neighbours.
class token_sequences {
  public:
    /// Tokens 0 to L - 1 are sequence 0, L to 2 L - 1 sequence 1, ...; the last may be shorter.
    /// Throws argument_error where L is 0.
    static token_sequences of_length(std::size_t tokens, std::size_t sequence_length) {
        if (sequence_length == 0)
            detail::throw_argument("token_sequences", "sequence_length", "at least 1", "0");
        std::vector<std::size_t> of(tokens);
        for (std::size_t t = 0; t < tokens; ++t) of[t] = t / sequence_length;
        return token_sequences(std::move(of));
    }

    /// Token t belongs to sequence `ids[t]`, each 0 to T - 1; ids may be left out. Throws
    /// argument_error otherwise.
    static token_sequences from_ids(std::span<const std::int32_t> ids) {
        std::vector<std::size_t> of(ids.size());
        for (std::size_t t = 0; t < ids.size(); ++t) {
            if (ids[t] < 0 || static_cast<std::size_t>(ids[t]) >= ids.size())
                detail::throw_argument("token_sequences", detail::concat("sequence of token ", t),
                                       detail::concat("0 to T - 1 with T = ", ids.size()),
                                       detail::concat(ids[t]));
            of[t] = static_cast<std::size_t>(ids[t]);
        }
        return token_sequences(std::move(of));
    }

    std::size_t token_count() const noexcept { return of_.size(); }  ///< T
    /// S, one more than the highest id.
    std::size_t sequence_count() const noexcept { return lengths_.size(); }
    /// 0 to S - 1; not checked.
    std::size_t sequence_of(std::size_t token) const { return of_[token]; }
    /// In tokens; 0 where an id was left out.
    std::size_t length_of(std::size_t sequence) const { return lengths_[sequence]; }

  private:
    explicit token_sequences(std::vector<std::size_t> of) : of_(std::move(of)) {
        for (const std::size_t s : of_) {
            if (s >= lengths_.size()) lengths_.resize(s + 1, 0);
            ++lengths_[s];
        }
    }

    std::vector<std::size_t> of_;
    std::vector<std::size_t> lengths_;
};

}  // namespace locmoe
