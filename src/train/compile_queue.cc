#include "train/compile_queue.h"

#include <fmt/format.h>

#include "base/crash_point.h"
#include "mil/weights.h"

namespace pome::train {

CompileQueue::CompileQueue(device::Device& device, std::filesystem::path failed, Timeline& timeline)
    : device_(device),
      failed_(std::move(failed)),
      timeline_(timeline),
      thread_([this] { work(); }) {}

CompileQueue::~CompileQueue() {
    {
        const std::lock_guard lock(mutex_);
        stop_ = true;
        jobs_.clear();
    }
    wake_.notify_one();
    thread_.join();
}

CompileQueue::Program CompileQueue::add(std::string name, std::function<mil::Package()> package) {
    Job job{std::move(name), std::move(package), {}};
    Program program = job.promise.get_future().share();
    {
        const std::lock_guard lock(mutex_);
        jobs_.push_back(std::move(job));
    }
    wake_.notify_one();
    return program;
}

void CompileQueue::work() {
    for (;;) {
        std::unique_lock lock(mutex_);
        wake_.wait(lock, [&] { return stop_ || !jobs_.empty(); });
        if (stop_) {
            return;
        }
        Job job = std::move(jobs_.front());
        jobs_.pop_front();
        lock.unlock();
        try {
            job.promise.set_value(compile(job));
        } catch (...) {
            job.promise.set_exception(std::current_exception());
        }
    }
}

std::shared_ptr<device::Executable> CompileQueue::compile(const Job& job) {
    const Span span(timeline_, Timeline::Track::compiler, "compile", job.name);
    const mil::Package package = job.package();
    std::string first;
    try {
        crash_point("compile.begin");
        auto executable = device_.compile(package);
        crash_point("compile.end");
        return executable;
    } catch (const Error& error) {
        first = error.text();
    }
    try {
        return device_.compile(package);
    } catch (const Error& error) {
        keep(package);
        fail(Code::compile_failed, "train.compile",
             "{} failed to compile twice: {}{}{}; {}choose another engine.pipeline or "
             "engine.device, or a smaller model",
             job.name, error.text(),
             first == error.text() ? "" : "; the first time: ", first == error.text() ? "" : first,
             failed_.empty() ? "" : fmt::format("the program is kept in {}; ", failed_.string()));
    }
}

void CompileQueue::keep(const mil::Package& package) const {
    if (failed_.empty()) {
        return;
    }
    try {
        mil::write_package(package, failed_);
    } catch (const std::exception&) {
        // The compile error matters more than a full disk: it is thrown either way.
    }
}

}  // namespace pome::train
