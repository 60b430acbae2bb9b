#include "device/apple/timed_worker.h"

#include <condition_variable>
#include <exception>
#include <utility>

namespace pome::device::apple {

struct TimedWorker::State {
    std::mutex mutex;
    std::condition_variable wake, finished;
    std::function<void()> work;
    std::exception_ptr failure;
    bool busy = false, stuck = false, stop = false;
};

TimedWorker::TimedWorker() : state_(std::make_shared<State>()) {
    thread_ = std::thread([state = state_] { loop(state); });
}

TimedWorker::~TimedWorker() {
    {
        const std::lock_guard lock(state_->mutex);
        state_->stop = true;
        if (state_->stuck) {
            return;  // detached
        }
    }
    state_->wake.notify_one();
    thread_.join();
}

void TimedWorker::loop(const std::shared_ptr<State>& state) {
    std::unique_lock lock(state->mutex);
    for (;;) {
        state->wake.wait(lock, [&] { return state->busy || state->stop; });
        if (!state->busy) {
            return;
        }
        auto work = std::exchange(state->work, nullptr);
        lock.unlock();
        std::exception_ptr failure;
        try {
            work();
        } catch (...) {
            failure = std::current_exception();
        }
        work = nullptr;  // lets go of what it owns before the caller goes on
        lock.lock();
        state->failure = failure;
        state->busy = false;
        state->finished.notify_one();
    }
}

bool TimedWorker::run(std::chrono::duration<double> limit, std::function<void()> work) {
    const std::lock_guard turn(turn_);
    std::unique_lock lock(state_->mutex);
    if (state_->stuck) {
        return false;
    }
    state_->work = std::move(work);
    state_->busy = true;
    state_->wake.notify_one();
    if (!state_->finished.wait_for(lock, limit, [&] { return !state_->busy; })) {
        state_->stuck = true;
        thread_.detach();
        return false;
    }
    if (auto failure = std::exchange(state_->failure, nullptr)) {
        lock.unlock();
        std::rethrow_exception(failure);
    }
    return true;
}

bool TimedWorker::is_stuck() const {
    const std::lock_guard lock(state_->mutex);
    return state_->stuck;
}

}  // namespace pome::device::apple
