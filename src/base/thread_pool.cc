#include "base/thread_pool.h"

#include <algorithm>

namespace pome {
namespace {

// Loops follow each other within microseconds during a training step; waking a sleeping thread
// takes tens.
constexpr int spins_before_sleep = 20000;

void pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

}  // namespace

ThreadPool::ThreadPool(int threads) {
    if (threads <= 0) {
        threads = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
    }
    for (int i = 1; i < threads; ++i) {
        workers_.emplace_back([this, i] { work(i); });
    }
}

ThreadPool::~ThreadPool() {
    {
        const std::lock_guard lock(mutex_);
        stop_ = true;
        generation_.fetch_add(1);
    }
    wake_.notify_all();
    for (auto& worker : workers_) {
        worker.join();
    }
}

void ThreadPool::work(int thread) {
    std::uint64_t seen = 0;
    for (;;) {
        for (int i = 0;
             i < spins_before_sleep && generation_.load(std::memory_order_acquire) == seen; ++i) {
            pause();
        }
        if (generation_.load(std::memory_order_acquire) == seen) {
            std::unique_lock lock(mutex_);
            wake_.wait(lock, [&] { return generation_.load() != seen; });
        }
        seen = generation_.load(std::memory_order_acquire);
        if (stop_) {
            return;
        }
        if (thread < participants_) {
            try {
                (*job_)(thread);
            } catch (...) {
                const std::lock_guard lock(mutex_);
                if (!failure_) {
                    failure_ = std::current_exception();
                }
            }
        }
        unfinished_.fetch_sub(1, std::memory_order_release);
    }
}

void ThreadPool::run(const std::function<void(int)>& job, int participants) {
    if (participants <= 1 || workers_.empty()) {
        job(0);
        return;
    }
    {
        const std::lock_guard lock(mutex_);
        job_ = &job;
        participants_ = participants;
        failure_ = nullptr;
        unfinished_.store(static_cast<int>(workers_.size()));
        generation_.fetch_add(1, std::memory_order_release);
    }
    wake_.notify_all();
    std::exception_ptr own;
    try {
        job(0);
    } catch (...) {
        own = std::current_exception();
    }
    for (int i = 0; unfinished_.load(std::memory_order_acquire) > 0; ++i) {
        if (i < spins_before_sleep) {
            pause();
        } else {
            std::this_thread::yield();
        }
    }
    if (own) {
        std::rethrow_exception(own);
    }
    if (failure_) {
        std::rethrow_exception(failure_);
    }
}

void ThreadPool::for_ranges(std::int64_t count, std::int64_t grain,
                            const std::function<void(std::int64_t, std::int64_t, int)>& body) {
    if (count <= 0) {
        return;
    }
    grain = std::max<std::int64_t>(1, grain);
    const std::int64_t parts = std::clamp<std::int64_t>((count + grain - 1) / grain, 1, threads());
    const auto bound = [&](std::int64_t part) {
        return std::min(count,
                        (count * part / parts + (part == 0 ? 0 : grain - 1)) / grain * grain);
    };
    run(
        [&](int thread) {
            const std::int64_t begin = bound(thread);
            const std::int64_t end = thread + 1 == parts ? count : bound(thread + 1);
            if (begin < end) {
                body(begin, end, thread);
            }
        },
        static_cast<int>(parts));
}

void ThreadPool::for_each(std::int64_t count, const std::function<void(std::int64_t, int)>& body) {
    std::atomic<std::int64_t> next{0};
    run(
        [&](int thread) {
            for (std::int64_t i = next.fetch_add(1); i < count; i = next.fetch_add(1)) {
                body(i, thread);
            }
        },
        static_cast<int>(std::min<std::int64_t>(count, threads())));
}

}  // namespace pome
