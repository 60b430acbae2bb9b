#pragma once

#include <string>

namespace pome::device::apple {

/// docs/hardware-status.md: every call of the system and every behaviour that Pome relies on, with
/// who specified it and where it has run. A test compares the file with this.
std::string hardware_status();

}  // namespace pome::device::apple
