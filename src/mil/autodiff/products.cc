#include "mil/autodiff/rules.h"

namespace pome::mil::autodiff {
namespace {

// y = op(x) op(w):  dx = dy op(w)^T,  dw = op(x)^T dy, each transposed back where the operand was.
Gradients matmul_backward(Builder& b, Context& c) {
    const Value dy = *c.gradient();
    const bool tx = c.arguments().boolean("transpose_x"), ty = c.arguments().boolean("transpose_y");
    Gradients gradients;
    if (c.wants("x")) {
        const Value y = c.forward("y");
        const Value dx = tx ? b.matmul(y, dy, ty, true) : b.matmul(dy, y, false, !ty);
        gradients["x"] = unbroadcast(b, dx, c.type("x").shape);
    }
    if (c.wants("y")) {
        const Value x = c.forward("x");
        const Value d = ty ? b.matmul(dy, x, true, tx) : b.matmul(x, dy, !tx, false);
        gradients["y"] = unbroadcast(b, d, c.type("y").shape);
    }
    return gradients;
}

// y[.., n] = x[.., k] w[n, k] + bias[n], the leading axes as one.
Gradients linear_backward(Builder& b, Context& c) {
    const Value dy = *c.gradient();
    const Shape x = c.type("x").shape;
    const std::int64_t inner = x[-1], outputs = dy.shape()[-1],
                       rows = dy.shape().elements() / outputs;
    const Value flat = b.reshape(dy, {rows, outputs});
    Gradients gradients;
    if (c.wants("x")) {
        gradients["x"] = b.reshape(b.matmul(flat, c.forward("weight")), x);
    }
    if (c.wants("weight")) {
        gradients["weight"] = b.matmul(flat, b.reshape(c.forward("x"), {rows, inner}), true);
    }
    if (c.wants("bias")) {
        gradients["bias"] = b.reduce_sum(flat, {0}, false);
    }
    return gradients;
}

}  // namespace

std::vector<Rule> product_rules() {
    return {{"matmul", matmul_backward}, {"linear", linear_backward}};
}

}  // namespace pome::mil::autodiff
