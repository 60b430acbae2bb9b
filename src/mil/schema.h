#pragma once

#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "mil/program.h"
#include "mil/weights.h"
#include "reference/tensor.h"

namespace pome::mil {

class Arguments;

/// One parameter of an op.
struct Parameter {
    enum class Kind : std::uint8_t {
        tensor,    ///< a value or a literal
        tensors,   ///< a tuple of them (concat's `values`)
        constant,  ///< must be known when the program is compiled: a const's value or a literal
    };
    std::string_view name;
    Kind kind = Kind::tensor;
    std::vector<DType> dtypes;  ///< what is accepted; empty: anything
    bool required = true;
    std::optional<Literal> default_value;  ///< of an optional constant
};

/// One op of the language. Everything else about it is read from here: verifier, shape inference,
/// the double-precision interpreter and docs/ops.
struct Schema {
    std::string_view name;
    std::string_view meaning;  ///< one line, a formula where there is one
    std::vector<Parameter> parameters;
    /// Types of the results from the arguments. Breaks of the op's rules go through
    /// Arguments::fail.
    std::vector<Type> (*infer)(const Arguments&) = nullptr;
    /// What the op means, in double precision (src/reference). nullptr: it has no meaning on values
    /// (const) or is known by shape only.
    std::vector<reference::Tensor> (*evaluate)(const Arguments&) = nullptr;
};

/// The schema of an op, nullptr for an unknown one. All ops: `schemas()`, ordered by name.
const Schema* find_schema(std::string_view op);
std::span<const Schema* const> schemas();

/// What is known of a value while walking a function.
struct Known {
    Type type;
    const Literal* constant = nullptr;          ///< result of a const op
    const reference::Tensor* tensor = nullptr;  ///< its elements, while evaluating
};

/// Looks up what is known of a value; nullptr for an undefined one.
using Lookup = std::function<const Known*(std::string_view)>;

/// An operation's arguments seen through its schema: resolved types, constants, defaults, and
/// elements while evaluating.
class Arguments {
  public:
    /// Checks what every op has in common: unknown or repeated argument names, missing required
    /// arguments, undefined values, dtypes that the parameter does not accept, values that are no
    /// tensors, tensors whose sizes exceed 2^31 or whose elements exceed 2^62 (so that infer
    /// functions may add and multiply sizes). Attributes of attribute-only ops (constexpr_*) count
    /// as arguments. Everything referenced must outlive this.
    Arguments(const Operation& operation, const Schema& schema, Lookup lookup,
              const WeightFiles* weights = nullptr);

    const Operation& operation() const { return *operation_; }
    bool has(std::string_view name) const;  ///< given, not defaulted
    const Type& type(std::string_view name) const;
    std::vector<Type> types(std::string_view name) const;  ///< of a tuple

    // Constants, defaults included. fail() when the argument is not a constant of the wanted kind.
    std::int64_t integer(std::string_view name) const;
    std::vector<std::int64_t> integers(std::string_view name) const;  ///< each in [-2^31, 2^31]
    std::vector<std::int64_t> booleans(std::string_view name) const;  ///< 0 or 1
    double number(std::string_view name) const;
    bool boolean(std::string_view name) const;
    const std::string& text(std::string_view name) const;
    /// nullptr when the argument is absent without default or is not constant.
    const Literal* constant(std::string_view name) const;

    // While evaluating.
    const reference::Tensor& tensor(std::string_view name) const;
    std::vector<const reference::Tensor*> tensors(std::string_view name) const;

    /// Throws Error{malformed_program, "mil.OP", "MESSAGE (line N, %result)"}.
    template <typename... Args>
    [[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) const {
        fail_with(fmt::format(format, std::forward<Args>(args)...));
    }

  private:
    struct Bound {
        const Parameter* parameter = nullptr;
        bool given = false;
        std::vector<Known> operands;
    };
    void bind(const Parameter& parameter, const Lookup& lookup);
    void check(const Bound& bound) const;
    void check_sizes(const Parameter& parameter, const Type& type) const;
    const Bound& find(std::string_view name) const;
    reference::Tensor elements_of(const Literal& literal) const;
    const Literal& constant_or_fail(std::string_view name, std::string_view wanted) const;
    [[noreturn]] void fail_with(const std::string& message) const;

    const Operation* operation_;
    const WeightFiles* weights_;
    std::vector<Bound> bound_;
    // Elements of literals and consts, made on demand while evaluating.
    mutable std::map<const Literal*, reference::Tensor> literal_tensors_;
};

/// "(line 14, %q)": where an operation stands, for messages.
std::string where(const Operation& operation);

}  // namespace pome::mil
