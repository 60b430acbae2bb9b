#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "device/device.h"
#include "train/timeline.h"

namespace pome::train {

/// Compiles programs one after another on a thread of its own, while the caller evaluates others.
/// The engine's compile service wants them one at a time. A program that fails is tried once more;
/// when it fails again its future throws Error{compile_failed} with both reasons, and its text and
/// weights are kept in `failed` (unless that is empty).
class CompileQueue {
  public:
    using Program = std::shared_future<std::shared_ptr<device::Executable>>;

    /// Device and timeline must outlive this.
    CompileQueue(device::Device& device, std::filesystem::path failed, Timeline& timeline);
    /// Drops what has not begun.
    ~CompileQueue();
    CompileQueue(const CompileQueue&) = delete;
    CompileQueue& operator=(const CompileQueue&) = delete;

    /// `name` is for errors: "attention backward of block 3". `package` is called on the queue's
    /// thread.
    Program add(std::string name, std::function<mil::Package()> package);

  private:
    struct Job {
        std::string name;
        std::function<mil::Package()> package;
        std::promise<std::shared_ptr<device::Executable>> promise;
    };
    void work();
    std::shared_ptr<device::Executable> compile(const Job& job);
    void keep(const mil::Package& package) const;

    device::Device& device_;
    std::filesystem::path failed_;
    Timeline& timeline_;
    std::mutex mutex_;
    std::condition_variable wake_;
    std::deque<Job> jobs_;
    bool stop_ = false;
    std::thread thread_;
};

}  // namespace pome::train
