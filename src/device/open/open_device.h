#pragma once

#include <memory>
#include <string>

#include "base/thread_pool.h"
#include "device/device.h"
#include "device/emulator/emulator.h"

namespace pome::device {

/// A device as people write it.
struct DeviceRequest {
    std::string device = "emulator:m4";
    std::string numerics = "exact";
    std::string strictness = "strict";
    emulator::Counting counting = emulator::Counting::products;
};

/// Opens "reference" or "emulator:CHIP[/ROUTE][+ALTERNATIVE]"; `numerics` is "exact" or "fast",
/// `strictness` "strict" or "as-hardware". The pool must outlive the device. Throws
/// Error{invalid_argument} listing what there is.
std::unique_ptr<Device> open_device(const DeviceRequest& request, ThreadPool& pool);

/// The profile of "emulator:CHIP[/ROUTE][+ALTERNATIVE]".
const Profile& find_device_profile(const std::string& name);

}  // namespace pome::device
