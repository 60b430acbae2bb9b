#include "base/file.h"
#include "cli/commands.h"
#include "device/emulator/emulator.h"
#include "device/reference_device.h"

namespace pome::cli {

namespace {

constexpr std::string_view here = "cli.device";
constexpr std::string_view prefix = "emulator:";

[[noreturn]] void fail_unknown(const std::string& name) {
    std::string known = "reference";
    for (const auto& chip : device::known_chips()) {
        known += ", emulator:" + chip;
    }
    fail(Code::invalid_argument, here, "there is no device '{}'; there are: {}", name, known);
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
    if (!options.facts.empty() && !options.device.starts_with(prefix)) {
        fail(Code::invalid_argument, here,
             "--facts are for emulators: '{}' is computed by no profile", options.device);
    }
    if (options.device == "reference") {
        return device::make_reference_device();
    }
    if (options.device.starts_with(prefix)) {
        const std::string profile = options.device.substr(prefix.size());
        if (!options.facts.empty()) {
            constexpr std::uint64_t largest = 1 << 20;
            return device::emulator::make_emulator(
                device::read_measured_profile(profile, read_text(options.facts, largest),
                                              options.facts),
                made, pool);
        }
        return device::emulator::make_emulator(profile, made, pool);
    }
    fail_unknown(options.device);
}

const device::Profile& find_device_profile(const std::string& name) {
    if (!name.starts_with(prefix)) {
        fail_unknown(name);
    }
    return device::find_profile(std::string_view(name).substr(prefix.size()));
}

void DeviceOptions::add_to(CLI::App& command) {
    command.add_option("--device", device, "reference, or emulator:CHIP; see `pome devices`")
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
    command.add_option("--facts", facts,
                       "of an emulator: a file of `pome probe`, whose values replace its own");
    command.add_option("--threads", threads, "processor threads; 0 takes all")
        ->capture_default_str()
        ->check(CLI::Range(0, 4096));
}

}  // namespace pome::cli
