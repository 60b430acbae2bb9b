#include "device/apple/machine.h"

#include <algorithm>
#include <cctype>

#include "device/apple/foundation.h"
#include "device/profile.h"

namespace pome::device::apple {
namespace {

constexpr std::string_view here = "device.apple";

std::string system_text(const Runtime& runtime, const char* name) {
    std::size_t size = 0;
    if (runtime.call(c_api::sysctlbyname, name, nullptr, &size, nullptr, 0) != 0 || size == 0 ||
        size > 4096) {
        return "";
    }
    std::string text(size, '\0');
    if (runtime.call(c_api::sysctlbyname, name, text.data(), &size, nullptr, 0) != 0) {
        return "";
    }
    text.resize(std::min(size, text.size()));
    return text.substr(0, text.find('\0'));
}

std::int32_t system_number(const Runtime& runtime, const char* name) {
    std::int32_t value = 0;
    std::size_t size = sizeof value;
    const int status = runtime.call(c_api::sysctlbyname, name, &value, &size, nullptr, 0);
    return status == 0 && size == sizeof value ? value : 0;
}

}  // namespace

std::string Machine::text() const {
    return fmt::format(
        "{} ({}){}, macOS {} ({})", brand.empty() ? "unknown chip" : brand,
        model.empty() ? "unknown model" : model, subtype.empty() ? "" : ", engine " + subtype,
        os_version.empty() ? "unknown" : os_version, os_build.empty() ? "unknown build" : os_build);
}

Machine read_machine(const Runtime& runtime) {
    Machine machine;
    machine.brand = system_text(runtime, "machdep.cpu.brand_string");
    machine.model = system_text(runtime, "hw.model");
    machine.os_version = system_text(runtime, "kern.osproductversion");
    machine.os_build = system_text(runtime, "kern.osversion");
    machine.virtual_machine = system_number(runtime, "kern.hv_vmm_present") != 0;
    const AutoreleasePool pool(runtime);
    if (runtime.has(api::has_engine)) {
        machine.has_engine = runtime.send_class(api::has_engine) != 0;
    }
    if (runtime.has(api::engine_subtype)) {
        machine.subtype = text_of(runtime, runtime.send_class(api::engine_subtype));
    }
    return machine;
}

std::optional<std::string> chip_of_brand(std::string_view brand) {
    constexpr std::string_view maker = "Apple ";
    if (!brand.starts_with(maker)) {
        return std::nullopt;
    }
    std::string chip;
    for (const char c : brand.substr(maker.size())) {
        if (c != ' ') {
            chip += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
        }
    }
    const auto known = known_chips();
    if (std::find(known.begin(), known.end(), chip) == known.end()) {
        return std::nullopt;
    }
    return chip;
}

Identification identify(const Machine& machine) {
    if (const auto chip = chip_of_brand(machine.brand)) {
        return {*chip, true, {}};
    }
    return {std::string(most_restrictive_chip), false,
            fmt::format("{}: a chip without a profile; the most restrictive one, {}, is used",
                        machine.text(), most_restrictive_chip)};
}

void require_engine(const Machine& machine) {
    if (machine.virtual_machine) {
        fail(Code::unsupported, here,
             "{} is a virtual machine (kern.hv_vmm_present): it has no engine, and the compiler "
             "service would hang; use --device emulator:m4, or a Mac without virtualization",
             machine.text());
    }
    if (machine.has_engine == false) {
        fail(Code::unsupported, here,
             "{}: the framework says that there is no engine (+[_ANEDeviceInfo hasANE]); use "
             "--device emulator:m4",
             machine.text());
    }
}

void require_system([[maybe_unused]] const std::string& runtime) {
#ifndef __APPLE__
    if (runtime.empty()) {
        fail(Code::unsupported, here,
             "this is no Mac, so there is no engine; --device emulator:m4 computes what one would "
             "(for tests, POME_APPLE_RUNTIME names a library that stands in)");
    }
#endif
}

Survey survey(const std::string& runtime) {
    Survey found;
    try {
        require_system(runtime);
        found.runtime = Runtime::load(runtime);
        found.machine = read_machine(*found.runtime);
        found.identification = identify(found.machine);
        require_engine(found.machine);
        found.runtime->require(Need::always);
    } catch (const Error& error) {
        found.reason = error.message();
    }
    return found;
}

}  // namespace pome::device::apple
