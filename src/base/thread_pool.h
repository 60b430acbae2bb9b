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
/// calling thread takes part, and takes over the parts that no other thread has begun: where other
/// programs hold the processors, a loop takes as long as the caller alone needs, not as long as a
/// sleeping thread needs to be scheduled. Each thread begins with the part of its own number: what
/// a loop left in its processor's caches, the next loop finds there. Not re-entrant: a loop's body
/// must not start another loop on the same pool.
class ThreadPool {
  public:
    /// `threads` in all, the caller included; 0 takes the number of hardware threads.
    explicit ThreadPool(int threads = 0);
    ~ThreadPool();
    ThreadPool(const ThreadPool&) = delete;
    ThreadPool& operator=(const ThreadPool&) = delete;

    int threads() const { return static_cast<int>(workers_.size()) + 1; }

    /// Calls body(begin, end, part) on parts of [0, count), each at least `grain` long except the
    /// last; returns when all are done. There are at most threads() parts, numbered from 0, and no
    /// number is in use twice at a time: memory of its own for each number is enough. The first
    /// exception that a part throws is thrown again here.
    void for_ranges(std::int64_t count, std::int64_t grain,
                    const std::function<void(std::int64_t, std::int64_t, int)>& body);

    /// The same in up to 16 blocks a thread, of at least 8 grains where there are more than one:
    /// each part takes those of its own range one after another and then what is left of the
    /// others', so that a thread whose processor others use too does not hold up the loop. A body
    /// is called many times; use it only where the result does not depend on which part does what.
    void for_blocks(std::int64_t count, std::int64_t grain,
                    const std::function<void(std::int64_t, std::int64_t, int)>& body);

    /// Calls body(index, part) for each index in [0, count); each part, numbered as above, takes
    /// the indices of its own range one after another and then what is left of the others', so use
    /// it only where the result does not depend on which does what.
    void for_each(std::int64_t count, const std::function<void(std::int64_t, int)>& body);

  private:
    void run(const std::function<void(int)>& job, int parts);
    void work(int thread);
    bool take_part(std::uint64_t state, int thread);
    void finish_part(int part);

    std::vector<std::thread> workers_;
    std::mutex mutex_;
    std::condition_variable wake_;
    std::atomic<std::uint64_t> state_{0};  ///< the loop's number and its parts, in one word
    /// The last loop of which each part was taken: a late thread finds all parts of a loop that is
    /// over taken in that one or in a later one.
    std::vector<std::atomic<std::uint64_t>> taken_in_;
    const std::function<void(int)>* job_ = nullptr;  ///< valid while a taken part is unfinished
    std::atomic<int> unfinished_{0};
    std::atomic<bool> stop_{false};
    std::exception_ptr failure_;
};

}  // namespace pome
