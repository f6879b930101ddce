#pragma once

#include <condition_variable>
#include <cstddef>
#include <exception>
#include <mutex>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "locmoe/core/error.hpp"
#include "locmoe/core/parallel.hpp"

namespace locmoe::inline v0 {

/// A few threads that wait for work: `parallel`. The caller of `run` works too, so that a team of
/// one has no thread. One caller at a time; work does not call `run` of its own team.
class thread_team {
  public:
    /// Throws argument_error where `width` is 0.
    explicit thread_team(std::size_t width) {
        if (width == 0) detail::throw_argument("thread_team", "width", "at least one", "none");
        threads_.reserve(width - 1);
        for (std::size_t t = 1; t < width; ++t)
            threads_.emplace_back([this](const std::stop_token& stop) { serve(stop); });
    }
    thread_team(const thread_team&) = delete;
    thread_team& operator=(const thread_team&) = delete;
    ~thread_team() {
        {
            const std::lock_guard held(mutex_);
            for (std::jthread& t : threads_) t.request_stop();
        }
        woken_.notify_all();
    }

    std::size_t width() const noexcept { return threads_.size() + 1; }

    /// Throws what the lowest part that failed has thrown, once all are done.
    template <class Work>
    void run(std::size_t parts, Work&& work) {
        using work_type = std::remove_reference_t<Work>;
        std::unique_lock held(mutex_);
        call_ = [](const void* of, std::size_t part) {
            (*static_cast<work_type*>(const_cast<void*>(of)))(part);
        };
        work_ = &work;
        parts_ = parts;
        next_ = done_ = 0;
        failed_ = parts;
        failure_ = nullptr;
        woken_.notify_all();
        help(held);
        finished_.wait(held, [&] { return done_ == parts_; });
        parts_ = next_ = done_ = 0;
        if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
    }

  private:
    // Takes parts until there are no more. The mutex is held on entry and on return.
    void help(std::unique_lock<std::mutex>& held) {
        while (next_ < parts_) {
            const std::size_t part = next_++;
            held.unlock();
            std::exception_ptr failure;
            try {
                call_(work_, part);
            } catch (...) {
                failure = std::current_exception();
            }
            held.lock();
            if (failure && part < failed_) {
                failed_ = part;
                failure_ = failure;
            }
            if (++done_ == parts_) finished_.notify_one();
        }
    }

    void serve(const std::stop_token& stop) {
        std::unique_lock held(mutex_);
        while (!stop.stop_requested()) {
            help(held);
            woken_.wait(held, [&] { return stop.stop_requested() || next_ < parts_; });
        }
    }

    std::mutex mutex_;
    std::condition_variable woken_, finished_;
    void (*call_)(const void*, std::size_t) = nullptr;
    const void* work_ = nullptr;
    std::size_t parts_ = 0, next_ = 0, done_ = 0;
    std::size_t failed_ = 0;  // the lowest part that failed
    std::exception_ptr failure_;
    std::vector<std::jthread> threads_;  // the last member: they end before the others go
};

static_assert(parallel<thread_team>);

}  // namespace locmoe
