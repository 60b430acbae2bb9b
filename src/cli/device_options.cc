#include <fmt/core.h>

#include <cstdio>

#include "cli/commands.h"
#include "cli/process.h"
#include "device/apple/apple_device.h"
#include "device/open/open_device.h"

namespace pome::cli {

std::unique_ptr<device::Device> open_device(const DeviceOptions& options, ThreadPool& pool) {
    device::DeviceRequest request{options.device, options.numerics, options.strictness,
                                  options.counting};
    request.facts = options.facts;
    request.engine = {options.engine.trial,
                      {program_path(), "engine-trial", "--call-seconds",
                       fmt::format("{}", options.engine.call_seconds)},
                      options.engine.call_seconds,
                      options.engine.require_device};
    request.note = [](const std::string& sentence) { fmt::print(stderr, "note: {}\n", sentence); };
    return device::open_device(request, pool);
}

const device::Profile& find_device_profile(const std::string& name) {
    return device::find_device_profile(name);
}

void report_engine(const device::Device& device) {
    const auto* engine = dynamic_cast<const device::apple::AppleDevice*>(&device);
    if (engine == nullptr) {
        return;
    }
    const auto count = engine->engine_evaluations();
    if (engine->is_stand_in()) {
        fmt::print(stderr, "stand-in: {} evaluations; nothing ran on an engine\n", count);
    } else if (count > 0) {
        fmt::print(stderr, "engine: {} evaluations on {} by {}\n", count, engine->machine().text(),
                   device.name());
    }
}

void EngineOptions::add_to(CLI::App& command) {
    command
        .add_option("--trial", trial,
                    "device apple: what a child process tries before this one does: off, first "
                    "(the device's own check) or every (every new program too)")
        ->capture_default_str();
    command
        .add_option("--call-seconds", call_seconds,
                    "device apple: the longest that one evaluation may take; compiles five times "
                    "as long")
        ->capture_default_str()
        ->check(CLI::Range(0.1, 86400.0));
    command.add_flag("--require-device", require_device,
                     "fail rather than use anything else than this machine's engine");
}

std::vector<std::string> EngineOptions::words() const {
    std::vector<std::string> all{"--trial", trial, "--call-seconds",
                                 fmt::format("{}", call_seconds)};
    if (require_device) {
        all.emplace_back("--require-device");
    }
    return all;
}

void DeviceOptions::add_to(CLI::App& command) {
    command
        .add_option("--device", device,
                    "apple[:ROUTE,...], auto, reference, or emulator:CHIP; see `pome devices`")
        ->capture_default_str();
    command
        .add_option("--numerics", numerics,
                    "of an emulator: exact (as the chip) or fast (fp16 storage, fp32 sums)")
        ->capture_default_str();
    command
        .add_option("--strictness", strictness,
                    "of an emulator: strict (silent failures of the chip are errors) or "
                    "as-hardware (they happen)")
        ->capture_default_str();
    engine.add_to(command);
    command.add_option("--facts", facts,
                       "of an emulator: a file of `pome probe`, whose values replace its own");
    command.add_option("--threads", threads, "processor threads; 0 takes all")
        ->capture_default_str()
        ->check(CLI::Range(0, 4096));
}

}  // namespace pome::cli
