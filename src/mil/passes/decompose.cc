#include "mil/passes/decompose.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <map>
#include <set>

#include "mil/builder.h"
#include "mil/ops/equation.h"

namespace pome::mil::passes {
namespace {

/// One operation being written out: its arguments as handles of a builder.
class Writing {
  public:
    Writing(Builder& builder, const Operation& operation, const Arguments& arguments,
            const Decomposing& decomposing)
        : b(builder), in(arguments), target(decomposing), operation_(operation) {}

    Builder& b;
    const Arguments& in;
    const Decomposing& target;

    const Type& result() const { return operation_.results.front().type; }

    Value value(std::string_view name) { return handle(name, 0, in.type(name)); }
    std::vector<Value> values(std::string_view name) {
        const auto types = in.types(name);
        std::vector<Value> handles;
        for (std::size_t i = 0; i < types.size(); ++i) {
            handles.push_back(handle(name, i, types[i]));
        }
        return handles;
    }
    Value number(double value) { return b.number(result().dtype, value); }

    /// A parameter of one axis under the shape that broadcasts along axis 1 of x.
    Value along_channels(std::string_view name, int rank) {
        Shape shape(std::vector<std::int64_t>(static_cast<std::size_t>(rank), 1));
        shape[1] = in.type(name).shape[0];
        return b.reshape(value(name), shape);
    }
    Value reduce(std::string_view op, const Value& x, const std::vector<std::int64_t>& axes,
                 bool keep = true) {
        return b.call(op, {{"axes", b.integers(axes)}, {"keep_dims", b.boolean(keep)}, {"x", x}});
    }

  private:
    Value handle(std::string_view name, std::size_t index, const Type& type) {
        const Operand& operand = operation_.find_argument(name)->operands[index];
        if (const auto* literal = std::get_if<Literal>(&operand)) {
            return b.constant(*literal);
        }
        const auto& text = std::get<std::string>(operand);
        if (b.function().find_type(text) == nullptr) {
            b.input(text, type);
        }
        return {text, type};
    }

    const Operation& operation_;
};

std::vector<std::int64_t> axes_of(const Arguments& in) {
    const int rank = in.type("x").shape.rank();
    std::vector<std::int64_t> axes;
    if (!in.has("axes")) {
        for (int axis = 0; axis < rank; ++axis) {
            axes.push_back(axis);
        }
        return axes;
    }
    for (const std::int64_t axis : in.integers("axes")) {
        axes.push_back(axis < 0 ? axis + rank : axis);
    }
    std::sort(axes.begin(), axes.end());
    return axes;
}

double epsilon_of(const Arguments& in) {
    return in.number("epsilon");
}

/// The affine part and the normalization that layer_norm and instance_norm share.
Value normalized(Writing& w, const std::vector<std::int64_t>& axes) {
    const Value x = w.value("x");
    const Value centred = w.b.sub(x, w.reduce("reduce_mean", x, axes));
    const Value variance = w.reduce("reduce_mean", w.b.mul(centred, centred), axes);
    const Value shifted = w.b.add(variance, w.number(epsilon_of(w.in)));
    return w.b.mul(centred, w.b.call("rsqrt", {{"epsilon", w.number(0.0)}, {"x", shifted}}));
}

// ANEForge _compile.py (spec.md 2.2, 2.3.2); the reshape to [M, D, 1, 1] around it moves nothing.
Value layer_norm(Writing& w) {
    const auto axes = axes_of(w.in);
    Value y = normalized(w, axes);
    Shape shape(std::vector<std::int64_t>(static_cast<std::size_t>(y.shape().rank()), 1));
    for (const std::int64_t axis : axes) {
        shape[static_cast<int>(axis)] = y.shape()[static_cast<int>(axis)];
    }
    if (w.in.has("gamma")) {
        y = w.b.mul(y, w.b.reshape(w.value("gamma"), shape));
    }
    return w.in.has("beta") ? w.b.add(y, w.b.reshape(w.value("beta"), shape)) : y;
}

// The same form along the axes after the channels: assumed.
Value instance_norm(Writing& w) {
    const int rank = w.in.type("x").shape.rank();
    std::vector<std::int64_t> axes;
    for (int axis = 2; axis < rank; ++axis) {
        axes.push_back(axis);
    }
    Value y = normalized(w, axes);
    if (w.in.has("gamma")) {
        y = w.b.mul(y, w.along_channels("gamma", rank));
    }
    return w.in.has("beta") ? w.b.add(y, w.along_channels("beta", rank)) : y;
}

// reduce_l2_norm, maximum, real_div (spec.md 2.2) over the last three axes.
Value l2_norm(Writing& w) {
    const Value x = w.value("x");
    const Value norm = w.reduce("reduce_l2_norm", x, {-3, -2, -1});
    const Value least = w.number(std::sqrt(epsilon_of(w.in)));
    return w.b.real_div(x, w.b.call("maximum", {{"x", norm}, {"y", least}}));
}

/// Gain and offset of a batch_norm whose parameters are all constants, folded by the compiler in
/// double and rounded once (spec.md 2.3.2: "folds to gain/offset"; the rounding is assumed).
Value folded_batch_norm(Writing& w) {
    const Shape& x = w.in.type("x").shape;
    Shape shape(std::vector<std::int64_t>(static_cast<std::size_t>(x.rank()), 1));
    shape[1] = x[1];
    std::vector<double> gain, offset;
    const auto& mean = w.in.tensor("mean").data;
    const auto& variance = w.in.tensor("variance").data;
    for (std::size_t c = 0; c < mean.size(); ++c) {
        const double gamma = w.in.has("gamma") ? w.in.tensor("gamma").data[c] : 1.0;
        const double beta = w.in.has("beta") ? w.in.tensor("beta").data[c] : 0.0;
        gain.push_back(gamma / std::sqrt(variance[c] + epsilon_of(w.in)));
        offset.push_back(beta - mean[c] * gain.back());
    }
    const DType dtype = w.result().dtype;
    return w.b.add(w.b.mul(w.value("x"), w.b.constant(Literal::tensor(dtype, shape, gain))),
                   w.b.constant(Literal::tensor(dtype, shape, offset)));
}

Value batch_norm(Writing& w) {
    bool constant = w.target.fold;
    for (const char* name : {"mean", "variance", "gamma", "beta"}) {
        constant = constant && (!w.in.has(name) || w.in.constant(name) != nullptr);
    }
    if (constant) {
        return folded_batch_norm(w);
    }
    const int rank = w.in.type("x").shape.rank();
    const Value centred = w.b.sub(w.value("x"), w.along_channels("mean", rank));
    const Value shifted = w.b.add(w.along_channels("variance", rank), w.number(epsilon_of(w.in)));
    Value y = w.b.mul(centred, w.b.call("rsqrt", {{"epsilon", w.number(0.0)}, {"x", shifted}}));
    if (w.in.has("gamma")) {
        y = w.b.mul(y, w.along_channels("gamma", rank));
    }
    return w.in.has("beta") ? w.b.add(y, w.along_channels("beta", rank)) : y;
}

// matmul, scale, mask, softmax, matmul in one program (spec.md 2.2). Where a bool mask is false,
// the lowest finite number stands instead of the score: assumed.
Value attention(Writing& w) {
    const Value query = w.value("query");
    const double scale = 1.0 / std::sqrt(static_cast<double>(query.shape()[-1]));
    Value scores = w.b.mul(w.b.matmul(query, w.value("key"), false, true), w.number(scale));
    if (w.in.has("attn_mask") && w.target.attention_mask) {
        const Value mask = w.value("attn_mask");
        scores =
            mask.type.dtype == DType::boolean
                ? w.b.call("select", {{"a", scores}, {"b", w.number(-65504.0)}, {"cond", mask}})
                : w.b.add(scores, mask);
    }
    return w.b.matmul(w.b.softmax(scores, -1), w.value("value"));
}

// matmul between transposes (spec.md 2.3.1).
Value einsum(Writing& w) {
    const ops::Equation e = ops::equation_of(w.in);
    const auto values = w.values("values");
    const auto arranged = [&](const Value& value, const std::string& labels,
                              const std::string& order) {
        std::vector<std::int64_t> perm;
        for (const char label : order) {
            perm.push_back(static_cast<std::int64_t>(labels.find(label)));
        }
        return perm.empty() ? value : w.b.transpose(value, perm);
    };
    const auto product = [&](const std::string& labels) {
        std::int64_t size = 1;
        for (const char label : labels) {
            const auto at = e.x.find(label);
            size *= at != std::string::npos ? values[0].shape()[static_cast<int>(at)]
                                            : values[1].shape()[static_cast<int>(e.y.find(label))];
        }
        return size;
    };
    const std::int64_t batch = product(e.batch), rows = product(e.rows), inner = product(e.inner),
                       columns = product(e.columns);
    const Value x =
        w.b.reshape(arranged(values[0], e.x, e.batch + e.rows + e.inner), {batch, rows, inner});
    const Value y = w.b.reshape(arranged(values[1], e.y, e.batch + e.inner + e.columns),
                                {batch, inner, columns});
    const std::string order = e.batch + e.rows + e.columns;
    std::vector<std::int64_t> sizes;
    for (const char label : order) {
        sizes.push_back(product(std::string(1, label)));
    }
    return arranged(w.b.reshape(w.b.matmul(x, y), Shape(sizes)), order, e.result);
}

// Bias is an addition of its own after the rounding of the product (spec.md 2.2).
Value linear(Writing& w) {
    const Value y = w.b.call("linear", {{"weight", w.value("weight")}, {"x", w.value("x")}});
    return w.b.add(y, w.value("bias"));
}

Value softplus_parametric(Writing& w) {
    const int rank = w.in.type("x").shape.rank();
    const Value inner = w.b.mul(w.value("x"), w.along_channels("beta", rank));
    return w.b.mul(w.b.unary("softplus", inner), w.along_channels("alpha", rank));
}

// Floor of the rounded quotient: assumed; ANEForge's sweep found it exact on an M5.
Value floor_div(Writing& w) {
    return w.b.unary("floor", w.b.real_div(w.value("x"), w.value("y")));
}

Value stack(Writing& w) {
    std::vector<Value> parts;
    const Shape& shape = w.result().shape;
    const std::int64_t given = w.in.integer("axis");
    const int axis = static_cast<int>(given < 0 ? given + shape.rank() : given);
    for (const Value& value : w.values("values")) {
        parts.push_back(w.b.call("expand_dims", {{"axes", w.b.integers({axis})}, {"x", value}}));
    }
    return w.b.concat(parts, axis);
}

// Reductions of something, as ops of their own; that the square is stored before it is summed was
// measured on A13, A14 and A16 (62624, never 62656: spec.md 3.4).
Value summed(Writing& w, const Value& x) {
    return w.reduce("reduce_sum", x, axes_of(w.in), w.in.boolean("keep_dims"));
}
Value reduce_l1_norm(Writing& w) {
    return summed(w, w.b.unary("abs", w.value("x")));
}
Value reduce_sum_square(Writing& w) {
    const Value x = w.value("x");
    return summed(w, w.b.mul(x, x));
}
Value reduce_l2_norm(Writing& w) {
    return w.b.unary("sqrt", reduce_sum_square(w));
}
Value reduce_log_sum(Writing& w) {
    return w.b.call("log", {{"epsilon", w.number(0.0)}, {"x", summed(w, w.value("x"))}});
}

struct Decomposition {
    std::string_view form;
    Value (*write)(Writing&);
};

const std::map<std::string_view, Decomposition>& decompositions() {
    static const std::map<std::string_view, Decomposition> all{
        {"layer_norm",
         {"reduce_mean, sub, mul, reduce_mean, add, rsqrt, mul, mul gamma, add beta", layer_norm}},
        {"instance_norm",
         {"reduce_mean, sub, mul, reduce_mean, add, rsqrt, mul, mul gamma, add beta",
          instance_norm}},
        {"batch_norm", {"mul and add by folded constants, else sub, rsqrt, mul, add", batch_norm}},
        {"l2_norm", {"reduce_l2_norm, maximum, real_div", l2_norm}},
        {"scaled_dot_product_attention",
         {"matmul, mul, add or select, softmax, matmul", attention}},
        {"einsum", {"transpose, matmul, transpose", einsum}},
        {"linear", {"linear without bias, add", linear}},
        {"softplus_parametric", {"mul, softplus, mul", softplus_parametric}},
        {"floor_div", {"real_div, floor", floor_div}},
        {"stack", {"expand_dims, concat", stack}},
        {"reduce_l1_norm", {"abs, reduce_sum", reduce_l1_norm}},
        {"reduce_sum_square", {"mul, reduce_sum", reduce_sum_square}},
        {"reduce_l2_norm", {"mul, reduce_sum, sqrt", reduce_l2_norm}},
        {"reduce_log_sum", {"reduce_sum, log", reduce_log_sum}},
    };
    return all;
}

class Decomposer {
  public:
    Decomposer(const Function& function, const WeightFiles& weights, const Decomposing& target,
               const std::function<bool(const Operation&)>& wanted)
        : function_(function), weights_(weights), target_(target), wanted_(wanted) {
        for (const auto& parameter : function.parameters) {
            define(parameter, nullptr);
        }
        for (const auto& operation : function.operations) {
            const Literal* constant =
                operation.op == "const" ? operation.find_attribute("val") : nullptr;
            for (const auto& result : operation.results) {
                define(result, constant);
            }
        }
    }

    Function run() {
        Function result = function_;
        result.operations.clear();
        for (const auto& operation : function_.operations) {
            visit(operation, result);
        }
        return result;
    }

  private:
    void define(const NamedType& value, const Literal* constant) {
        known_[value.name] = {value.type, constant, nullptr};
        taken_.insert(value.name);
    }

    bool applies(const Operation& operation) const {
        return decompositions().contains(operation.op) &&
               (operation.op != "linear" || operation.find_argument("bias") != nullptr) &&
               (!wanted_ || wanted_(operation));
    }

    void visit(const Operation& operation, Function& result) {
        if (!applies(operation)) {
            result.operations.push_back(operation);
            return;
        }
        Builder builder("part", function_.opset);
        const std::string& name = operation.results.front().name;
        for (const auto& taken : taken_) {
            if (taken != name) {
                builder.reserve(taken);
            }
        }
        builder.reserve(name);
        const Arguments arguments(
            operation, *find_schema(operation.op),
            [&](std::string_view value) -> const Known* {
                const auto found = known_.find(value);
                return found == known_.end() ? nullptr : &found->second;
            },
            &weights_);
        Writing writing(builder, operation, arguments, target_);
        const Value last = decompositions().at(operation.op).write(writing);
        builder.rename(last, name);
        Function part = builder.take();
        for (auto& one : part.operations) {
            one.position = operation.position;
            for (const auto& made : one.results) {
                if (made.name != name) {
                    define(made, one.op == "const" ? one.find_attribute("val") : nullptr);
                }
            }
        }
        // Decompositions may use ops that have one themselves.
        parts_.push_back(std::move(part));
        for (const auto& one : parts_.back().operations) {
            if (one.op == "const") {
                known_[one.results.front().name].constant = one.find_attribute("val");
            }
        }
        const auto index = parts_.size() - 1;
        for (std::size_t i = 0; i < parts_[index].operations.size(); ++i) {
            const Operation copy = parts_[index].operations[i];
            visit(copy, result);
        }
    }

    const Function& function_;
    const WeightFiles& weights_;
    const Decomposing& target_;
    const std::function<bool(const Operation&)>& wanted_;
    std::map<std::string, Known, std::less<>> known_;
    std::set<std::string> taken_;
    std::deque<Function> parts_;  ///< known_ points to their constants
};

}  // namespace

std::optional<std::string_view> decomposition_of(std::string_view op) {
    const auto found = decompositions().find(op);
    return found == decompositions().end() ? std::nullopt : std::optional(found->second.form);
}

Function decompose(const Function& function, const WeightFiles& weights, const Decomposing& target,
                   const std::function<bool(const Operation&)>& wanted) {
    return Decomposer(function, weights, target, wanted).run();
}

}  // namespace pome::mil::passes
