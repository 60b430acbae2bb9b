// Activations with parameters. Masks are sign and relu: 1 or 0, and exact on every chip.
#include <cmath>
#include <numbers>

#include "mil/autodiff/rules.h"

namespace pome::mil::autodiff {
namespace {

Value number(Builder& b, const Value& like, double value) {
    return b.number(like.type.dtype, value);
}
double parameter(const Context& c, std::string_view name) {
    return c.arguments().number(name);
}

/// 1 where x > limit, else 0.
Value above(Builder& b, const Value& x, double limit) {
    return b.unary("sign", b.unary("relu", b.sub(x, number(b, x, limit))));
}
/// 1 where x < limit, else 0.
Value below(Builder& b, const Value& x, double limit) {
    return b.unary("sign", b.unary("relu", b.sub(number(b, x, limit), x)));
}
/// 1 above 0, alpha below.
Value leaky_slope(Builder& b, const Value& x, double alpha) {
    return b.add(b.scale(above(b, x, 0.0), 1.0 - alpha), number(b, x, alpha));
}

template <Value (*slope)(Builder&, Context&)>
Gradients times(Builder& b, Context& c) {
    return {{"x", b.mul(*c.gradient(), slope(b, c))}};
}

Value relu6(Builder& b, Context& c) {
    const Value x = c.forward("x");
    return b.mul(above(b, x, 0.0), below(b, x, 6.0));
}
Value clip(Builder& b, Context& c) {
    const Value x = c.forward("x");
    return b.mul(above(b, x, parameter(c, "alpha")), below(b, x, parameter(c, "beta")));
}
Value threshold(Builder& b, Context& c) {  // of thresholded_relu too
    return above(b, c.forward("x"), parameter(c, "alpha"));
}
Value leaky_relu(Builder& b, Context& c) {
    return leaky_slope(b, c.forward("x"), parameter(c, "alpha"));
}
Value clamped_relu(Builder& b, Context& c) {
    const Value x = c.forward("x"), slope = leaky_slope(b, x, parameter(c, "alpha"));
    return b.mul(slope, below(b, b.mul(x, slope), parameter(c, "beta")));
}
Value elu(Builder& b, Context& c) {  // 1 above 0, y + alpha below
    const Value y = c.forward("result"), mask = above(b, c.forward("x"), 0.0);
    const Value falling = b.add(y, number(b, y, parameter(c, "alpha")));
    return b.add(mask, b.mul(b.sub(number(b, y, 1.0), mask), falling));
}
Value linear_activation(Builder& b, Context& c) {
    return number(b, *c.gradient(), parameter(c, "alpha"));
}
Value sigmoid_hard(Builder& b, Context& c) {
    const Value y = c.forward("result");
    return b.scale(b.mul(above(b, y, 0.0), below(b, y, 1.0)), parameter(c, "alpha"));
}
Value scaled_tanh(Builder& b, Context& c) {  // alpha beta (1 - tanh^2)
    const double alpha = parameter(c, "alpha"), beta = parameter(c, "beta");
    const Value t = b.unary("tanh", b.scale(c.forward("x"), beta));
    return b.scale(b.sub(number(b, t, 1.0), b.mul(t, t)), alpha * beta);
}

Value exact_gelu(Builder& b, const Value& x) {  // Phi(x) + x phi(x)
    const Value phi = b.scale(b.unary("exp", b.scale(b.mul(x, x), -0.5)),
                              std::numbers::inv_sqrtpi / std::numbers::sqrt2);
    const Value cumulative = b.add(
        b.scale(b.unary("erf", b.scale(x, 1.0 / std::numbers::sqrt2)), 0.5), number(b, x, 0.5));
    return b.add(cumulative, b.mul(x, phi));
}
Value tanh_gelu(Builder& b, const Value& x) {  // t = tanh(c (x + k x^3))
    const double c = std::sqrt(2.0 / std::numbers::pi), k = 0.044715;
    const Value square = b.mul(x, x);
    const Value inner = b.mul(b.scale(x, c), b.add(b.scale(square, k), number(b, x, 1.0)));
    const Value t = b.unary("tanh", inner);
    const Value rate = b.add(b.scale(square, 3.0 * k * c), number(b, x, c));
    const Value bend = b.mul(b.mul(x, b.sub(number(b, x, 1.0), b.mul(t, t))), rate);
    return b.scale(b.add(b.add(t, number(b, x, 1.0)), bend), 0.5);
}
Value sigmoid_gelu(Builder& b, const Value& x) {  // s + 1.702 x s (1 - s)
    const Value s = b.unary("sigmoid", b.scale(x, 1.702));
    const Value rest = b.mul(s, b.sub(number(b, x, 1.0), s));
    return b.add(s, b.scale(b.mul(x, rest), 1.702));
}
Value gelu(Builder& b, Context& c) {
    const std::string& mode = c.arguments().text("mode");
    const Value x = c.forward("x");
    return mode == "EXACT"                ? exact_gelu(b, x)
           : mode == "TANH_APPROXIMATION" ? tanh_gelu(b, x)
                                          : sigmoid_gelu(b, x);
}

// alpha belongs to channels: dalpha = sum dy min(x, 0) over everything else.
Gradients prelu_backward(Builder& b, Context& c) {
    const Value x = c.forward("x"), dy = *c.gradient();
    Shape channels(std::vector<std::int64_t>(static_cast<std::size_t>(x.shape().rank()), 1));
    channels[1] = x.shape()[1];
    Gradients gradients;
    if (c.wants("x")) {
        const Value mask = above(b, x, 0.0), alpha = b.reshape(c.forward("alpha"), channels);
        gradients["x"] = b.mul(dy, b.add(mask, b.mul(b.sub(number(b, x, 1.0), mask), alpha)));
    }
    if (c.wants("alpha")) {
        std::vector<std::int64_t> axes;
        for (int axis = 0; axis < x.shape().rank(); ++axis) {
            if (axis != 1) {
                axes.push_back(axis);
            }
        }
        const Value negative = b.call("minimum", {{"x", x}, {"y", number(b, x, 0.0)}});
        gradients["alpha"] = b.reduce_sum(b.mul(dy, negative), axes, false);
    }
    return gradients;
}

}  // namespace

std::vector<Rule> activation_rules() {
    return {{"relu6", times<relu6>},
            {"clip", times<clip>},
            {"threshold", times<threshold>},
            {"thresholded_relu", times<threshold>},
            {"leaky_relu", times<leaky_relu>},
            {"clamped_relu", times<clamped_relu>},
            {"elu", times<elu>},
            {"linear_activation", times<linear_activation>},
            {"sigmoid_hard", times<sigmoid_hard>},
            {"scaled_tanh", times<scaled_tanh>},
            {"gelu", times<gelu>},
            {"prelu", prelu_backward}};
}

}  // namespace pome::mil::autodiff
