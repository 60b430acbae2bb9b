#include "cli/commands.h"
#include "device/open/open_device.h"

namespace pome::cli {

std::unique_ptr<device::Device> open_device(const DeviceOptions& options, ThreadPool& pool) {
    return device::open_device(
        {options.device, options.numerics, options.strictness, options.counting}, pool);
}

const device::Profile& find_device_profile(const std::string& name) {
    return device::find_device_profile(name);
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
    command.add_option("--threads", threads, "processor threads; 0 takes all")
        ->capture_default_str()
        ->check(CLI::Range(0, 4096));
}

}  // namespace pome::cli
