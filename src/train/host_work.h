#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "base/thread_pool.h"
#include "train/timeline.h"

namespace pome::train {

/// Host computations that run one after another, in the order in which they are added, on a thread
/// of their own beside the caller. Its pool has as many threads as the caller's, so loops are split
/// alike and results are the same bits.
class HostWork {
  public:
    /// `timeline` must outlive this.
    HostWork(int threads, Timeline& timeline);
    /// Drops what has not begun.
    ~HostWork();
    HostWork(const HostWork&) = delete;
    HostWork& operator=(const HostWork&) = delete;

    /// What the work refers to must live until it is done. Returns its number.
    std::int64_t add(std::string name, std::function<void(ThreadPool&)> work);
    /// Returns when work `number`, and so everything before it, is done. Throws again what one of
    /// them threw.
    void wait(std::int64_t number);
    void wait_for_all() { wait(added_); }

  private:
    struct Job {
        std::string name;
        std::function<void(ThreadPool&)> work;
    };
    void run();

    Timeline& timeline_;
    ThreadPool pool_;
    std::mutex mutex_;
    std::condition_variable wake_, done_signal_;
    std::deque<Job> jobs_;
    std::int64_t added_ = 0;  ///< the caller's alone
    std::int64_t done_ = 0;
    std::exception_ptr failure_;
    bool stop_ = false;
    std::thread thread_;  // last: it uses the others
};

}  // namespace pome::train
