#pragma once

#include <array>
#include <chrono>
#include <cstddef>

namespace trainer {

/// What a training step's time goes to.
enum class step_part { route, plan, exchange, expert, other };

/// Adds up wall time by part on one rank. A part includes waiting for other ranks in it.
class step_clock {
  public:
    static constexpr std::size_t parts = 5;

    /// Runs `work` on the account of `part`; `other` is what nobody claims.
    template <class Work>
    void run(step_part part, Work&& work) {
        const auto start = clock::now();
        work();
        seconds_[static_cast<std::size_t>(part)] += since(start);
    }

    /// Runs a whole step, whose parts are claimed within.
    template <class Work>
    void step(Work&& work) {
        const double claimed = total();
        const auto start = clock::now();
        work();
        seconds_[static_cast<std::size_t>(step_part::other)] += since(start) - (total() - claimed);
    }

    double seconds(step_part part) const { return seconds_[static_cast<std::size_t>(part)]; }
    double total() const {
        double sum = 0;
        for (const double s : seconds_) sum += s;
        return sum;
    }

  private:
    using clock = std::chrono::steady_clock;
    static double since(clock::time_point start) {
        return std::chrono::duration<double>(clock::now() - start).count();
    }

    std::array<double, parts> seconds_{};
};

}  // namespace trainer
