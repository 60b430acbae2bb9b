#include <fmt/core.h>

#include <cstdio>
#include <sstream>

#include "cli/commands.h"
#include "cli/process.h"
#include "device/apple/apple_device.h"
#include "device/apple/route.h"
#include "device/emulator/emulator.h"
#include "device/reference_device.h"

namespace pome::cli {

namespace {

constexpr std::string_view here = "cli.device";
constexpr std::string_view prefix = "emulator:";
constexpr std::string_view stand_in_for_the_engine = "emulator:m4";  // what "auto" falls back to

[[noreturn]] void fail_unknown(const std::string& name) {
    std::string known = "apple, auto, reference";
    for (const auto& chip : device::known_chips()) {
        known += ", emulator:" + chip;
    }
    fail(Code::invalid_argument, here, "there is no device '{}'; there are: {}", name, known);
}

bool is_apple(std::string_view name) {
    return name == "apple" || name.starts_with("apple:");
}

/// The routes of "apple:in-memory,client".
std::vector<std::string> routes_of(const std::string& name) {
    const auto colon = name.find(':');
    if (colon == std::string::npos) {
        return device::apple::known_apple_routes();
    }
    std::vector<std::string> routes;
    std::istringstream list(name.substr(colon + 1));
    for (std::string route; std::getline(list, route, ',');) {
        routes.push_back(route);
    }
    return routes;
}

std::unique_ptr<device::Device> open_engine(const std::string& name, const EngineOptions& options) {
    device::apple::Options made;
    made.routes = routes_of(name);
    using device::apple::Trial;
    const std::map<std::string, Trial> trials{
        {"off", Trial::off}, {"first", Trial::first}, {"every", Trial::every}};
    const auto trial = trials.find(options.trial);
    if (trial == trials.end()) {
        fail(Code::invalid_argument, here, "trial '{}' is not off, first or every", options.trial);
    }
    made.trial = trial->second;
    made.evaluate_seconds = options.call_seconds;
    made.compile_seconds = options.call_seconds * 5;
    made.trial_seconds = options.call_seconds * 2;
    made.trial_command = {program_path(), "engine-trial", "--call-seconds",
                          fmt::format("{}", options.call_seconds)};
    auto device = device::apple::open_apple_device(made);
    for (const auto& remark : device->remarks()) {
        fmt::print(stderr, "note: {}\n", remark);
    }
    return device;
}

}  // namespace

std::unique_ptr<device::Device> open_device(const DeviceOptions& options, ThreadPool& pool) {
    const auto choose = [](std::string_view what, const std::string& given, std::string_view first,
                           std::string_view second) {
        if (given != first && given != second) {
            fail(Code::invalid_argument, here, "{} '{}' is not {} or {}", what, given, first,
                 second);
        }
        return given == first;
    };
    device::emulator::Options made;
    made.mode = choose("numerics", options.numerics, "exact", "fast")
                    ? device::emulator::Mode::exact
                    : device::emulator::Mode::fast;
    made.strictness = choose("strictness", options.strictness, "strict", "as-hardware")
                          ? device::Strictness::strict
                          : device::Strictness::as_hardware;
    made.counting = options.counting;
    if (is_apple(options.device)) {
        return open_engine(options.device, options.engine);
    }
    if (options.device == "auto") {
        try {
            return open_engine("apple", options.engine);
        } catch (const Error& error) {
            if (options.engine.require_device) {
                throw;
            }
            fmt::print(stderr, "note: the engine is not used: {}\nnote: {} is used instead\n",
                       error.message(), stand_in_for_the_engine);
            DeviceOptions emulated = options;
            emulated.device = stand_in_for_the_engine;
            return open_device(emulated, pool);
        }
    }
    if (options.engine.require_device) {
        fail(Code::unsupported, here,
             "--require-device asks for the engine, but the device is '{}'; use --device apple",
             options.device);
    }
    if (options.device == "reference") {
        return device::make_reference_device();
    }
    if (options.device.starts_with(prefix)) {
        return device::emulator::make_emulator(options.device.substr(prefix.size()), made, pool);
    }
    fail_unknown(options.device);
}

const device::Profile& find_device_profile(const std::string& name) {
    if (is_apple(name)) {
        const auto found =
            device::apple::survey(device::apple::Options::runtime_from_environment());
        if (!found.is_available()) {
            fail(Code::unsupported, here, "{}", found.reason);
        }
        const auto routes = routes_of(name);
        return device::find_profile(found.identification.chip +
                                    (routes.empty() ? "" : "/" + routes.front()));
    }
    if (!name.starts_with(prefix)) {
        fail_unknown(name);
    }
    return device::find_profile(std::string_view(name).substr(prefix.size()));
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
    command.add_option("--threads", threads, "processor threads; 0 takes all")
        ->capture_default_str()
        ->check(CLI::Range(0, 4096));
}

}  // namespace pome::cli
