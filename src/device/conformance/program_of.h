#pragma once

#include <memory>
#include <string>
#include <vector>

#include "device/conformance/conformance.h"
#include "device/text_program.h"

namespace pome::device::conformance {

/// A program around statements that define `y` from the inputs, in the dialect that the device
/// reads.
mil::Package program_of(const std::vector<TextInput>& inputs, const std::string& body,
                        const Profile& profile);

/// Compiles a program whose subject is not how its surfaces lie: where the device has rules about
/// those, inputs and outputs are padded to them, and nothing else is rewritten. A case is about
/// what a chip does to a program, so it must reach the chip as it was written.
std::unique_ptr<Executable> compile_fitted(Device& device, const mil::Package& package);

/// Compiles (fitted) and evaluates it; the values of y.
std::vector<double> evaluate(Device& device, const std::vector<TextInput>& inputs,
                             const std::string& body);

}  // namespace pome::device::conformance
