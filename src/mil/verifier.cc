#include "mil/verifier.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/error.h"
#include "mil/schema.h"

namespace pome::mil {
namespace {

constexpr std::string_view here = "mil.verify";

class FunctionVerifier {
  public:
    FunctionVerifier(const Function& function, std::set<std::string>& unknown)
        : function_(function), unknown_(unknown) {}

    int run() {
        for (const auto& parameter : function_.parameters) {
            define(parameter, nullptr, function_.position);
        }
        for (const auto& operation : function_.operations) {
            check(operation);
        }
        for (const auto& output : function_.outputs) {
            if (!known_.contains(output)) {
                fail(Code::malformed_program, here,
                     "function '{}' returns '{}', which is not defined", function_.name, output);
            }
        }
        if (function_.outputs.empty()) {
            fail(Code::malformed_program, here, "function '{}' returns nothing", function_.name);
        }
        return static_cast<int>(function_.operations.size());
    }

  private:
    void define(const NamedType& value, const Literal* constant, Position position) {
        if (!known_.emplace(value.name, Known{value.type, constant}).second) {
            fail(Code::malformed_program, here, "'{}' is defined twice (line {})", value.name,
                 position.line);
        }
    }

    const Known* look_up(std::string_view name) const {
        const auto found = known_.find(name);
        return found == known_.end() ? nullptr : &found->second;
    }

    void check(const Operation& operation) {
        if (operation.op == "const") {
            return check_const(operation);
        }
        check_literals(operation);
        check_operands(operation);
        if (const Schema* schema = find_schema(operation.op); schema == nullptr) {
            unknown_.insert(operation.op);
        } else {
            const Arguments arguments(operation, *schema,
                                      [this](auto name) { return look_up(name); });
            if (can_be_inferred(operation)) {
                check_results(operation, schema->infer(arguments));
            }
        }
        for (const auto& result : operation.results) {
            define(result, nullptr, operation.position);
        }
    }

    /// Literals hold what their types say.
    static void check_literals(const Operation& operation) {
        const auto check = [&](std::string_view name, const Literal& literal) {
            if (const auto problem = problem_of(literal); !problem.empty()) {
                fail(Code::malformed_program, here, "'{}' is {}, {} {}", name, literal.type.text(),
                     problem, where(operation));
            }
        };
        for (const auto& attribute : operation.attributes) {
            check(attribute.name, attribute.value);
        }
        for (const auto& argument : operation.arguments) {
            for (const auto& operand : argument.operands) {
                if (const auto* literal = std::get_if<Literal>(&operand)) {
                    check(argument.name, *literal);
                }
            }
        }
    }

    /// What is wrong with a tensor literal; empty when nothing is. Containers are not looked into.
    static std::string problem_of(const Literal& literal) {
        if (!literal.type.is_tensor()) {
            return {};
        }
        if (!literal.type.shape.is_static()) {
            return "a literal of unknown size";
        }
        const auto wanted = static_cast<std::uint64_t>(literal.type.shape.elements());
        const bool text = literal.type.dtype == DType::string;
        std::uint64_t held = wanted;
        if (const auto* bytes = std::get_if<Literal::Bytes>(&literal.payload)) {
            if (text) {
                return "but holds no strings";
            }
            held = bytes->size() / size_in_memory(literal.type.dtype);
            if (bytes->size() % size_in_memory(literal.type.dtype) != 0) {
                return "but holds a part of an element";
            }
        } else if (const auto* strings = std::get_if<Literal::Strings>(&literal.payload)) {
            if (!text) {
                return "but holds strings";
            }
            held = strings->size();
        } else if (!literal.is_blob()) {
            return "but holds no elements";
        }
        return held == wanted ? std::string()
                              : fmt::format("which has {} elements, but holds {}", wanted, held);
    }

    void check_const(const Operation& operation) {
        const Literal* value = operation.find_attribute("val");
        if (value == nullptr || operation.results.size() != 1) {
            fail(Code::malformed_program, here,
                 "a const needs the attribute 'val' and one result {}", where(operation));
        }
        if (value->type != operation.results.front().type) {
            fail(Code::malformed_program, here, "const is declared {}, its value is {} {}",
                 operation.results.front().type.text(), value->type.text(), where(operation));
        }
        check_literals(operation);
        define(operation.results.front(), value, operation.position);
    }

    void check_operands(const Operation& operation) const {
        for_operands(operation, [&](const std::string& name) {
            if (look_up(name) == nullptr) {
                fail(Code::malformed_program, "mil." + operation.op,
                     "'{}' is not defined before it is used {}", name, where(operation));
            }
        });
    }

    /// Declared types are believed where nothing can be inferred: shapes of flexible models ('?')
    /// and values that are no tensors.
    bool can_be_inferred(const Operation& operation) const {
        bool all = true;
        const auto fixed = [](const Type& type) {
            return type.is_tensor() && type.shape.is_static();
        };
        for_operands(operation,
                     [&](const std::string& name) { all = all && fixed(look_up(name)->type); });
        for (const auto& result : operation.results) {
            all = all && fixed(result.type);
        }
        return all;
    }

    static void check_results(const Operation& operation, const std::vector<Type>& inferred) {
        if (inferred.size() != operation.results.size()) {
            fail(Code::malformed_program, "mil." + operation.op,
                 "gives {} results, {} are declared {}", inferred.size(), operation.results.size(),
                 where(operation));
        }
        for (std::size_t i = 0; i < inferred.size(); ++i) {
            if (inferred[i] != operation.results[i].type) {
                fail(Code::malformed_program, "mil." + operation.op,
                     "result '{}' is declared {}, it is {} {}", operation.results[i].name,
                     operation.results[i].type.text(), inferred[i].text(), where(operation));
            }
        }
    }

    template <typename Visit>
    static void for_operands(const Operation& operation, Visit visit) {
        for (const auto& argument : operation.arguments) {
            for (const auto& operand : argument.operands) {
                if (const auto* name = std::get_if<std::string>(&operand)) {
                    visit(*name);
                }
            }
        }
    }

    const Function& function_;
    std::set<std::string>& unknown_;
    std::map<std::string, Known, std::less<>> known_;
};

}  // namespace

Verification verify(const Program& program) {
    if (program.functions.empty()) {
        fail(Code::malformed_program, here, "the program has no function");
    }
    std::set<std::string> names, unknown;
    Verification result;
    for (const auto& function : program.functions) {
        if (!names.insert(function.name).second) {
            fail(Code::malformed_program, here, "function '{}' is defined twice", function.name);
        }
        result.operations += FunctionVerifier(function, unknown).run();
    }
    result.unknown_ops.assign(unknown.begin(), unknown.end());
    return result;
}

}  // namespace pome::mil
