#include "base/error.h"
#include "device/probe/trial.h"

namespace pome::device::probe {
namespace {

Outcome attempt(Device& device, const Trial& trial) {
    Outcome outcome;
    std::unique_ptr<Executable> executable;
    try {
        executable = device.compile(trial.package);
        if (trial.evaluate) {
            outcome.values = evaluate(*executable, trial.inputs, trial.output_allocation);
        }
    } catch (const Error& error) {
        if (error.code() == Code::malformed_program || error.code() == Code::invalid_argument) {
            throw;
        }
        outcome.status = executable == nullptr ? Outcome::Status::refused : Outcome::Status::failed;
        outcome.message = error.text();
    }
    return outcome;
}

}  // namespace

std::vector<Outcome> DeviceRunner::run(std::span<const Trial> trials) {
    const auto device = open_();
    std::vector<Outcome> outcomes;
    for (const Trial& trial : trials) {
        outcomes.push_back(attempt(*device, trial));
        if (told_) {
            told_(outcomes.back());
        }
    }
    return outcomes;
}

Exhaustion DeviceRunner::exhaust(const mil::Package& package, bool hold, std::int64_t most) {
    const auto device = open_();
    std::vector<std::unique_ptr<Executable>> held;
    Exhaustion found;
    for (; found.compiled < most; ++found.compiled) {
        try {
            auto executable = device->compile(package);
            if (hold) {
                held.push_back(std::move(executable));
            }
        } catch (const Error& error) {
            if (error.code() != Code::compile_failed) {
                throw;
            }
            found.message = error.text();
            break;
        }
    }
    return found;
}

}  // namespace pome::device::probe
