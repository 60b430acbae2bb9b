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

// state_: loop << 16 | parts.
constexpr std::uint64_t loop_of(std::uint64_t state) {
    return state >> 16;
}
constexpr int parts_of(std::uint64_t state) {
    return static_cast<int>(state & 0xFFFFU);
}
constexpr int most_threads = 0xFFFF;

/// The indices of one part of for_each(), in a cache line of their own.
struct alignas(64) Share {
    std::atomic<std::int64_t> next;
    std::int64_t end;
};

int threads_or_hardware(int threads) {
    return threads > 0 ? std::min(threads, most_threads)
                       : static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
}

}  // namespace

ThreadPool::ThreadPool(int threads)
    : taken_in_(static_cast<std::size_t>(threads_or_hardware(threads))) {
    for (int i = 1; i < static_cast<int>(taken_in_.size()); ++i) {
        workers_.emplace_back([this, i] { work(i); });
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

void ThreadPool::work(int thread) {
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
        const std::uint64_t state = state_.load(std::memory_order_acquire);
        seen = loop_of(state);
        while (take_part(state, thread)) {
        }
    }
}

bool ThreadPool::take_part(std::uint64_t state, int thread) {
    const std::uint64_t loop = loop_of(state);
    for (int i = 0; i < parts_of(state); ++i) {
        const int part = (thread + i) % parts_of(state);
        auto& taken_in = taken_in_[static_cast<std::size_t>(part)];
        std::uint64_t last = taken_in.load(std::memory_order_relaxed);
        while (last < loop) {
            if (taken_in.compare_exchange_weak(last, loop, std::memory_order_relaxed)) {
                finish_part(part);
                return true;
            }
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
    std::uint64_t state = 0;
    {
        const std::lock_guard lock(mutex_);
        job_ = &job;
        failure_ = nullptr;
        unfinished_.store(parts, std::memory_order_relaxed);
        const std::uint64_t loop = loop_of(state_.load(std::memory_order_relaxed)) + 1;
        state = loop << 16 | static_cast<std::uint64_t>(parts);
        state_.store(state, std::memory_order_release);
    }
    wake_.notify_all();
    while (take_part(state, 0)) {
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

namespace {

/// [0, count) in at most `most` pieces of whole grains, but for the last.
class Pieces {
  public:
    Pieces(std::int64_t count, std::int64_t grain, std::int64_t most)
        : count_(count),
          grain_(std::max<std::int64_t>(1, grain)),
          number_(std::clamp<std::int64_t>((count + grain_ - 1) / grain_, 1, most)) {}

    std::int64_t number() const { return number_; }
    /// Where piece i begins; those beyond the last at the end.
    std::int64_t begin(std::int64_t i) const {
        if (i >= number_) {
            return count_;
        }
        return std::min(count_,
                        (count_ * i / number_ + (i == 0 ? 0 : grain_ - 1)) / grain_ * grain_);
    }

  private:
    std::int64_t count_, grain_, number_;
};

}  // namespace

void ThreadPool::for_ranges(std::int64_t count, std::int64_t grain,
                            const std::function<void(std::int64_t, std::int64_t, int)>& body) {
    if (count <= 0) {
        return;
    }
    const Pieces pieces(count, grain, threads());
    run(
        [&](int part) {
            const std::int64_t begin = pieces.begin(part), end = pieces.begin(part + 1);
            if (begin < end) {
                body(begin, end, part);
            }
        },
        static_cast<int>(pieces.number()));
}

void ThreadPool::for_blocks(std::int64_t count, std::int64_t grain,
                            const std::function<void(std::int64_t, std::int64_t, int)>& body) {
    constexpr std::int64_t blocks_of_thread = 16, grains_of_block = 8;
    if (count <= 0) {
        return;
    }
    const std::int64_t worth_taking = count / (std::max<std::int64_t>(1, grain) * grains_of_block);
    const Pieces pieces(
        count, grain,
        std::clamp<std::int64_t>(worth_taking, threads(), threads() * blocks_of_thread));
    for_each(pieces.number(), [&](std::int64_t i, int part) {
        const std::int64_t begin = pieces.begin(i), end = pieces.begin(i + 1);
        if (begin < end) {
            body(begin, end, part);
        }
    });
}

void ThreadPool::for_each(std::int64_t count, const std::function<void(std::int64_t, int)>& body) {
    const std::int64_t parts = std::clamp<std::int64_t>(count, 0, threads());
    std::vector<Share> shares(static_cast<std::size_t>(parts));
    for (std::int64_t part = 0; part < parts; ++part) {
        Share& share = shares[static_cast<std::size_t>(part)];
        share.next = count * part / parts;
        share.end = count * (part + 1) / parts;
    }
    run(
        [&](int part) {
            for (std::int64_t i = 0; i < parts; ++i) {
                Share& share = shares[static_cast<std::size_t>((part + i) % parts)];
                for (std::int64_t index = 0; (index = share.next.fetch_add(1)) < share.end;) {
                    body(index, part);
                }
            }
        },
        static_cast<int>(parts));
}

}  // namespace pome
