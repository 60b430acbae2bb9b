#include "device/open/open_device.h"

#include <map>
#include <mutex>
#include <sstream>

#include "base/data_directory.h"
#include "base/error.h"
#include "base/file.h"
#include "device/apple/apple_device.h"
#include "device/apple/route.h"
#include "device/probe/results.h"
#include "device/reference_device.h"

namespace pome::device {

namespace {

constexpr std::string_view here = "device.open";
constexpr std::string_view prefix = "emulator:";
constexpr std::string_view stand_in_for_the_engine = "emulator:m4";  // what "auto" falls back to

[[noreturn]] void fail_unknown(const std::string& name) {
    std::string known = "apple, auto, reference";
    for (const auto& chip : known_chips()) {
        known += ", emulator:" + chip;
    }
    fail(Code::invalid_argument, here, "there is no device '{}'; there are: {}", name, known);
}

bool is_apple(std::string_view name) {
    return name == "apple" || name.starts_with("apple:");
}

void note(const DeviceRequest& request, const std::string& sentence) {
    if (request.note) {
        request.note(sentence);
    }
}

/// What `pome probe` stored for this chip, route and build of macOS, over the built-in profile.
Profile measured_profile(const std::string& profile, const apple::Machine& machine,
                         bool is_stand_in, const std::function<void(const std::string&)>& told) {
    std::filesystem::path directory, file;
    try {
        directory = user_data_directory();
    } catch (const Error&) {
        return find_profile(profile);  // no home: nothing was ever stored
    }
    Profile found = probe::engine_profile(
        directory, probe::engine_origin(profile, machine.os_build, is_stand_in), &file);
    if (!file.empty() && told) {
        told(fmt::format("{} is used over the built-in profile {}", file.string(), profile));
    }
    return found;
}

std::unique_ptr<Device> open_engine(const std::string& name, const DeviceRequest& request) {
    using apple::Trial;
    const std::map<std::string, Trial> trials{
        {"off", Trial::off}, {"first", Trial::first}, {"every", Trial::every}};
    const auto trial = trials.find(request.engine.trial);
    if (trial == trials.end()) {
        fail(Code::invalid_argument, here, "trial '{}' is not off, first or every",
             request.engine.trial);
    }
    apple::Options made;
    made.routes = engine_routes(name);
    made.trial = trial->second;
    made.trial_command = request.engine.trial_command;
    made.evaluate_seconds = request.engine.call_seconds;
    made.compile_seconds = request.engine.call_seconds * 5;
    made.trial_seconds = request.engine.call_seconds * 2;
    made.profile = [told = request.note](const std::string& profile, const apple::Machine& machine,
                                         bool is_stand_in) {
        return measured_profile(profile, machine, is_stand_in, told);
    };
    auto device = apple::open_apple_device(made);
    for (const auto& remark : device->remarks()) {
        note(request, remark);
    }
    return device;
}

}  // namespace

std::vector<std::string> engine_routes(const std::string& name) {
    if (!is_apple(name)) {
        return {};
    }
    const auto colon = name.find(':');
    if (colon == std::string::npos) {
        return apple::known_apple_routes();
    }
    std::vector<std::string> routes;
    std::istringstream list(name.substr(colon + 1));
    for (std::string route; std::getline(list, route, ',');) {
        routes.push_back(route);
    }
    return routes;
}

std::unique_ptr<Device> open_device(const DeviceRequest& request, ThreadPool& pool) {
    const auto choose = [](std::string_view what, const std::string& given, std::string_view first,
                           std::string_view second) {
        if (given != first && given != second) {
            fail(Code::invalid_argument, here, "{} '{}' is not {} or {}", what, given, first,
                 second);
        }
        return given == first;
    };
    emulator::Options made;
    made.mode = choose("numerics", request.numerics, "exact", "fast") ? emulator::Mode::exact
                                                                      : emulator::Mode::fast;
    made.strictness = choose("strictness", request.strictness, "strict", "as-hardware")
                          ? Strictness::strict
                          : Strictness::as_hardware;
    made.counting = request.counting;
    if (!request.facts.empty() && !request.device.starts_with(prefix)) {
        fail(Code::invalid_argument, here,
             "--facts are for emulators: '{}' is computed by no profile", request.device);
    }
    if (is_apple(request.device)) {
        return open_engine(request.device, request);
    }
    if (request.device == "auto") {
        try {
            return open_engine("apple", request);
        } catch (const Error& error) {
            if (request.engine.required || error.code() == Code::malformed_file) {
                throw;
            }
            note(request, fmt::format("the engine is not used: {}", error.message()));
            note(request, fmt::format("{} is used instead", stand_in_for_the_engine));
            DeviceRequest emulated = request;
            emulated.device = stand_in_for_the_engine;
            return open_device(emulated, pool);
        }
    }
    if (request.engine.required) {
        fail(Code::unsupported, here,
             "--require-device asks for the engine, but the device is '{}'; use --device apple",
             request.device);
    }
    if (request.device == "reference") {
        return make_reference_device();
    }
    if (request.device.starts_with(prefix)) {
        const std::string profile = request.device.substr(prefix.size());
        if (!request.facts.empty()) {
            constexpr std::uint64_t largest = 1 << 20;
            return emulator::make_emulator(
                read_measured_profile(profile, read_text(request.facts, largest), request.facts),
                made, pool);
        }
        return emulator::make_emulator(profile, made, pool);
    }
    fail_unknown(request.device);
}

const Profile& find_device_profile(const std::string& name) {
    if (is_apple(name)) {
        const auto found = apple::survey(apple::Options::runtime_from_environment());
        if (!found.is_available()) {
            fail(Code::unsupported, here, "{}", found.reason);
        }
        const auto routes = engine_routes(name);
        // Kept for as long as the process runs, as built-in ones are.
        static std::map<std::string, Profile> known;
        static std::mutex mutex;
        const std::lock_guard lock(mutex);
        const std::string profile =
            found.identification.chip + "/" +
            (routes.empty() ? apple::known_apple_routes().front() : routes.front());
        const auto kept = known.find(profile);
        if (kept != known.end()) {
            return kept->second;
        }
        return known
            .emplace(profile,
                     measured_profile(profile, found.machine, found.runtime->is_replacement(), {}))
            .first->second;
    }
    if (!name.starts_with(prefix)) {
        fail_unknown(name);
    }
    return find_profile(std::string_view(name).substr(prefix.size()));
}

}  // namespace pome::device
