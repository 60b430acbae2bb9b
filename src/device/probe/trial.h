#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "device/device.h"
#include "device/text_program.h"

namespace pome::device::probe {

/// One small program that a device is asked to compile and, perhaps, to evaluate.
struct Trial {
    mil::Package package;
    bool evaluate = true;  ///< false: whether it compiles is the question
    std::vector<TextInput> inputs;
    std::size_t output_allocation = 0;       ///< of y's surface; 0: whatever the device asks for
    std::chrono::milliseconds limit{30000};  ///< for runners that can stop a trial
};

/// What became of it. Every outcome is an answer.
struct Outcome {
    enum class Status : std::uint8_t {
        done,     ///< compiled and, if it was asked for, evaluated
        refused,  ///< did not compile
        failed,   ///< compiled; the evaluation failed
        stopped,  ///< took longer than its limit, or took its process down
    };
    Status status = Status::done;
    std::string message;         ///< the device's words, unless done
    std::vector<double> values;  ///< of y, when evaluated
};

/// How many programs a process took before one was refused.
struct Exhaustion {
    std::int64_t compiled = 0;
    std::string message;  ///< of the refusal; empty: none was refused
};

/// Where trials run: the only way by which probes see a device, so that nothing they find can come
/// from what the device says of itself.
class Runner {
  public:
    virtual ~Runner() = default;

    /// Runs trials one after the other in one process of their own: what one of them does to its
    /// process, the later ones of this call feel and nobody else. Trials after one that was stopped
    /// are stopped too. A runner on an engine leaves the compiler's service the time that it needs
    /// after a refusal (ane-guide ch. 19: 15 s). Throws Error{malformed_program} for a program that
    /// is no MIL: that is the probe's fault.
    virtual std::vector<Outcome> run(std::span<const Trial> trials) = 0;

    /// Compiles the program again and again in a process of its own, until one is refused or `most`
    /// were not. `hold`: every program stays loaded; else it is released before the next.
    virtual Exhaustion exhaust(const mil::Package& package, bool hold, std::int64_t most) = 0;
};

/// Runs trials in this process, each call on a device of its own that `open` makes. Cannot stop a
/// trial: for devices that come back, such as emulators.
class DeviceRunner final : public Runner {
  public:
    explicit DeviceRunner(std::function<std::unique_ptr<Device>()> open) : open_(std::move(open)) {}
    std::vector<Outcome> run(std::span<const Trial> trials) override;
    Exhaustion exhaust(const mil::Package& package, bool hold, std::int64_t most) override;
    /// Is told of each outcome of run() as soon as there is one.
    void on_outcome(std::function<void(const Outcome&)> told) { told_ = std::move(told); }

  private:
    std::function<std::unique_ptr<Device>()> open_;
    std::function<void(const Outcome&)> told_;
};

}  // namespace pome::device::probe
