#include "device/conformance/program_of.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "mil/text.h"

namespace pome::device::conformance {

mil::Package program_of(const std::vector<Case::Input>& inputs, const std::string& body,
                        const Profile& profile) {
    std::string parameters;
    for (const auto& input : inputs) {
        parameters += fmt::format("{}tensor<{}, [{}]> {}", parameters.empty() ? "" : ", ",
                                  name(input.dtype), fmt::join(input.shape, ", "), input.name);
    }
    mil::Package package;
    package.program =
        mil::read("program(1.3)[buildInfo = dict<string, string>({})]{func main<ios18>(" +
                      parameters + "){" + body + "} -> (y);}",
                  "case.mil");
    if (profile.tier > 0 && !profile.capabilities.terse_dialect) {
        package.program = mil::read(mil::write(package.program, mil::Dialect::canonical));
    }
    return package;
}

std::vector<double> evaluate(Device& device, const std::vector<Case::Input>& inputs,
                             const std::string& body) {
    const auto executable = device.compile(program_of(inputs, body, device.profile()));
    std::vector<Surface> surfaces;
    surfaces.reserve(inputs.size());
    Bindings bindings;
    for (const auto& input : inputs) {
        Surface& surface = surfaces.emplace_back(mil::Type::tensor(input.dtype, input.shape));
        for (std::size_t i = 0; i < input.values.size(); ++i) {
            if (input.dtype == DType::fp16) {
                surface.halves()[i] = to_fp16(input.values[i], Rounding::nearest_even);
            } else {
                surface.floats()[i] = static_cast<float>(input.values[i]);
            }
        }
        bindings.inputs[input.name] = &surface;
    }
    Surface y(executable->outputs().front().type);
    bindings.outputs["y"] = &y;
    executable->evaluate(bindings);
    std::vector<double> values(static_cast<std::size_t>(y.elements()));
    for (std::size_t i = 0; i < values.size(); ++i) {
        values[i] = y.type().dtype == DType::fp16 ? static_cast<double>(to_float(y.halves()[i]))
                                                  : static_cast<double>(y.floats()[i]);
    }
    return values;
}

}  // namespace pome::device::conformance
