#pragma once

#include <atomic>
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
/// one has no thread. Part p is always run by thread p mod width, which finds in its cache what it
/// left there. One caller at a time; work does not call `run` of its own team.
class thread_team {
  public:
    /// Throws argument_error where `width` is 0.
    explicit thread_team(std::size_t width) : width_(width) {
        if (width == 0) detail::throw_argument("thread_team", "width", "at least one", "none");
        threads_.reserve(width - 1);
        for (std::size_t t = 1; t < width; ++t)
            threads_.emplace_back([this, t](const std::stop_token& stop) { serve(t, stop); });
    }
    thread_team(const thread_team&) = delete;
    thread_team& operator=(const thread_team&) = delete;
    /// Ends the threads; no `run` is under way any more.
    ~thread_team() {
        {
            const std::lock_guard held(mutex_);
            for (std::jthread& t : threads_) t.request_stop();
        }
        woken_.notify_all();
    }

    /// Threads that work on one `run`, its caller included.
    std::size_t width() const noexcept { return width_; }

    /// Throws what the lowest part that failed has thrown, once all are done.
    template <class Work>
    void run(std::size_t parts, Work&& work) {
        using work_type = std::remove_reference_t<Work>;
        std::unique_lock held(mutex_);
        job_ = {[](const void* of, std::size_t part) {
                    (*static_cast<work_type*>(const_cast<void*>(of)))(part);
                },
                &work, parts};
        busy_ = (parts < width_ ? parts : width_);
        failed_ = parts;
        if (busy_ == 0) return;
        ++round_;
        woken_.notify_all();
        help(0, held);
        held.unlock();
        look_for([&] { return busy_ == 0; });
        held.lock();
        finished_.wait(held, [&] { return busy_ == 0; });
        if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
    }

  private:
    struct job {
        void (*call)(const void*, std::size_t) = nullptr;
        const void* work = nullptr;
        std::size_t parts = 0;
    };

    // For about as long as waking a sleeping thread takes: between kernels that follow each other,
    // none sleeps.
    template <class Done>
    static void look_for(const Done& done) {
        for (int looks = 0; looks < 200 && !done(); ++looks) std::this_thread::yield();
    }

    // One thread's parts of this round. The mutex is held on entry and on return.
    void help(std::size_t thread, std::unique_lock<std::mutex>& held) {
        const job mine = job_;
        held.unlock();
        std::exception_ptr failure;
        std::size_t failed = mine.parts;
        for (std::size_t part = thread; part < mine.parts; part += width_) {
            try {
                mine.call(mine.work, part);
            } catch (...) {
                if (failure) continue;
                failure = std::current_exception();
                failed = part;
            }
        }
        held.lock();
        if (failed < failed_) {
            failed_ = failed;
            failure_ = std::move(failure);
        }
        if (--busy_ == 0) finished_.notify_one();
    }

    void serve(std::size_t thread, const std::stop_token& stop) {
        std::unique_lock held(mutex_);
        for (std::size_t seen = 0;;) {
            held.unlock();
            look_for([&] { return stop.stop_requested() || round_ != seen; });
            held.lock();
            woken_.wait(held, [&] { return stop.stop_requested() || round_ != seen; });
            if (stop.stop_requested()) return;
            seen = round_;
            if (thread < job_.parts) help(thread, held);
        }
    }

    std::size_t width_;
    std::mutex mutex_;
    std::condition_variable woken_, finished_;
    job job_;
    std::atomic<std::size_t> round_ = 0;  // both are looked at without the mutex
    std::atomic<std::size_t> busy_ = 0;   // threads with parts of this round to do
    std::size_t failed_ = 0;  // the lowest part that failed
    std::exception_ptr failure_;
    std::vector<std::jthread> threads_;  // the last member: they end before the others go
};

static_assert(parallel<thread_team>);

}  // namespace locmoe
