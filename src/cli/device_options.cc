#include "cli/commands.h"
#include "device/emulator/emulator.h"
#include "device/reference_device.h"

namespace pome::cli {

std::unique_ptr<device::Device> open_device(const std::string& name, const std::string& numerics,
                                            ThreadPool& pool) {
    if (numerics != "exact" && numerics != "fast") {
        fail(Code::invalid_argument, "cli.device", "numerics '{}' is not exact or fast", numerics);
    }
    if (name == "reference") {
        return device::make_reference_device();
    }
    constexpr std::string_view prefix = "emulator:";
    if (name.starts_with(prefix)) {
        device::emulator::Options options;
        options.mode =
            numerics == "fast" ? device::emulator::Mode::fast : device::emulator::Mode::exact;
        return device::emulator::make_emulator(name.substr(prefix.size()), options, pool);
    }
    std::string known = "reference";
    for (const auto& chip : device::known_chips()) {
        known += ", emulator:" + chip;
    }
    fail(Code::invalid_argument, "cli.device", "there is no device '{}'; there are: {}", name,
         known);
}

void DeviceOptions::add_to(CLI::App& command) {
    command.add_option("--device", device, "reference, or emulator:CHIP; see `pome devices`")
        ->capture_default_str();
    command
        .add_option("--numerics", numerics,
                    "of an emulator: exact (as the chip) or fast (fp16 storage, fp32 sums)")
        ->capture_default_str();
    command.add_option("--threads", threads, "processor threads; 0 takes all")
        ->capture_default_str()
        ->check(CLI::Range(0, 4096));
}

}  // namespace pome::cli
