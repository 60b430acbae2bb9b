#include <algorithm>
#include <set>

#include "mil/schema.h"

namespace pome::mil {
namespace {

bool accepts(const Parameter& parameter, DType dtype) {
    return parameter.dtypes.empty() || std::find(parameter.dtypes.begin(), parameter.dtypes.end(),
                                                 dtype) != parameter.dtypes.end();
}

}  // namespace

std::string where(const Operation& operation) {
    const std::string value =
        operation.results.empty() ? operation.op : operation.results.front().name;
    return operation.position.line > 0
               ? fmt::format("(line {}, %{})", operation.position.line, value)
               : fmt::format("(%{})", value);
}

void Arguments::fail_with(const std::string& message) const {
    throw Error(Code::malformed_program, "mil." + operation_->op,
                message + " " + where(*operation_));
}

Arguments::Arguments(const Operation& operation, const Schema& schema, Lookup lookup,
                     const WeightFiles* weights)
    : operation_(&operation), weights_(weights) {
    std::set<std::string_view> given;
    for (const auto& argument : operation.arguments) {
        const bool known = std::any_of(schema.parameters.begin(), schema.parameters.end(),
                                       [&](const Parameter& p) { return p.name == argument.name; });
        if (!known) {
            fail("has no parameter '{}'", argument.name);
        }
        if (!given.insert(argument.name).second) {
            fail("'{}' is given twice", argument.name);
        }
    }
    bound_.reserve(schema.parameters.size());
    for (const Parameter& parameter : schema.parameters) {
        bind(parameter, lookup);
    }
}

void Arguments::bind(const Parameter& parameter, const Lookup& lookup) {
    Bound bound;
    bound.parameter = &parameter;
    const auto take = [&](const Literal& literal) {
        bound.operands.push_back({literal.type, &literal, nullptr});
    };
    if (const Argument* argument = operation_->find_argument(parameter.name)) {
        bound.given = true;
        if (parameter.kind != Parameter::Kind::tensors && argument->operands.size() != 1) {
            fail("'{}' takes one value, {} are given", parameter.name, argument->operands.size());
        }
        for (const Operand& operand : argument->operands) {
            if (const auto* literal = std::get_if<Literal>(&operand)) {
                take(*literal);
                continue;
            }
            const auto& value = std::get<std::string>(operand);
            const Known* known = lookup(value);
            if (known == nullptr) {
                fail("'{}' is not defined before it is used", value);
            }
            bound.operands.push_back(*known);
        }
    } else if (const Literal* attribute = operation_->find_attribute(parameter.name);
               attribute != nullptr && operation_->arguments.empty()) {
        bound.given = true;
        take(*attribute);
    } else if (parameter.default_value) {
        take(*parameter.default_value);
    } else if (parameter.required) {
        fail("'{}' is missing", parameter.name);
    }
    check(bound);
    bound_.push_back(std::move(bound));
}

void Arguments::check(const Bound& bound) const {
    for (const Known& operand : bound.operands) {
        if (!operand.type.is_tensor()) {
            fail("'{}' is a {}, it must be a tensor", bound.parameter->name, operand.type.text());
        }
        if (!accepts(*bound.parameter, operand.type.dtype)) {
            fail("'{}' is {}, which this op does not take", bound.parameter->name,
                 operand.type.text());
        }
        check_sizes(*bound.parameter, operand.type);
    }
}

void Arguments::check_sizes(const Parameter& parameter, const Type& type) const {
    constexpr std::int64_t most = std::int64_t{1} << 31, most_elements = std::int64_t{1} << 62;
    std::int64_t elements = 1;
    for (const std::int64_t size : type.shape) {
        if (size > most) {
            fail("'{}' is {}: a size may not exceed 2^31", parameter.name, type.text());
        }
        if (size > 1 && elements > most_elements / size) {
            fail("'{}' is {}: it has more than 2^62 elements", parameter.name, type.text());
        }
        elements *= std::max<std::int64_t>(size, 1);
    }
}

const Arguments::Bound& Arguments::find(std::string_view wanted) const {
    for (const Bound& bound : bound_) {
        if (bound.parameter->name == wanted) {
            return bound;
        }
    }
    fail("has no parameter '{}'", wanted);
}

bool Arguments::has(std::string_view wanted) const {
    return find(wanted).given;
}

const Type& Arguments::type(std::string_view wanted) const {
    const Bound& bound = find(wanted);
    if (bound.operands.size() != 1) {
        fail("'{}' is missing", wanted);
    }
    return bound.operands.front().type;
}

std::vector<Type> Arguments::types(std::string_view wanted) const {
    std::vector<Type> types;
    for (const Known& operand : find(wanted).operands) {
        types.push_back(operand.type);
    }
    return types;
}

const Literal* Arguments::constant(std::string_view wanted) const {
    const Bound& bound = find(wanted);
    return bound.operands.size() == 1 ? bound.operands.front().constant : nullptr;
}

const Literal& Arguments::constant_or_fail(std::string_view wanted, std::string_view what) const {
    const Literal* literal = constant(wanted);
    if (literal == nullptr) {
        fail("'{}' must be a constant {}", wanted, what);
    }
    if (literal->is_blob()) {
        fail("'{}' must be written in the program, not in a weight file", wanted);
    }
    return *literal;
}

std::int64_t Arguments::integer(std::string_view wanted) const {
    const auto values = integers(wanted);
    if (values.size() != 1) {
        fail("'{}' must be one integer, it has {}", wanted, values.size());
    }
    return values.front();
}

std::vector<std::int64_t> Arguments::integers(std::string_view wanted) const {
    const Literal& literal = constant_or_fail(wanted, "of integers");
    if (!literal.type.is_tensor() || !is_integer(literal.type.dtype)) {
        fail("'{}' must be integers, it is {}", wanted, literal.type.text());
    }
    const auto numbers = literal.numbers();
    for (const double number : numbers) {
        if (!(number >= -0x1p31 && number <= 0x1p31)) {
            fail("'{}' has {}, outside [-2^31, 2^31]", wanted, number);
        }
    }
    return {numbers.begin(), numbers.end()};
}

std::vector<std::int64_t> Arguments::booleans(std::string_view wanted) const {
    const Literal& literal = constant_or_fail(wanted, "of bools");
    if (!literal.type.is_tensor() || literal.type.dtype != DType::boolean) {
        fail("'{}' must be bools, it is {}", wanted, literal.type.text());
    }
    const auto numbers = literal.numbers();
    return {numbers.begin(), numbers.end()};
}

double Arguments::number(std::string_view wanted) const {
    const Literal& literal = constant_or_fail(wanted, "number");
    if (!literal.type.is_tensor() || literal.type.dtype == DType::string) {
        fail("'{}' must be a number, it is {}", wanted, literal.type.text());
    }
    const auto numbers = literal.numbers();
    if (numbers.size() != 1) {
        fail("'{}' must be one number, it has {}", wanted, numbers.size());
    }
    return numbers.front();
}

bool Arguments::boolean(std::string_view wanted) const {
    const auto values = booleans(wanted);
    if (values.size() != 1) {
        fail("'{}' must be one bool, it has {}", wanted, values.size());
    }
    return values.front() != 0;
}

const std::string& Arguments::text(std::string_view wanted) const {
    const Literal& literal = constant_or_fail(wanted, "string");
    const auto* strings = std::get_if<Literal::Strings>(&literal.payload);
    if (strings == nullptr || strings->size() != 1) {
        fail("'{}' must be a string, it is {}", wanted, literal.type.text());
    }
    return strings->front();
}

reference::Tensor Arguments::elements_of(const Literal& literal) const {
    if (!literal.is_blob()) {
        return {literal.type.shape, literal.numbers()};
    }
    if (weights_ == nullptr) {
        fail("the weight files are not at hand");
    }
    return {literal.type.shape, Literal{literal.type, weights_->resolve(literal)}.numbers()};
}

std::vector<const reference::Tensor*> Arguments::tensors(std::string_view wanted) const {
    std::vector<const reference::Tensor*> result;
    for (const Known& operand : find(wanted).operands) {
        if (operand.tensor != nullptr) {
            result.push_back(operand.tensor);
            continue;
        }
        if (operand.constant == nullptr) {
            fail("the elements of '{}' are not known", wanted);
        }
        auto entry = literal_tensors_.find(operand.constant);
        if (entry == literal_tensors_.end()) {
            entry =
                literal_tensors_.emplace(operand.constant, elements_of(*operand.constant)).first;
        }
        result.push_back(&entry->second);
    }
    return result;
}

const reference::Tensor& Arguments::tensor(std::string_view wanted) const {
    const auto found = tensors(wanted);
    if (found.size() != 1) {
        fail("'{}' is missing", wanted);
    }
    return *found.front();
}

}  // namespace pome::mil
