#include "mil/autodiff/rules.h"

#include "mil/passes/decompose.h"

namespace pome::mil::autodiff {

const Rule* find_rule(std::string_view op) {
    static const std::map<std::string_view, Rule> rules = [] {
        std::map<std::string_view, Rule> all;
        for (const auto& family : {product_rules(), window_rules(), binary_rules(), unary_rules(),
                                   activation_rules(), reduction_rules(), layout_rules()}) {
            for (const Rule& rule : family) {
                all.emplace(rule.op, rule);
            }
        }
        return all;
    }();
    const auto found = rules.find(op);
    return found == rules.end() ? nullptr : &found->second;
}

bool has_gradient(std::string_view op) {
    return find_rule(op) != nullptr ||
           (op != "floor_div" && passes::decomposition_of(op).has_value());
}

Value unbroadcast(Builder& b, const Value& gradient, const Shape& shape) {
    if (gradient.shape() == shape) {
        return gradient;
    }
    std::vector<std::int64_t> axes;
    const int extra = gradient.shape().rank() - shape.rank();
    for (int axis = 0; axis < gradient.shape().rank(); ++axis) {
        if (axis < extra || (shape[axis - extra] == 1 && gradient.shape()[axis] != 1)) {
            axes.push_back(axis);
        }
    }
    return b.reshape(axes.empty() ? gradient : b.reduce_sum(gradient, axes, true), shape);
}

Value filled(Builder& b, DType dtype, const Shape& shape, double value) {
    return b.constant(
        Literal::tensor(dtype, shape,
                        std::vector<double>(static_cast<std::size_t>(shape.elements()), value)),
        "fill");
}

}  // namespace pome::mil::autodiff
