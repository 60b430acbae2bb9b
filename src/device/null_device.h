#pragma once

#include <memory>
#include <string_view>

#include "device/device.h"

namespace pome::device {

/// A device that compiles and evaluates nothing: programs are linted and counted, bindings checked,
/// outputs left as they are. For tests of what surrounds a device, and for dry runs. `profile`: as
/// find_profile(). Throws Error{invalid_argument} for an unknown one.
std::unique_ptr<Device> make_null_device(std::string_view profile,
                                         Strictness strictness = Strictness::strict,
                                         std::shared_ptr<Process> process = nullptr);

}  // namespace pome::device
