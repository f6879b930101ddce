#pragma once

#include <cstdint>
#include <exception>
#include <span>
#include <string>
#include <string_view>

#include "locmoe/exec/backend.hpp"
#include "locmoe/exec/verify_agreement.hpp"

namespace locmoe::inline v0::detail {

/// Work of this rank that may fail, and what became of it. After a failure it does no more.
class attempt {
  public:
    template <class Work>
    void operator()(Work&& work) {
        if (failure_) return;
        try {
            work();
        } catch (const std::exception& e) {
            failure_ = std::current_exception();
            words_ = e.what();
        } catch (...) {
            failure_ = std::current_exception();
        }
        if (failure_ && words_.empty()) words_ = "an exception without words";
    }

    bool failed() const { return failure_ != nullptr; }
    const std::string& words() const { return words_; }
    [[noreturn]] void rethrow() const { std::rethrow_exception(failure_); }

    /// All ranks fail together or none does: a rank at fault with its own exception, the others
    /// with backend_error and its words. Returns the sum of all ranks' numbers. Collective.
    template <exchange_backend Backend>
    std::uint64_t settle(Backend& backend, std::uint64_t number) const {
        try {
            return backend.agree(words_, number);
        } catch (...) {
            if (failure_) std::rethrow_exception(failure_);
            throw;
        }
    }

  private:
    std::exception_ptr failure_;
    std::string words_;
};

/// Runs `work` on every rank; all fail together or none does, and all make the same call with the
/// same values, or plan_error says which ranks do not. Collective: one `agree` where all is well.
template <exchange_backend Backend, class Work>
void agreed(Backend& backend, std::string_view caller, std::span<const common_value> values,
            Work&& work) {
    attempt tried;
    tried(work);
    if (tried.settle(backend, ring_term(caller, values, backend.rank(), backend.rank_count())) != 0)
        name_disagreement(backend, caller, values);
}

template <exchange_backend Backend, class Work>
void agreed(Backend& backend, std::string_view caller, Work&& work) {
    agreed(backend, caller, std::span<const common_value>(), work);
}

}  // namespace locmoe::detail
