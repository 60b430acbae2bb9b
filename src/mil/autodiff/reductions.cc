#include "mil/autodiff/rules.h"

namespace pome::mil::autodiff {
namespace {

std::vector<std::int64_t> reduced_axes(const Context& c) {
    const int rank = c.type("x").shape.rank();
    std::vector<std::int64_t> axes;
    if (!c.arguments().has("axes")) {
        for (int axis = 0; axis < rank; ++axis) {
            axes.push_back(axis);
        }
        return axes;
    }
    for (const std::int64_t axis : c.arguments().integers("axes")) {
        axes.push_back(axis < 0 ? axis + rank : axis);
    }
    return axes;
}

/// The gradient spread back over x's shape, times `factor`.
Value spread(Builder& b, Context& c, double factor) {
    Shape kept = c.type("x").shape;
    for (const std::int64_t axis : reduced_axes(c)) {
        kept[static_cast<int>(axis)] = 1;
    }
    const Value dy = b.reshape(*c.gradient(), kept);
    return b.mul(dy, filled(b, dy.type.dtype, c.type("x").shape, factor));
}

Gradients reduce_sum_backward(Builder& b, Context& c) {
    return {{"x", spread(b, c, 1.0)}};
}

Gradients reduce_mean_backward(Builder& b, Context& c) {
    double count = 1.0;
    for (const std::int64_t axis : reduced_axes(c)) {
        count *= static_cast<double>(c.type("x").shape[static_cast<int>(axis)]);
    }
    return {{"x", spread(b, c, 1.0 / count)}};
}

// y = softmax(x):  dx = y (dy - sum(y dy)).
Gradients softmax_backward(Builder& b, Context& c) {
    const Value y = c.forward("result"), dy = *c.gradient();
    const Value total = b.reduce_sum(b.mul(y, dy), {c.arguments().integer("axis")}, true);
    return {{"x", b.mul(y, b.sub(dy, total))}};
}

}  // namespace

std::vector<Rule> reduction_rules() {
    return {{"reduce_sum", reduce_sum_backward},
            {"reduce_mean", reduce_mean_backward},
            {"softmax", softmax_backward}};
}

}  // namespace pome::mil::autodiff
