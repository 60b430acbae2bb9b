#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mil/program.h"
#include "mil/schema.h"

namespace pome::mil {

/// A handle to a value of the function being built.
struct Value {
    std::string name;
    Type type;
    const Shape& shape() const { return type.shape; }
};

/// Builds one function, with shape inference by the ops' schemas: every call checks its arguments
/// at once and throws Error{malformed_program} like the verifier. Constants become named `const`
/// operations, as the engine's compilers want them; equal constants are shared.
class Builder {
  public:
    explicit Builder(std::string function_name = "main", std::string opset = "ios18");

    /// Declares an input. Inputs keep the order of declaration.
    Value input(std::string name, Type type);
    /// Keeps a name free for a later input() or rename().
    void reserve(std::string name) { reserved_.insert(std::move(name)); }
    /// Names the function's outputs, in order; a value may be given a new name through rename().
    void output(const Value& value);
    /// Gives a value (an input, a constant or a result) another, unused name; handles to it keep
    /// working through the returned one only.
    Value rename(const Value& value, std::string name);

    // Constants.
    Value constant(Literal literal, std::string_view hint = "c");
    Value text(std::string value);
    Value boolean(bool value);
    Value integer(std::int32_t value);
    Value integers(const std::vector<std::int64_t>& values);
    Value number(DType dtype, double value);

    /// Any op by name: `call("softmax", {{"x", x}, {"axis", b.integer(-1)}})`. One result.
    Value call(std::string_view op,
               std::initializer_list<std::pair<std::string_view, Value>> arguments,
               std::string_view hint = "");
    /// Any op whose arguments may be tuples and that may have several results.
    struct CallArgument {
        std::string name;
        std::vector<Value> values;
        bool is_tuple = false;
    };
    std::vector<Value> call_many(std::string_view op, const std::vector<CallArgument>& arguments,
                                 std::string_view hint = "");

    // The ops that models and gradients are made of. dtype follows the operands.
    Value add(const Value& x, const Value& y);
    Value sub(const Value& x, const Value& y);
    Value mul(const Value& x, const Value& y);
    Value real_div(const Value& x, const Value& y);
    Value pow(const Value& x, double exponent);
    Value scale(const Value& x, double factor);  ///< mul by a scalar constant of x's dtype
    Value negate(const Value& x) { return scale(x, -1.0); }
    Value unary(std::string_view op, const Value& x);  ///< ops whose only argument is x
    Value matmul(const Value& x, const Value& y, bool transpose_x = false,
                 bool transpose_y = false);
    struct Conv {
        std::vector<std::int64_t> strides{1, 1};
        std::vector<std::int64_t> pad{
            0, 0, 0, 0};  ///< top, bottom, left, right; pad_type "custom" if not all 0
        std::vector<std::int64_t> dilations{1, 1};
        std::int64_t groups = 1;
    };
    Value conv(const Value& x, const Value& weight, const Conv& form);
    Value softmax(const Value& x, int axis);
    Value reduce_sum(const Value& x, const std::vector<std::int64_t>& axes, bool keep_dims);
    Value reshape(const Value& x, const Shape& shape);
    Value transpose(const Value& x, const std::vector<std::int64_t>& perm);
    Value slice(const Value& x, const std::vector<std::int64_t>& begin,
                const std::vector<std::int64_t>& size);
    Value concat(const std::vector<Value>& values, int axis);
    Value cast(const Value& x, DType dtype);

    /// Copies an operation of another function under new names. `names` maps the other function's
    /// values to this one's and gains the results.
    void copy(const Operation& operation, std::map<std::string, Value, std::less<>>& names);

    /// The function so far. take() leaves the builder empty.
    const Function& function() const { return function_; }
    Function take();

  private:
    std::string unique(std::string_view hint);
    /// Infers the operation's results, names them after `hint` and appends it.
    std::vector<Value> append(Operation operation, std::string_view hint);

    Function function_;
    std::map<std::string, Known, std::less<>> known_;
    std::map<std::string, int, std::less<>> counters_;
    std::set<std::string, std::less<>> reserved_;
    std::map<std::string, Value> shared_constants_;
    std::vector<std::shared_ptr<const Literal>> literals_;  ///< what known_ points to
};

/// A program around one function, with the build information that the engine's compilers ask for.
Program make_program(Function function, Dialect dialect = Dialect::terse);

}  // namespace pome::mil
