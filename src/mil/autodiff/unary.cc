#include <numbers>

#include "mil/autodiff/rules.h"

namespace pome::mil::autodiff {
namespace {

Value one(Builder& b, const Value& like) {
    return b.number(like.type.dtype, 1.0);
}

/// dx = dy * slope, where `slope` writes the derivative from the forward values.
template <Value (*slope)(Builder&, Context&)>
Gradients times(Builder& b, Context& c) {
    return {{"x", b.mul(*c.gradient(), slope(b, c))}};
}

Value sigmoid(Builder& b, Context& c) {  // y (1 - y)
    const Value y = c.forward("result");
    return b.mul(y, b.sub(one(b, y), y));
}
Value tanh(Builder& b, Context& c) {  // 1 - y^2
    const Value y = c.forward("result");
    return b.sub(one(b, y), b.mul(y, y));
}
Value silu(Builder& b, Context& c) {  // s (1 + x (1 - s)), s = sigmoid(x)
    const Value x = c.forward("x"), s = b.unary("sigmoid", x);
    return b.mul(s, b.add(one(b, x), b.mul(x, b.sub(one(b, x), s))));
}
Value relu(Builder& b, Context& c) {
    return b.unary("sign", c.forward("result"));
}
Value exp(Builder&, Context& c) {
    return c.forward("result");
}
Value exp2(Builder& b, Context& c) {
    return b.scale(c.forward("result"), std::numbers::ln2);
}
Value square(Builder& b, Context& c) {
    return b.scale(c.forward("x"), 2.0);
}
Value absolute(Builder& b, Context& c) {
    return b.unary("sign", c.forward("x"));
}
Value sine(Builder& b, Context& c) {
    return b.unary("cos", c.forward("x"));
}
Value cosine(Builder& b, Context& c) {
    return b.negate(b.unary("sin", c.forward("x")));
}
Value error_function(Builder& b, Context& c) {  // 2 / sqrt(pi) exp(-x^2)
    const Value x = c.forward("x");
    return b.scale(b.unary("exp", b.negate(b.mul(x, x))), 2.0 * std::numbers::inv_sqrtpi);
}
Value rsqrt(Builder& b, Context& c) {  // -y^3 / 2
    const Value y = c.forward("result");
    return b.scale(b.mul(y, b.mul(y, y)), -0.5);
}
Value inverse(Builder& b, Context& c) {  // -y^2
    const Value y = c.forward("result");
    return b.negate(b.mul(y, y));
}
Value softplus(Builder& b, Context& c) {
    return b.unary("sigmoid", c.forward("x"));
}
Value softsign(Builder& b, Context& c) {  // (1 - |y|)^2
    const Value y = c.forward("result");
    return b.unary("square", b.sub(one(b, y), b.unary("abs", y)));
}
Value arc_tangent(Builder& b, Context& c) {  // 1 / (1 + x^2)
    const Value x = c.forward("x");
    return b.real_div(one(b, x), b.add(b.mul(x, x), one(b, x)));
}

// y = sqrt(x):  dx = dy / (2 y).
Gradients sqrt_backward(Builder& b, Context& c) {
    return {{"x", b.real_div(*c.gradient(), b.scale(c.forward("result"), 2.0))}};
}
// y = log(x + epsilon):  dx = dy / (x + epsilon).
Gradients log_backward(Builder& b, Context& c) {
    const Value x = c.forward("x");
    return {{"x", b.real_div(*c.gradient(),
                             b.add(x, b.number(x.type.dtype, c.arguments().number("epsilon"))))}};
}

}  // namespace

std::vector<Rule> unary_rules() {
    return {{"sigmoid", times<sigmoid>},
            {"tanh", times<tanh>},
            {"silu", times<silu>},
            {"relu", times<relu>},
            {"exp", times<exp>},
            {"exp2", times<exp2>},
            {"square", times<square>},
            {"abs", times<absolute>},
            {"sin", times<sine>},
            {"cos", times<cosine>},
            {"erf", times<error_function>},
            {"rsqrt", times<rsqrt>},
            {"inverse", times<inverse>},
            {"softplus", times<softplus>},
            {"softsign", times<softsign>},
            {"atan", times<arc_tangent>},
            {"sqrt", sqrt_backward},
            {"log", log_backward}};
}

}  // namespace pome::mil::autodiff
