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

/// The gradient spread back over x's shape, times `factor`. The constant that it is multiplied by
/// is as large as the reduced axes, not as x: it stands in the program's text.
Value spread(Builder& b, Context& c, double factor) {
    const Shape& x = c.type("x").shape;
    Shape kept = x, reduced(std::vector<std::int64_t>(static_cast<std::size_t>(x.rank()), 1));
    for (const std::int64_t axis : reduced_axes(c)) {
        kept[static_cast<int>(axis)] = 1;
        reduced[static_cast<int>(axis)] = x[static_cast<int>(axis)];
    }
    const Value dy = b.reshape(*c.gradient(), kept);
    return b.mul(dy, filled(b, dy.type.dtype, reduced, factor));
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

/// A value along the reduced axes again: the op's result under x's rank.
Value kept(Builder& b, Context& c, const Value& value) {
    Shape shape = c.type("x").shape;
    for (const std::int64_t axis : reduced_axes(c)) {
        shape[static_cast<int>(axis)] = 1;
    }
    return b.reshape(value, shape);
}

// The largest (smallest) elements share dy equally.
Gradients reduce_extreme_backward(Builder& b, Context& c) {
    const Value x = c.forward("x"), y = kept(b, c, c.forward("result"));
    const Value mask =
        b.sub(b.number(x.type.dtype, 1.0), b.unary("sign", b.unary("abs", b.sub(x, y))));
    const Value ties = b.reduce_sum(mask, reduced_axes(c), true);
    return {{"x", b.mul(mask, b.real_div(kept(b, c, *c.gradient()), ties))}};
}

// y = log sum exp(x):  dx = dy exp(x - y).
Gradients reduce_log_sum_exp_backward(Builder& b, Context& c) {
    const Value share = b.unary("exp", b.sub(c.forward("x"), kept(b, c, c.forward("result"))));
    return {{"x", b.mul(share, kept(b, c, *c.gradient()))}};
}

// y = x / n, n = sqrt(sum x^2 + epsilon) over the last three axes:  dx = (dy - y sum(dy y)) / n.
Gradients l2_norm_backward(Builder& b, Context& c) {
    const Value x = c.forward("x"), y = c.forward("result"), dy = *c.gradient();
    const Value squares = b.reduce_sum(b.mul(x, x), {-3, -2, -1}, true);
    const Value norm =
        b.unary("sqrt", b.add(squares, b.number(x.type.dtype, c.arguments().number("epsilon"))));
    const Value along = b.reduce_sum(b.mul(dy, y), {-3, -2, -1}, true);
    return {{"x", b.real_div(b.sub(dy, b.mul(y, along)), norm)}};
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
            {"reduce_max", reduce_extreme_backward},
            {"reduce_min", reduce_extreme_backward},
            {"reduce_log_sum_exp", reduce_log_sum_exp_backward},
            {"l2_norm", l2_norm_backward},
            {"softmax", softmax_backward}};
}

}  // namespace pome::mil::autodiff
