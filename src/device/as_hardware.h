#pragma once

#include <vector>

#include "device/lint.h"
#include "mil/weights.h"

namespace pome::device {

/// The package as the chip computes it: arguments that it ignores are gone, mul ops that it leaves
/// out pass their operand on, and weight files are read with the profile's rules. `findings` are
/// lint()'s of the function.
mil::Package as_hardware(const mil::Package& package, std::string_view function,
                         const std::vector<Finding>& findings, const Profile& profile);

}  // namespace pome::device
