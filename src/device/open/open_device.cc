#include "device/open/open_device.h"

#include "base/error.h"
#include "device/reference_device.h"

namespace pome::device {

namespace {

constexpr std::string_view here = "device.open";
constexpr std::string_view prefix = "emulator:";

[[noreturn]] void fail_unknown(const std::string& name) {
    std::string known = "reference";
    for (const auto& chip : known_chips()) {
        known += ", emulator:" + chip;
    }
    fail(Code::invalid_argument, here, "there is no device '{}'; there are: {}", name, known);
}

}  // namespace

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
    if (request.device == "reference") {
        return make_reference_device();
    }
    if (request.device.starts_with(prefix)) {
        return emulator::make_emulator(request.device.substr(prefix.size()), made, pool);
    }
    fail_unknown(request.device);
}

const Profile& find_device_profile(const std::string& name) {
    if (!name.starts_with(prefix)) {
        fail_unknown(name);
    }
    return find_profile(std::string_view(name).substr(prefix.size()));
}

}  // namespace pome::device
