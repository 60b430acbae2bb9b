#include "mil/interpreter.h"

#include "base/error.h"
#include "mil/schema.h"
#include "mil/verifier.h"

namespace pome::mil {

struct Interpreter::Prepared {
    Package package;
    const Function* function = nullptr;
    std::map<std::string, reference::Tensor, std::less<>> constants;  // numeric consts, as doubles
    std::map<std::string, Known, std::less<>> known;                  // of consts and parameters
    std::map<std::string, std::size_t, std::less<>> last_use;  // operation that reads a value last
};

Interpreter::Interpreter(Package package, std::string_view function)
    : prepared_(std::make_unique<Prepared>()) {
    Prepared& p = *prepared_;
    p.package = std::move(package);
    verify(p.package.program);
    p.function = p.package.program.find_function(function);
    if (p.function == nullptr) {
        fail(Code::invalid_argument, "mil.interpret", "the program has no function '{}'", function);
    }
    for (std::size_t i = 0; i < p.function->operations.size(); ++i) {
        const Operation& operation = p.function->operations[i];
        if (operation.op == "const") {
            const Literal* value = operation.find_attribute("val");
            const std::string& name = operation.results.front().name;
            Known& known = p.known[name] = {value->type, value};
            if (value->type.is_tensor() && value->type.dtype != DType::string) {
                const Literal plain{value->type, p.package.weights.resolve(*value)};
                known.tensor =
                    &p.constants
                         .emplace(name, reference::Tensor(value->type.shape, plain.numbers()))
                         .first->second;
            }
            continue;
        }
        const Schema* schema = find_schema(operation.op);
        if (schema == nullptr || schema->evaluate == nullptr) {
            fail(Code::unsupported, "mil.interpret", "op '{}' has no reference meaning {}",
                 operation.op, where(operation));
        }
        for (const auto& argument : operation.arguments) {
            for (const auto& operand : argument.operands) {
                if (const auto* name = std::get_if<std::string>(&operand)) {
                    p.last_use[*name] = i;
                }
            }
        }
    }
    for (const auto& output : p.function->outputs) {
        p.last_use[output] = p.function->operations.size();
    }
}

Interpreter::~Interpreter() = default;
Interpreter::Interpreter(Interpreter&&) noexcept = default;

Tensors Interpreter::run(Tensors inputs) const {
    const Prepared& p = *prepared_;
    Tensors live = std::move(inputs);
    std::map<std::string, Known, std::less<>> known = p.known;
    for (const auto& parameter : p.function->parameters) {
        const auto found = live.find(parameter.name);
        if (found == live.end()) {
            fail(Code::binding_missing, "mil.interpret", "input '{}' is missing", parameter.name);
        }
        if (found->second.shape != parameter.type.shape) {
            fail(Code::surface_mismatch, "mil.interpret",
                 "input '{}' is {}, the program declares {}", parameter.name,
                 found->second.shape.text(), parameter.type.shape.text());
        }
        known[parameter.name] = {parameter.type, nullptr, &found->second};
    }
    const auto look_up = [&](std::string_view name) -> const Known* {
        const auto found = known.find(name);
        return found == known.end() ? nullptr : &found->second;
    };
    for (std::size_t i = 0; i < p.function->operations.size(); ++i) {
        const Operation& operation = p.function->operations[i];
        if (operation.op == "const") {
            continue;
        }
        const Schema& schema = *find_schema(operation.op);
        auto results = schema.evaluate(Arguments(operation, schema, look_up, &p.package.weights));
        for (std::size_t r = 0; r < results.size(); ++r) {
            const NamedType& result = operation.results[r];
            const auto& stored = live[result.name] = std::move(results[r]);
            known[result.name] = {result.type, nullptr, &stored};
        }
        for (const auto& argument : operation.arguments) {
            for (const auto& operand : argument.operands) {
                const auto* name = std::get_if<std::string>(&operand);
                if (name != nullptr && p.last_use.find(*name)->second == i) {
                    live.erase(*name);
                }
            }
        }
    }
    Tensors outputs;
    for (const auto& output : p.function->outputs) {
        if (const auto found = live.find(output); found != live.end()) {
            outputs.emplace(output, found->second);
        } else {
            outputs.emplace(output, p.constants.at(output));
        }
    }
    return outputs;
}

Tensors interpret(const Package& package, const Tensors& inputs, std::string_view function) {
    return Interpreter(package, function).run(inputs);
}

}  // namespace pome::mil
