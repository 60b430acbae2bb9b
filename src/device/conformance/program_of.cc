#include "device/conformance/program_of.h"

#include "device/legalize/legalize.h"

namespace pome::device::conformance {

mil::Package program_of(const std::vector<TextInput>& inputs, const std::string& body,
                        const Profile& profile) {
    const bool canonical = profile.tier > 0 && !profile.capabilities.terse_dialect;
    return text_program(inputs, body, canonical ? mil::Dialect::canonical : mil::Dialect::terse);
}

std::unique_ptr<Executable> compile_fitted(Device& device, const mil::Package& package) {
    Profile surfaces_only;  // no limits, everything supported
    surfaces_only.surfaces = device.profile().surfaces;
    Legalized fitted = legalize(package, surfaces_only);
    return behind_boundary(device.compile(fitted.package), *package.program.find_function("main"),
                           std::move(fitted.boundary));
}

std::vector<double> evaluate(Device& device, const std::vector<TextInput>& inputs,
                             const std::string& body) {
    const auto executable = compile_fitted(device, program_of(inputs, body, device.profile()));
    return device::evaluate(*executable, inputs);
}

}  // namespace pome::device::conformance
