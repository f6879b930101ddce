#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <span>
#include <string>
#include <string_view>

#include "locmoe/core/error.hpp"
#include "locmoe/exec/backend.hpp"

namespace locmoe::inline v0::detail {

/// Runs `work` on every rank. All fail together or none does: a rank at fault with its own exception,
/// the others with backend_error and its words. Collective.
template <exchange_backend Backend, class Work>
void agreed(Backend& backend, Work&& work) {
    std::exception_ptr failure;
    std::string words;
    try {
        work();
    } catch (const std::exception& e) {
        failure = std::current_exception();
        words = e.what();
    }
    try {
        backend.agree(words);
    } catch (...) {
        if (failure) std::rethrow_exception(failure);
        throw;
    }
}

/// Throws backend_error on every rank, naming the lowest rank that differs from rank 0, unless all pass
/// the same number, of at most 40 bits. Collective.
template <exchange_backend Backend>
void check_same(Backend& backend, std::int64_t number, std::string_view what) {
    // The lowest rank that differs sees it in this sum; higher ones may too, and are not asked.
    const std::int64_t lower = backend.scan_counts(std::span(&number, 1)).before[0];
    backend.agree(lower == number * static_cast<std::int64_t>(backend.rank())
                      ? std::string()
                      : concat("locmoe: other ", what, " than on rank 0"));
}

/// A number of 32 bits that most likely differs where one of the words does (FNV-1a).
class fingerprint {
  public:
    void add(std::uint64_t word) { hash_ = (hash_ ^ word) * 1099511628211u; }
    std::int64_t value() const { return static_cast<std::int64_t>((hash_ ^ hash_ << 32) >> 32); }

  private:
    std::uint64_t hash_ = 14695981039346656037u;
};

}  // namespace locmoe::detail
