#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace pome {

/// A fixed set of threads that share loops. The split depends only on the loop and the number of
/// threads, so results that depend on it are the same in every run. One loop runs at a time; the
/// calling thread takes part. Not re-entrant: a loop's body must not start another loop on the same
/// pool.
class ThreadPool {
  public:
    /// `threads` in all, the caller included; 0 takes the number of hardware threads.
    explicit ThreadPool(int threads = 0);
    ~ThreadPool();
    ThreadPool(const ThreadPool&) = delete;
    ThreadPool& operator=(const ThreadPool&) = delete;

    int threads() const { return static_cast<int>(workers_.size()) + 1; }

    /// Calls body(begin, end, thread) on parts of [0, count), each at least `grain` long except the
    /// last; returns when all are done. The first exception that a part throws is thrown again
    /// here.
    void for_ranges(std::int64_t count, std::int64_t grain,
                    const std::function<void(std::int64_t, std::int64_t, int)>& body);

    /// Calls body(index, thread) for each index in [0, count); threads take indices as they become
    /// free, so use it only where the result does not depend on which thread does what.
    void for_each(std::int64_t count, const std::function<void(std::int64_t, int)>& body);

  private:
    void run(const std::function<void(int)>& job, int participants);
    void work(int thread);

    std::vector<std::thread> workers_;
    std::mutex mutex_;
    std::condition_variable wake_;
    const std::function<void(int)>* job_ = nullptr;
    int participants_ = 0;
    std::atomic<std::uint64_t> generation_{0};
    std::atomic<int> unfinished_{0};
    std::atomic<bool> stop_{false};
    std::exception_ptr failure_;
};

}  // namespace pome
