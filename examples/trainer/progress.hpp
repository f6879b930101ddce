#pragma once

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <string>
#include <utility>

#include <unistd.h>

namespace trainer {

/// Shows how far a run is, on standard error: a bar with rate and time left on a terminal,
/// elsewhere a plain line now and then, so that a log stays readable.
class progress {
  public:
    progress(std::string label, std::size_t steps)
        : label_(std::move(label)),
          steps_(steps),
          terminal_(isatty(STDERR_FILENO) == 1),
          start_(clock::now()) {}

    /// After step `done` of 1 to `steps`.
    void show(std::size_t done, double loss_bits) {
        const auto now = clock::now();
        const auto pause = std::chrono::milliseconds(terminal_ ? 100 : 10000);
        const bool last = done == steps_;
        if (!last && now - shown_ < pause) return;
        shown_ = now;
        const double seconds = std::chrono::duration<double>(now - start_).count();
        const double rate = seconds > 0 ? static_cast<double>(done) / seconds : 0;
        const double left = rate > 0 ? static_cast<double>(steps_ - done) / rate : 0;
        if (terminal_) {
            constexpr std::size_t width = 30;
            const std::size_t filled = width * done / steps_;
            const std::string bar = std::string(filled, '#') + std::string(width - filled, '.');
            std::fprintf(stderr,
                         "\r%-13s [%s] %zu/%zu  %.3f bits/byte  %.1f steps/s  %.0f s left\033[K",
                         label_.c_str(), bar.c_str(), done, steps_, loss_bits, rate, left);
            if (last) std::fputc('\n', stderr);
        } else {
            std::fprintf(stderr,
                         "%-13s step %zu of %zu, %.3f bits/byte, %.1f steps/s, %.0f s left\n",
                         label_.c_str(), done, steps_, loss_bits, rate, left);
        }
        std::fflush(stderr);
    }

  private:
    using clock = std::chrono::steady_clock;

    std::string label_;
    std::size_t steps_;
    bool terminal_;
    clock::time_point start_;
    clock::time_point shown_ = start_;
};

}  // namespace trainer
