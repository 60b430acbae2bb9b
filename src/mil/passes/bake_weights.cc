#include "mil/passes/bake_weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/error.h"
#include "mil/builder.h"

namespace pome::mil::passes {
namespace {

constexpr std::string_view here = "mil.bake_weights";
constexpr std::uint64_t first_record = 64;

/// The name given for an argument; empty for a literal.
std::string operand_name(const Operation& operation, std::string_view which) {
    const Argument* argument = operation.find_argument(which);
    const auto* name = argument == nullptr || argument->operands.size() != 1
                           ? nullptr
                           : std::get_if<std::string>(&argument->operands.front());
    return name == nullptr ? std::string() : *name;
}

class Baker {
  public:
    Baker(const Function& function, const std::vector<std::string>& parameters)
        : function_(function), b_(function.name, function.opset) {
        baked_.insert(parameters.begin(), parameters.end());
        for (const auto& name : baked_) {
            const Type* type = function.find_type(name);
            if (type == nullptr) {
                fail(Code::invalid_argument, here, "'{}' has no input '{}'", function.name, name);
            }
            matrix_[name] = name;
        }
    }

    Baked run() {
        for (const Operation& operation : function_.operations) {
            for (const NamedType& result : operation.results) {
                b_.reserve(result.name);
            }
        }
        for (const NamedType& parameter : function_.parameters) {
            if (!baked_.contains(parameter.name)) {
                names_[parameter.name] = b_.input(parameter.name, parameter.type);
            }
        }
        for (const Operation& operation : function_.operations) {
            if (operation.op != "const") {
                add(operation);
                for (const NamedType& result : operation.results) {
                    if (const auto found = names_.find(result.name); found != names_.end()) {
                        found->second = b_.rename(found->second, result.name);
                    }
                }
            } else {
                constants_[operation.results.front().name] = &operation;
            }
        }
        for (const std::string& output : function_.outputs) {
            make(output);
            b_.output(names_.at(output));
        }
        result_.function = b_.take();
        return std::move(result_);
    }

  private:
    void add(const Operation& operation) {
        const std::string x = operand_name(operation, "x");
        const auto weight = matrix_.find(x);
        if (weight != matrix_.end() && operation.op == "reshape") {
            check_reshape(operation, weight->second);
            matrix_[operation.results.front().name] = weight->second;
            return;
        }
        if (weight != matrix_.end() && operation.op == "matmul") {
            multiply(operation, weight->second);
            return;
        }
        if (operation.op == "reshape") {
            reshape(operation, x);
            return;
        }
        if (operation.op == "mul") {
            for (const std::string& name : {x, operand_name(operation, "y")}) {
                if (baked_.contains(name) && matrix_.contains(name) && is_vector(name)) {
                    names_[name] = vector(name);
                    matrix_.erase(name);  // from here on a value like any other
                }
            }
        }
        for (const Argument& argument : operation.arguments) {
            for (const Operand& operand : argument.operands) {
                const auto* name = std::get_if<std::string>(&operand);
                if (name != nullptr && matrix_.contains(*name)) {
                    fail(Code::unsupported, here,
                         "weight '{}' is argument '{}' of {} {}: only products with it on the left "
                         "and vectors that mul takes can be baked; use a pipeline that keeps "
                         "weights as inputs",
                         matrix_.at(*name), argument.name, operation.op, where(operation));
                }
                if (name != nullptr) {
                    make(*name);
                }
            }
        }
        b_.copy(operation, names_);
    }

    // A product's operands and result are matrices [1, 1, C, S], a convolution's activations
    // [1, C, 1, S], as the stage's own values are: reshapes wait until something needs them, and
    // the way there and back becomes nothing.
    void reshape(const Operation& operation, const std::string& x) {
        const NamedType& result = operation.results.front();
        make_constant(x);
        const auto view = views_.find(x);
        const Value source = view == views_.end() ? names_.at(x) : view->second.source;
        if (source.shape() == result.type.shape && unnamed_.erase(source.name) > 0) {
            const Value named = b_.rename(source, result.name);
            names_[result.name] = named;
            for (auto& [name, other] : views_) {
                if (other.source.name == source.name) {
                    other.source = named;
                }
            }
            return;
        }
        views_[result.name] = {source, result.type.shape};
    }

    void make_constant(const std::string& name) {
        const auto constant = constants_.find(name);
        if (constant != constants_.end() && !names_.contains(name)) {
            b_.copy(*constant->second, names_);
        }
    }

    /// Writes a constant or a reshape that has waited for its first use.
    void make(const std::string& name) {
        make_constant(name);
        const auto view = views_.find(name);
        if (view != views_.end()) {
            names_[name] = b_.rename(b_.reshape(view->second.source, view->second.shape), name);
            views_.erase(view);
        }
    }

    bool is_vector(const std::string& weight) const {
        const Shape& shape = function_.find_type(weight)->shape;
        return shape.elements() == *std::max_element(shape.begin(), shape.end());
    }

    /// The constant that takes the place of a vector.
    Value vector(const std::string& weight) {
        const Type& type = *function_.find_type(weight);
        return record({weight, false, type.shape.elements(), 1, "", type.dtype}, type.shape,
                      weight);
    }

    /// Axes of size 1 may come and go; the matrix stays the matrix.
    void check_reshape(const Operation& operation, const std::string& weight) const {
        const auto significant = [](const Shape& shape) {
            std::vector<std::int64_t> sizes;
            std::copy_if(shape.begin(), shape.end(), std::back_inserter(sizes),
                         [](std::int64_t size) { return size != 1; });
            return sizes;
        };
        if (significant(function_.find_type(weight)->shape) !=
            significant(operation.results.front().type.shape)) {
            fail(Code::unsupported, here, "weight '{}' is reshaped to {} {}: it must stay a matrix",
                 weight, operation.results.front().type.text(), where(operation));
        }
    }

    bool flag(const Operation& operation, std::string_view which) const {
        const Argument* argument = operation.find_argument(which);
        if (argument == nullptr) {
            return false;
        }
        const Literal* literal = std::get_if<Literal>(&argument->operands.front());
        if (literal == nullptr) {
            const auto found = constants_.find(std::get<std::string>(argument->operands.front()));
            literal = found == constants_.end() ? nullptr : found->second->find_attribute("val");
        }
        if (literal == nullptr) {
            fail(Code::unsupported, here, "{} is no constant {}", which, where(operation));
        }
        return literal->numbers().front() != 0.0;
    }

    /// weight [rows, columns] @ y [.., columns, positions], or weight^T.
    void multiply(const Operation& operation, const std::string& weight) {
        const std::string y = operand_name(operation, "y");
        if (y.empty() || matrix_.contains(y) || flag(operation, "transpose_y")) {
            fail(Code::unsupported, here,
                 "the right operand of the product with weight '{}' must be a computed, "
                 "untransposed value {}",
                 weight, where(operation));
        }
        const bool transposed = flag(operation, "transpose_x");
        const NamedType& product = operation.results.front();
        make_constant(y);
        const auto view = views_.find(y);
        const Value right = view == views_.end() ? names_.at(y) : view->second.source;
        const Shape matrix = view == views_.end() ? right.shape() : view->second.shape;
        if (matrix.elements() != matrix[-1] * matrix[-2]) {
            fail(Code::unsupported, here, "batched product with weight '{}' {}", weight,
                 where(operation));
        }
        const std::int64_t inner = matrix[-2], positions = matrix[-1], out = product.type.shape[-2];
        const Value filter =
            constant(weight, transposed, transposed ? inner : out, transposed ? out : inner);
        const Shape activations{1, inner, 1, positions};
        const Value columns = right.shape() == activations ? right : b_.reshape(right, activations);
        const Value sums = b_.conv(columns, filter, {});
        unnamed_.insert(sums.name);
        views_[product.name] = {sums, product.type.shape};
    }

    Value constant(const std::string& weight, bool transposed, std::int64_t rows,
                   std::int64_t columns) {
        const std::string name = weight + (transposed ? "_t" : "");
        if (const auto found = filters_.find(name); found != filters_.end()) {
            return found->second;
        }
        const DType dtype = function_.find_type(weight)->dtype;
        const Shape shape = transposed ? Shape{columns, rows, 1, 1} : Shape{rows, columns, 1, 1};
        const Value value = record({weight, transposed, rows, columns, "", dtype}, shape, name);
        filters_.emplace(name, value);
        return value;
    }

    Value record(BakedWeight made, const Shape& shape, const std::string& name) {
        made.path = fmt::format("@model_path/weights/{}.bin", name);
        const Value value = b_.constant(
            Literal::blob(Type::tensor(made.dtype, shape), {made.path, first_record}), name);
        result_.weights.push_back(std::move(made));
        return value;
    }

    const Function& function_;
    Builder b_;
    std::set<std::string> baked_;
    std::map<std::string, std::string> matrix_;  // value -> the parameter that it is a view of
    std::map<std::string, const Operation*> constants_;
    std::map<std::string, Value, std::less<>> names_;
    std::map<std::string, Value> filters_;
    struct View {
        Value source;
        Shape shape;
    };
    std::map<std::string, View> views_;  // reshapes that are not written yet, by their result
    std::set<std::string> unnamed_;      // convolutions whose result has no name of the function's
    Baked result_;
};

}  // namespace

Baked bake_weights(const Function& function, const std::vector<std::string>& parameters) {
    return Baker(function, parameters).run();
}

}  // namespace pome::mil::passes
