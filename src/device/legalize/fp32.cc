// Programs that take or compute fp32 as programs of fp16, for routes without the cast.
#include <algorithm>
#include <map>

#include "device/legalize/parts.h"
#include "device/legalize/rules.h"
#include "mil/verifier.h"

namespace pome::device::legalizing {

const RewriteInfo fp32_info{"fp32", "capabilities.fp32_cast is false",
                            "fp32 inputs, outputs, constants and values become fp16, casts between "
                            "them are left out; the caller's surfaces are converted outside",
                            Equality::mathematics};

namespace {

constexpr double largest = 65504.0;

bool is_fp32(const mil::Type& type) {
    return type.is_tensor() && type.dtype == DType::fp32;
}

class Narrower {
  public:
    Narrower(const mil::Function& from, const Work& work) : work_(work), function_(from) {}

    /// Throws Error where a constant cannot be read.
    mil::Function run() {
        std::vector<mil::Operation> operations;
        for (auto& parameter : function_.parameters) {
            narrow(parameter.type);
            types_[parameter.name] = parameter.type;
        }
        for (auto& operation : function_.operations) {
            if (!take(operation)) {
                operations.push_back(std::move(operation));
            }
        }
        function_.operations = std::move(operations);
        for (auto& output : function_.outputs) {
            if (const auto alias = aliases_.find(output); alias != aliases_.end()) {
                output = alias->second;
            }
        }
        return std::move(function_);
    }

    bool inside() const { return inside_; }

  private:
    void narrow(mil::Type& type) {
        if (is_fp32(type)) {
            type.dtype = DType::fp16;
        }
    }

    void narrow(mil::Literal& literal, const std::string& name) {
        if (!is_fp32(literal.type)) {
            return;
        }
        const bool in_file = literal.is_blob();
        mil::Literal plain{literal.type, work_.weights.resolve(literal)};
        std::vector<double> values = plain.numbers();
        for (double& value : values) {  // -3e38 in a mask means "very low", not "infinitely low"
            if (std::isfinite(value)) {
                value = std::clamp(value, -largest, largest);
            }
        }
        if (!in_file) {
            literal = mil::Literal::tensor(DType::fp16, literal.type.shape, values);
            return;
        }
        std::string path;
        for (int i = 0; path.empty() || work_.weights.files().contains(path); ++i) {
            path = fmt::format("@model_path/weights/{}_fp16{}.bin", name,
                               i == 0 ? "" : fmt::format("_{}", i));
        }
        literal = work_.weights.store(path, DType::fp16, literal.type.shape, values);
    }

    /// Rewrites one operation; returns true when it is left out.
    bool take(mil::Operation& operation) {
        const std::string name =
            operation.results.empty() ? operation.op : operation.results.front().name;
        for (auto& argument : operation.arguments) {
            for (auto& operand : argument.operands) {
                if (auto* value = std::get_if<std::string>(&operand)) {
                    if (const auto alias = aliases_.find(*value); alias != aliases_.end()) {
                        *value = alias->second;
                    }
                } else {
                    narrow(std::get<mil::Literal>(operand), name);
                }
            }
        }
        for (auto& attribute : operation.attributes) {
            narrow(attribute.value, name);
        }
        const bool wide = std::any_of(operation.results.begin(), operation.results.end(),
                                      [](const auto& result) { return is_fp32(result.type); });
        for (auto& result : operation.results) {
            narrow(result.type);
            types_[result.name] = result.type;
        }
        if (operation.op == "cast") {
            return take_cast(operation, wide);
        }
        inside_ = inside_ || (wide && operation.op != "const");
        return false;
    }

    bool take_cast(mil::Operation& operation, bool wide) {
        const mil::Argument* x = operation.find_argument("x");
        const auto* name = x == nullptr || x->operands.empty()
                               ? nullptr
                               : std::get_if<std::string>(&x->operands.front());
        const mil::NamedType& result = operation.results.front();
        if (name != nullptr && types_.contains(*name) && types_.at(*name) == result.type) {
            // A cast to what the value is. An output keeps a name of its own.
            const auto& outputs = function_.outputs;
            const bool clash =
                std::find(outputs.begin(), outputs.end(), result.name) != outputs.end() &&
                (std::find(outputs.begin(), outputs.end(), *name) != outputs.end() ||
                 std::any_of(function_.parameters.begin(), function_.parameters.end(),
                             [&](const auto& parameter) { return parameter.name == *name; }));
            if (!clash) {
                aliases_[result.name] = *name;
                return true;
            }
            operation.op = "reshape";
            operation.arguments = {
                {"shape", {mil::Literal::integers(result.type.shape.sizes())}, false},
                {"x", {*name}, false}};
            return false;
        }
        if (wide) {
            for (auto& argument : operation.arguments) {
                if (argument.name == "dtype") {
                    argument.operands = {mil::Literal::text("fp16")};
                }
            }
        }
        return false;
    }

    const Work& work_;
    mil::Function function_;
    std::map<std::string, mil::Type, std::less<>> types_;
    std::map<std::string, std::string, std::less<>> aliases_;
    bool inside_ = false;
};

/// The first value that is fp32; nullptr when there is none.
const mil::NamedType* first_fp32(const mil::Function& function, mil::Position& position) {
    position = function.position;
    for (const auto& parameter : function.parameters) {
        if (is_fp32(parameter.type)) {
            return &parameter;
        }
    }
    for (const auto& operation : function.operations) {
        for (const auto& result : operation.results) {
            if (is_fp32(result.type) && operation.op != "const") {
                position = operation.position;
                return &result;
            }
        }
    }
    return nullptr;
}

}  // namespace

mil::Function without_fp32(const mil::Function& function, const Work& work) {
    mil::Position position;
    const mil::NamedType* first = first_fp32(function, position);
    if (work.profile.capabilities.fp32_cast || first == nullptr) {
        return function;
    }
    Narrower narrower(function, work);
    mil::Function narrow;
    try {
        narrow = narrower.run();
        mil::verify(mil::make_program(narrow));
    } catch (const Error& error) {
        work.refusals.push_back({std::string(fp32_info.rule), position.line, first->name,
                                 fmt::format("fp32 cannot become fp16: {}", error.message())});
        return function;
    }
    for (std::size_t i = 0; i < function.parameters.size(); ++i) {
        if (is_fp32(function.parameters[i].type)) {
            part_of(work.boundary, true, function.parameters[i]).type = narrow.parameters[i].type;
        }
    }
    for (std::size_t i = 0; i < function.outputs.size(); ++i) {
        const mil::Type* old = function.find_type(function.outputs[i]);
        if (is_fp32(*old)) {
            BoundaryPart& part = part_of(work.boundary, false, {function.outputs[i], *old});
            part.type = *narrow.find_type(narrow.outputs[i]);
            part.name = narrow.outputs[i];
        }
    }
    work.changes.push_back(
        {std::string(fp32_info.rule), position.line, first->name,
         narrower.inside()
             ? "all fp32 values became fp16: the route has no cast to or from fp32"
             : "fp32 inputs and outputs became fp16, the caller converts: the route has no cast to "
               "or from fp32",
         narrower.inside() ? Equality::mathematics : Equality::bits});
    return narrow;
}

}  // namespace pome::device::legalizing
