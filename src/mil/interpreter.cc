#include "mil/interpreter.h"

#include <set>

#include "base/error.h"
#include "mil/schema.h"
#include "mil/verifier.h"

namespace pome::mil {
namespace {

constexpr std::string_view here = "mil.interpret";

/// Values larger than this (16 GiB of doubles) are refused before anything is allocated.
constexpr std::int64_t most_elements = std::int64_t{1} << 31;

void check_type(const NamedType& value) {
    if (!value.type.is_tensor() || !value.type.shape.is_static()) {
        fail(Code::unsupported, here, "'{}' is {}; only tensors of known sizes are interpreted",
             value.name, value.type.text());
    }
    if (value.type.shape.elements() > most_elements) {
        fail(Code::unsupported, here, "'{}' is {}: values have at most 2^31 elements", value.name,
             value.type.text());
    }
}

template <typename Visit>
void for_names(const Operation& operation, Visit visit) {
    for (const auto& argument : operation.arguments) {
        for (const auto& operand : argument.operands) {
            if (const auto* name = std::get_if<std::string>(&operand)) {
                visit(*name);
            }
        }
    }
}

}  // namespace

struct Interpreter::Prepared {
    using Values = std::map<std::string, Known, std::less<>>;

    /// An operation and the values that nothing reads after it.
    struct Step {
        const Operation* operation;
        const Schema* schema;
        std::vector<std::string> last_read;
    };

    Package package;
    const Function* function = nullptr;
    Tensors constants;  // of const and constexpr ops, as doubles
    Values known;       // the same and constants of other kinds
    std::vector<Step> steps;

    void prepare();
    void keep_constant(const Operation& operation);
    void keep_evaluated(const Operation& operation, const Schema& schema);
    void find_last_reads();
};

void Interpreter::Prepared::keep_constant(const Operation& operation) {
    const Literal* value = operation.find_attribute("val");
    const NamedType& result = operation.results.front();
    Known& kept = known[result.name] = {value->type, value, nullptr};
    if (!value->type.is_tensor() || value->type.dtype == DType::string) {
        return;
    }
    check_type(result);
    const auto numbers = value->is_blob()
                             ? Literal{value->type, package.weights.resolve(*value)}.numbers()
                             : value->numbers();
    kept.tensor = &constants.emplace(result.name, reference::Tensor(value->type.shape, numbers))
                       .first->second;
}

/// constexpr ops have their data in attributes: their results are constants.
void Interpreter::Prepared::keep_evaluated(const Operation& operation, const Schema& schema) {
    const Arguments arguments(
        operation, schema, [](std::string_view) -> const Known* { return nullptr; },
        &package.weights);
    auto tensors = schema.evaluate(arguments);
    for (std::size_t i = 0; i < tensors.size(); ++i) {
        const NamedType& result = operation.results[i];
        const auto& kept = constants.emplace(result.name, std::move(tensors[i])).first->second;
        known[result.name] = {result.type, nullptr, &kept};
    }
}

void Interpreter::Prepared::prepare() {
    for (const auto& parameter : function->parameters) {
        check_type(parameter);
    }
    for (const Operation& operation : function->operations) {
        if (operation.op == "const") {
            keep_constant(operation);
            continue;
        }
        const Schema* schema = find_schema(operation.op);
        if (schema == nullptr || schema->evaluate == nullptr) {
            fail(Code::unsupported, here, "op '{}' has no reference meaning {}", operation.op,
                 where(operation));
        }
        for (const auto& result : operation.results) {
            check_type(result);
        }
        if (operation.op.starts_with("constexpr_") && operation.arguments.empty()) {
            keep_evaluated(operation, *schema);
        } else {
            steps.push_back({&operation, schema, {}});
        }
    }
    for (const auto& output : function->outputs) {
        if (const auto found = known.find(output);
            found != known.end() && found->second.tensor == nullptr) {
            fail(Code::unsupported, here, "output '{}' is {}; only numbers are returned", output,
                 found->second.type.text());
        }
    }
    find_last_reads();
}

/// From the end: the first operation met that reads a value reads it last. Results that nothing
/// reads end at once.
void Interpreter::Prepared::find_last_reads() {
    std::set<std::string_view> needed(function->outputs.begin(), function->outputs.end());
    for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
        const auto meet = [&](const std::string& name) {
            if (!constants.contains(name) && needed.insert(name).second) {
                step->last_read.push_back(name);
            }
        };
        for (const auto& result : step->operation->results) {
            meet(result.name);
        }
        for_names(*step->operation, meet);
    }
}

Interpreter::Interpreter(Package package, std::string_view function)
    : prepared_(std::make_unique<Prepared>()) {
    Prepared& p = *prepared_;
    p.package = std::move(package);
    verify(p.package.program);
    p.function = p.package.program.find_function(function);
    if (p.function == nullptr) {
        fail(Code::invalid_argument, here, "the program has no function '{}'", function);
    }
    p.prepare();
}

Interpreter::~Interpreter() = default;
Interpreter::Interpreter(Interpreter&&) noexcept = default;

Tensors Interpreter::run(Tensors inputs) const {
    const Prepared& p = *prepared_;
    Tensors live;
    Prepared::Values known;  // of what this run computes; p.known has the constants
    for (const auto& parameter : p.function->parameters) {
        const auto found = inputs.find(parameter.name);
        if (found == inputs.end()) {
            fail(Code::binding_missing, here, "input '{}' is missing", parameter.name);
        }
        const reference::Tensor& given = found->second;
        if (given.shape != parameter.type.shape ||
            given.size() != parameter.type.shape.elements()) {
            fail(Code::surface_mismatch, here,
                 "input '{}' is {} with {} elements, the program declares {}", parameter.name,
                 given.shape.text(), given.size(), parameter.type.shape.text());
        }
        const auto& stored = live[parameter.name] = std::move(found->second);
        known[parameter.name] = {parameter.type, nullptr, &stored};
    }
    const auto look_up = [&](std::string_view name) -> const Known* {
        if (const auto found = known.find(name); found != known.end()) {
            return &found->second;
        }
        const auto constant = p.known.find(name);
        return constant == p.known.end() ? nullptr : &constant->second;
    };
    for (const Prepared::Step& step : p.steps) {
        auto results = step.schema->evaluate(
            Arguments(*step.operation, *step.schema, look_up, &p.package.weights));
        for (std::size_t i = 0; i < results.size(); ++i) {
            const NamedType& result = step.operation->results[i];
            const auto& stored = live[result.name] = std::move(results[i]);
            known[result.name] = {result.type, nullptr, &stored};
        }
        for (const auto& name : step.last_read) {
            known.erase(name);
            live.erase(name);
        }
    }
    Tensors outputs;
    for (const auto& output : p.function->outputs) {
        if (outputs.contains(output)) {
            continue;
        }
        const auto found = live.find(output);
        outputs.emplace(output, found != live.end() ? std::move(found->second)
                                                    : p.constants.find(output)->second);
    }
    return outputs;
}

Tensors interpret(const Package& package, const Tensors& inputs, std::string_view function) {
    return Interpreter(package, function).run(inputs);
}

}  // namespace pome::mil
