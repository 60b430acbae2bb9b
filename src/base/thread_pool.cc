#include "base/thread_pool.h"

#include <algorithm>
#include <utility>

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

// state_: loop << 32 | parts << 16 | taken.
constexpr std::uint64_t loop_of(std::uint64_t state) {
    return state >> 32;
}
constexpr int parts_of(std::uint64_t state) {
    return static_cast<int>(state >> 16 & 0xFFFFU);
}
constexpr int taken_of(std::uint64_t state) {
    return static_cast<int>(state & 0xFFFFU);
}
constexpr int most_threads = 0xFFFF;

}  // namespace

ThreadPool::ThreadPool(int threads) {
    if (threads <= 0) {
        threads = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
    }
    threads = std::min(threads, most_threads);
    for (int i = 1; i < threads; ++i) {
        workers_.emplace_back([this] { work(); });
    }
}

ThreadPool::~ThreadPool() {
    {
        const std::lock_guard lock(mutex_);
        stop_ = true;
    }
    wake_.notify_all();
    for (auto& worker : workers_) {
        worker.join();
    }
}

void ThreadPool::work() {
    std::uint64_t seen = 0;
    const auto news = [&] {
        return stop_.load(std::memory_order_acquire) ||
               loop_of(state_.load(std::memory_order_acquire)) != seen;
    };
    for (;;) {
        for (int i = 0; i < spins_before_sleep && !news(); ++i) {
            pause();
        }
        if (!news()) {
            std::unique_lock lock(mutex_);
            wake_.wait(lock, news);
        }
        if (stop_) {
            return;
        }
        seen = loop_of(state_.load(std::memory_order_acquire));
        while (take_part(seen)) {
        }
    }
}

bool ThreadPool::take_part(std::uint64_t loop) {
    std::uint64_t state = state_.load(std::memory_order_acquire);
    while (loop_of(state) == loop && taken_of(state) < parts_of(state)) {
        if (state_.compare_exchange_weak(state, state + 1, std::memory_order_acq_rel,
                                         std::memory_order_acquire)) {
            finish_part(taken_of(state));
            return true;
        }
    }
    return false;
}

void ThreadPool::finish_part(int part) {
    try {
        (*job_)(part);
    } catch (...) {
        const std::lock_guard lock(mutex_);
        if (!failure_) {
            failure_ = std::current_exception();
        }
    }
    if (unfinished_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
        unfinished_.notify_one();
    }
}

void ThreadPool::run(const std::function<void(int)>& job, int parts) {
    if (parts <= 1 || workers_.empty()) {
        for (int part = 0; part < parts; ++part) {
            job(part);
        }
        return;
    }
    std::uint64_t loop = 0;
    {
        const std::lock_guard lock(mutex_);
        job_ = &job;
        failure_ = nullptr;
        unfinished_.store(parts, std::memory_order_relaxed);
        loop = (loop_of(state_.load(std::memory_order_relaxed)) + 1) & 0xFFFFFFFFU;
        state_.store(loop << 32 | static_cast<std::uint64_t>(parts) << 16,
                     std::memory_order_release);
    }
    wake_.notify_all();
    while (take_part(loop)) {
    }
    for (int i = 0, left = 0; (left = unfinished_.load(std::memory_order_acquire)) > 0; ++i) {
        if (i < spins_before_sleep) {
            pause();
        } else {
            unfinished_.wait(left, std::memory_order_acquire);
        }
    }
    if (failure_) {
        std::rethrow_exception(std::exchange(failure_, nullptr));
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
        [&](int part) {
            const std::int64_t begin = bound(part);
            const std::int64_t end = part + 1 == parts ? count : bound(part + 1);
            if (begin < end) {
                body(begin, end, part);
            }
        },
        static_cast<int>(parts));
}

void ThreadPool::for_each(std::int64_t count, const std::function<void(std::int64_t, int)>& body) {
    std::atomic<std::int64_t> next{0};
    run(
        [&](int part) {
            for (std::int64_t i = next.fetch_add(1); i < count; i = next.fetch_add(1)) {
                body(i, part);
            }
        },
        static_cast<int>(std::min<std::int64_t>(count, threads())));
}

}  // namespace pome
