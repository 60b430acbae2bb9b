#include "train/host_work.h"

#include <utility>

namespace pome::train {

HostWork::HostWork(int threads, Timeline& timeline)
    : timeline_(timeline), pool_(threads), thread_([this] { run(); }) {}

HostWork::~HostWork() {
    {
        const std::lock_guard lock(mutex_);
        stop_ = true;
        jobs_.clear();
    }
    wake_.notify_one();
    thread_.join();
}

std::int64_t HostWork::add(std::string name, std::function<void(ThreadPool&)> work) {
    {
        const std::lock_guard lock(mutex_);
        jobs_.push_back({std::move(name), std::move(work)});
    }
    wake_.notify_one();
    return ++added_;
}

void HostWork::wait(std::int64_t number) {
    std::unique_lock lock(mutex_);
    done_signal_.wait(lock, [&] { return done_ >= number; });
    if (failure_) {
        std::rethrow_exception(std::exchange(failure_, nullptr));
    }
}

void HostWork::run() {
    for (;;) {
        std::unique_lock lock(mutex_);
        wake_.wait(lock, [&] { return stop_ || !jobs_.empty(); });
        if (stop_) {
            return;
        }
        Job job = std::move(jobs_.front());
        jobs_.pop_front();
        lock.unlock();
        std::exception_ptr failure;
        try {
            const Span span(timeline_, Timeline::Track::weight_gradients, "host",
                            std::move(job.name));
            job.work(pool_);
        } catch (...) {
            failure = std::current_exception();
        }
        lock.lock();
        if (failure && !failure_) {
            failure_ = failure;
        }
        ++done_;
        done_signal_.notify_one();
    }
}

}  // namespace pome::train
