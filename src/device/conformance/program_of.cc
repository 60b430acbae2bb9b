#include "device/conformance/program_of.h"

namespace pome::device::conformance {

mil::Package program_of(const std::vector<TextInput>& inputs, const std::string& body,
                        const Profile& profile) {
    const bool canonical = profile.tier > 0 && !profile.capabilities.terse_dialect;
    return text_program(inputs, body, canonical ? mil::Dialect::canonical : mil::Dialect::terse);
}

std::vector<double> evaluate(Device& device, const std::vector<TextInput>& inputs,
                             const std::string& body) {
    const auto executable = device.compile(program_of(inputs, body, device.profile()));
    return device::evaluate(*executable, inputs);
}

}  // namespace pome::device::conformance
