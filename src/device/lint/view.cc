#include "device/lint/view.h"

namespace pome::device::linting {

FunctionView::FunctionView(const mil::Function& function) : function_(function) {
    for (const auto& parameter : function.parameters) {
        types_[parameter.name] = &parameter.type;
    }
    for (const auto& operation : function.operations) {
        for (const auto& argument : operation.arguments) {
            for (const auto& operand : argument.operands) {
                if (const auto* name = std::get_if<std::string>(&operand)) {
                    users_[*name].push_back(&operation);
                }
            }
        }
        for (const auto& result : operation.results) {
            types_[result.name] = &result.type;
            producers_[result.name] = &operation;
        }
    }
}

const mil::Type* FunctionView::type(std::string_view value) const {
    const auto found = types_.find(value);
    return found == types_.end() ? nullptr : found->second;
}

const mil::Operation* FunctionView::producer(std::string_view value) const {
    const auto found = producers_.find(value);
    return found == producers_.end() ? nullptr : found->second;
}

const std::vector<const mil::Operation*>& FunctionView::users(std::string_view value) const {
    static const std::vector<const mil::Operation*> none;
    const auto found = users_.find(value);
    return found == users_.end() ? none : found->second;
}

const mil::Operand* FunctionView::operand(const mil::Operation& operation,
                                          std::string_view argument) const {
    const mil::Argument* found = operation.find_argument(argument);
    return found == nullptr || found->operands.size() != 1 ? nullptr : &found->operands.front();
}

const mil::Type* FunctionView::type(const mil::Operation& operation,
                                    std::string_view argument) const {
    const mil::Operand* found = operand(operation, argument);
    if (found == nullptr) {
        const mil::Literal* attribute = operation.find_attribute(argument);
        return attribute == nullptr ? nullptr : &attribute->type;
    }
    if (const auto* literal = std::get_if<mil::Literal>(found)) {
        return &literal->type;
    }
    return type(std::get<std::string>(*found));
}

const mil::Operation* FunctionView::producer(const mil::Operation& operation,
                                             std::string_view argument) const {
    const mil::Operand* found = operand(operation, argument);
    const auto* name = found == nullptr ? nullptr : std::get_if<std::string>(found);
    return name == nullptr ? nullptr : producer(*name);
}

const mil::Literal* FunctionView::constant(const mil::Operation& operation,
                                           std::string_view argument) const {
    const mil::Operand* found = operand(operation, argument);
    if (found == nullptr) {
        return operation.find_attribute(argument);
    }
    if (const auto* literal = std::get_if<mil::Literal>(found)) {
        return literal;
    }
    const mil::Operation* made = producer(std::get<std::string>(*found));
    return made == nullptr || made->op != "const" ? nullptr : made->find_attribute("val");
}

std::optional<std::vector<double>> FunctionView::numbers(const mil::Operation& operation,
                                                         std::string_view argument) const {
    const mil::Literal* literal = constant(operation, argument);
    if (literal == nullptr || !literal->type.is_tensor() || literal->type.dtype == DType::string ||
        !literal->type.shape.is_static()) {
        return std::nullopt;
    }
    const auto* bytes = std::get_if<mil::Literal::Bytes>(&literal->payload);
    double wanted = 1.0;  // a product of sizes that were only read may not fit an integer
    for (const std::int64_t size : literal->type.shape) {
        wanted *= static_cast<double>(size);
    }
    if (bytes == nullptr || size_in_memory(literal->type.dtype) == 0 ||
        static_cast<double>(bytes->size() / size_in_memory(literal->type.dtype)) != wanted) {
        return std::nullopt;
    }
    return literal->numbers();
}

std::optional<double> FunctionView::number(const mil::Operation& operation,
                                           std::string_view argument) const {
    const auto all = numbers(operation, argument);
    return !all || all->size() != 1 ? std::nullopt : std::optional(all->front());
}

std::optional<std::string> FunctionView::text(const mil::Operation& operation,
                                              std::string_view argument) const {
    const mil::Literal* literal = constant(operation, argument);
    const auto* strings =
        literal == nullptr ? nullptr : std::get_if<mil::Literal::Strings>(&literal->payload);
    return strings == nullptr || strings->size() != 1 ? std::nullopt
                                                      : std::optional(strings->front());
}

bool FunctionView::flag(const mil::Operation& operation, std::string_view argument) const {
    const auto value = number(operation, argument);
    return value && *value != 0.0;
}

bool FunctionView::is_runtime(const mil::Operation& operation, std::string_view argument) const {
    const mil::Operand* found = operand(operation, argument);
    const auto* name = found == nullptr ? nullptr : std::get_if<std::string>(found);
    if (name == nullptr) {
        return false;
    }
    const mil::Operation* made = producer(*name);
    return made == nullptr || (made->op != "const" && !made->op.starts_with("constexpr_"));
}

const mil::Operation* FunctionView::origin(const mil::Operation& operation,
                                           std::string_view argument) const {
    const mil::Operation* made = producer(operation, argument);
    std::size_t steps = function_.operations.size();  // a circle, where nothing was verified
    while (made != nullptr && steps-- > 0 &&
           (made->op == "reshape" || made->op == "expand_dims" || made->op == "squeeze" ||
            made->op == "cast" || made->op == "identity")) {
        made = producer(*made, "x");
    }
    return made;
}

}  // namespace pome::device::linting
