#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "mil/schema.h"
#include "mil/weights.h"

namespace pome::device::emulator {

/// A program with one to three faults: other ops, arguments, operands, types, constants, orders.
/// Often what it declares is made to fit again, so that faults reach beyond the verifier.
class BrokenProgram {
  public:
    BrokenProgram(mil::Package package, std::uint64_t seed)
        : package_(std::move(package)), random_(seed) {
        for (std::uint64_t i = 0; i < 1 + random_.below(3); ++i) {
            break_something();
        }
        if (random_.below(3) != 0) {
            declare_again();
        }
    }

    const mil::Package& package() const { return package_; }

    /// Elements of all values, as declared.
    double elements() const {
        double total = 0.0;
        for (const auto& operation : package_.program.functions.front().operations) {
            for (const auto& result : operation.results) {
                double size = 1.0;
                for (const std::int64_t one : result.type.shape) {
                    size *= static_cast<double>(one);
                }
                total += size;
            }
        }
        return total;
    }

  private:
    mil::Function& function() { return package_.program.functions.front(); }
    std::size_t below(std::size_t bound) { return random_.below(bound); }

    mil::Operation& any_operation() {
        return function().operations[below(function().operations.size())];
    }
    std::string any_value() {
        std::vector<std::string> names;
        for (const auto& parameter : function().parameters) {
            names.push_back(parameter.name);
        }
        for (const auto& operation : function().operations) {
            for (const auto& result : operation.results) {
                names.push_back(result.name);
            }
        }
        names.emplace_back("nothing");
        return names[below(names.size())];
    }
    DType any_dtype() {
        const DType dtypes[] = {DType::fp16, DType::fp32,  DType::int8,    DType::uint8,
                                DType::bf16, DType::int32, DType::boolean, DType::string};
        return dtypes[below(8)];
    }

    void break_literal(mil::Literal& literal) {
        if (auto* bytes = std::get_if<mil::Literal::Bytes>(&literal.payload)) {
            const std::size_t size = size_in_memory(literal.type.dtype);
            if (size == 0 || bytes->size() < size) {
                return;
            }
            switch (below(4)) {
                case 0:
                    bytes->pop_back();
                    return;
                case 1:
                    literal.type.dtype = any_dtype();
                    return;
                default: {  // a small number, sometimes negative
                    const std::size_t at = below(bytes->size() / size) * size;
                    const bool negative = below(3) == 0;
                    for (std::size_t i = 0; i < size; ++i) {
                        (*bytes)[at + i] = static_cast<std::byte>(negative ? 0xFF : 0);
                    }
                    (*bytes)[at] = static_cast<std::byte>(negative ? 0xF8 + below(8) : below(10));
                    return;
                }
            }
        }
        if (auto* texts = std::get_if<mil::Literal::Strings>(&literal.payload)) {
            const char* words[] = {"",      "valid", "same",  "custom",
                                   "EXACT", "fp16",  "int32", "ij,jk->ik"};
            for (auto& text : *texts) {
                text = words[below(8)];
            }
        }
    }

    void break_something() {
        mil::Operation& operation = any_operation();
        const auto schemas = mil::schemas();
        switch (below(12)) {
            case 0:
                if (operation.op != "const") {
                    operation.op = std::string(schemas[below(schemas.size())]->name);
                }
                return;
            case 1:
                if (!operation.arguments.empty()) {
                    operation.arguments.erase(
                        operation.arguments.begin() +
                        static_cast<std::ptrdiff_t>(below(operation.arguments.size())));
                }
                return;
            case 2:
                if (!operation.arguments.empty()) {
                    operation.arguments[below(operation.arguments.size())].name = "y";
                }
                return;
            case 3:
            case 4:
            case 5:
                if (!operation.arguments.empty()) {
                    auto& argument = operation.arguments[below(operation.arguments.size())];
                    if (argument.operands.empty() || below(5) == 0) {
                        argument.operands.emplace_back(any_value());
                    } else {
                        argument.operands[below(argument.operands.size())] = any_value();
                    }
                }
                return;
            case 6:
                if (!operation.results.empty()) {
                    auto& type = operation.results.front().type;
                    if (type.shape.rank() > 0 && below(2) == 0) {
                        type.shape[static_cast<int>(
                            below(static_cast<std::size_t>(type.shape.rank())))] =
                            static_cast<std::int64_t>(below(4)) - 1;
                    } else {
                        type.dtype = any_dtype();
                    }
                }
                return;
            case 7: {
                auto& parameters = function().parameters;
                auto& type = parameters[below(parameters.size())].type;
                if (below(2) == 0) {
                    type.dtype = any_dtype();
                } else {
                    auto sizes = type.shape.sizes();
                    sizes.push_back(static_cast<std::int64_t>(below(4)));
                    type.shape = Shape(sizes);
                }
                return;
            }
            case 8:
                std::swap(operation, any_operation());
                return;
            case 9:
                function().outputs.push_back(any_value());
                return;
            default:
                for (auto& attribute : operation.attributes) {
                    if (attribute.name == "val") {
                        break_literal(attribute.value);
                    }
                }
                return;
        }
    }

    void declare_again() {
        std::map<std::string, mil::Known, std::less<>> known;
        for (const auto& parameter : function().parameters) {
            known[parameter.name] = {parameter.type};
        }
        for (auto& operation : function().operations) {
            const mil::Schema* schema = mil::find_schema(operation.op);
            if (operation.op == "const") {
                if (auto* value = operation.find_attribute("val");
                    value != nullptr && !operation.results.empty()) {
                    operation.results.front().type = value->type;
                    known[operation.results.front().name] = {value->type, value, nullptr};
                }
                continue;
            }
            try {
                if (schema != nullptr && schema->infer != nullptr) {
                    const mil::Arguments arguments(
                        operation, *schema, [&](std::string_view name) -> const mil::Known* {
                            const auto found = known.find(name);
                            return found == known.end() ? nullptr : &found->second;
                        });
                    const auto types = schema->infer(arguments);
                    for (std::size_t i = 0; i < std::min(types.size(), operation.results.size());
                         ++i) {
                        operation.results[i].type = types[i];
                    }
                }
            } catch (const Error&) {  // stays wrong
            }
            for (const auto& result : operation.results) {
                known[result.name] = {result.type};
            }
        }
    }

    mil::Package package_;
    Random random_;
};

}  // namespace pome::device::emulator
