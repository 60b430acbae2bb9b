#include "device/text_program.h"

#include <fmt/ranges.h>

#include "mil/builder.h"
#include "mil/text.h"

namespace pome::device {
namespace {

mil::Operation named_constant(std::string name, mil::Literal value) {
    mil::Operation constant;
    constant.op = "const";
    constant.results.push_back({name, value.type});
    constant.attributes.push_back({"name", mil::Literal::text(std::move(name))});
    constant.attributes.push_back({"val", std::move(value)});
    return constant;
}

/// Every literal argument as a const operation before its use, RESULT_ARGUMENT.
void name_literals(mil::Function& function) {
    std::vector<mil::Operation> all;
    for (mil::Operation& operation : function.operations) {
        for (mil::Argument& argument : operation.arguments) {
            for (mil::Operand& operand : argument.operands) {
                if (auto* literal = std::get_if<mil::Literal>(&operand)) {
                    std::string name =
                        fmt::format("{}_{}", operation.results.front().name, argument.name);
                    all.push_back(named_constant(name, std::move(*literal)));
                    operand = std::move(name);
                }
            }
        }
        all.push_back(std::move(operation));
    }
    function.operations = std::move(all);
}

}  // namespace

mil::Package text_program(const std::vector<TextInput>& inputs, std::string_view body,
                          mil::Dialect dialect, const std::vector<TextConstant>& constants) {
    std::string parameters;
    for (const auto& input : inputs) {
        parameters += fmt::format("{}tensor<{}, [{}]> {}", parameters.empty() ? "" : ", ",
                                  name(input.dtype), fmt::join(input.shape, ", "), input.name);
    }
    mil::Program text = mil::read(
        fmt::format("program(1.3){{func main<ios18>({}){{{}}} -> (y);}}", parameters, body),
        "text");
    mil::Function function = std::move(text.functions.front());
    function.opset = dialect == mil::Dialect::terse ? "ios18" : "ios16";
    name_literals(function);
    mil::Package package;
    std::vector<mil::Operation> stored;
    for (const auto& constant : constants) {
        stored.push_back(named_constant(
            constant.name,
            package.weights.store(fmt::format("@model_path/weights/{}.bin", constant.name),
                                  constant.dtype, constant.shape, constant.values)));
    }
    function.operations.insert(function.operations.begin(), std::make_move_iterator(stored.begin()),
                               std::make_move_iterator(stored.end()));
    package.program = mil::make_program(std::move(function), dialect);
    return package;
}

std::vector<double> evaluate(Executable& executable, const std::vector<TextInput>& inputs,
                             std::size_t allocation) {
    std::vector<Surface> surfaces;
    surfaces.reserve(inputs.size());
    Bindings bindings;
    for (const auto& input : inputs) {
        Surface& surface =
            surfaces.emplace_back(mil::Type::tensor(input.dtype, input.shape), input.allocation);
        for (std::size_t i = 0; i < input.values.size(); ++i) {
            if (input.dtype == DType::fp16) {
                surface.halves()[i] = to_fp16(input.values[i], Rounding::nearest_even);
            } else {
                surface.floats()[i] = static_cast<float>(input.values[i]);
            }
        }
        bindings.inputs[input.name] = &surface;
    }
    Surface y(executable.outputs().front().type, allocation);
    bindings.outputs["y"] = &y;
    executable.evaluate(bindings);
    std::vector<double> values(static_cast<std::size_t>(y.elements()));
    for (std::size_t i = 0; i < values.size(); ++i) {
        values[i] = y.type().dtype == DType::fp16 ? static_cast<double>(to_float(y.halves()[i]))
                                                  : static_cast<double>(y.floats()[i]);
    }
    return values;
}

}  // namespace pome::device
