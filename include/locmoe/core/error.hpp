#pragma once

#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "locmoe/core/ids.hpp"

namespace locmoe::inline v0 {

/// Base of everything that locmoe throws.
class error : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

/// The caller can mend it: a size or a value is wrong. Thrown before anything is sent.
class argument_error : public error {
  public:
    using error::error;
};

/// A plan breaks one of its laws, or the ranks hold plans that do not fit together.
class plan_error : public error {
  public:
    using error::error;
};

/// The transport failed, or another rank did. `operation` is what was under way; `code` is the
/// transport's own number, 0 where it has none.
class backend_error : public error {
  public:
    /// Its text is "locmoe: operation: what".
    backend_error(std::string operation, int code, const std::string& what)
        : error("locmoe: " + operation + ": " + what),
          operation_(std::move(operation)),
          code_(code) {}

    const std::string& operation() const noexcept { return operation_; }  ///< what was under way
    int code() const noexcept { return code_; }  ///< the transport's own; 0: none

  private:
    std::string operation_;
    int code_;
};

namespace detail {

inline std::string to_text(std::string_view s) { return std::string(s); }
inline std::string to_text(const char* s) { return s; }
inline std::string to_text(const std::string& s) { return s; }
template <class Number>
std::string to_text(const Number& n) {
    return std::to_string(n);
}

/// Strings and numbers, one after the other.
template <class... Parts>
std::string concat(const Parts&... parts) {
    std::string all;
    (all.append(to_text(parts)), ...);
    return all;
}

/// "locmoe: dispatch: tokens on rank 3: expected 128 rows, got 120".
[[noreturn]] inline void throw_argument(std::string_view function, std::string_view argument,
                                        std::string_view expected, std::string_view got,
                                        rank_id rank = no_rank) {
    throw argument_error(concat("locmoe: ", function, ": ", argument,
                                rank == no_rank ? std::string() : concat(" on rank ", rank),
                                ": expected ", expected, ", got ", got));
}

/// A broken invariant of ours; the one way to say "this is a bug in locmoe".
[[noreturn]] inline void broken_invariant(const char* what, const char* file, int line) {
    throw std::logic_error(concat("locmoe: internal error: ", what, " (", file, ":", line, ")"));
}

}  // namespace detail
}  // namespace locmoe

/// Our own bugs only, never the caller's; it neither communicates nor disappears in release builds.
#define LOCMOE_ASSERT(condition) \
    ((condition) ? void() : ::locmoe::detail::broken_invariant(#condition, __FILE__, __LINE__))
