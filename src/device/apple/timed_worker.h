#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

namespace pome::device::apple {

/// A thread that does what may never return. The system's calls cannot be cancelled: one that takes
/// too long is left behind with all it uses, and the worker does nothing more. THREADS: safe; one
/// piece of work at a time.
class TimedWorker {
  public:
    TimedWorker();
    /// Does not wait for work that was left behind.
    ~TimedWorker();
    TimedWorker(const TimedWorker&) = delete;
    TimedWorker& operator=(const TimedWorker&) = delete;

    /// Does `work` and returns true; throws again what it threw. Returns false when it is not done
    /// after `limit`; then it may still be at work when everything else is gone, so it must own
    /// what it uses.
    bool run(std::chrono::duration<double> limit, std::function<void()> work);
    /// Whether work was left behind.
    bool is_stuck() const;

  private:
    struct State;
    static void loop(const std::shared_ptr<State>& state);

    std::shared_ptr<State> state_;
    std::mutex turn_;
    std::thread thread_;
};

}  // namespace pome::device::apple
