#pragma once

#include <string>
#include <vector>

#include "device/conformance/conformance.h"
#include "device/text_program.h"

namespace pome::device::conformance {

/// A program around statements that define `y` from the inputs, in the dialect that the device
/// reads.
mil::Package program_of(const std::vector<TextInput>& inputs, const std::string& body,
                        const Profile& profile);

/// Compiles and evaluates it; the values of y.
std::vector<double> evaluate(Device& device, const std::vector<TextInput>& inputs,
                             const std::string& body);

}  // namespace pome::device::conformance
