#include "base/error.h"
#include "mil/autodiff/rules.h"

namespace pome::mil::autodiff {
namespace {

/// Adds gradients["x" or "y"], reduced to the operand's shape, if it is wanted.
template <typename Make>
void give(Gradients& gradients, Builder& b, Context& c, std::string_view which, Make make) {
    if (c.wants(which)) {
        gradients.emplace(which, unbroadcast(b, make(), c.type(which).shape));
    }
}

Gradients add_backward(Builder& b, Context& c) {
    Gradients g;
    give(g, b, c, "x", [&] { return *c.gradient(); });
    give(g, b, c, "y", [&] { return *c.gradient(); });
    return g;
}

Gradients sub_backward(Builder& b, Context& c) {
    Gradients g;
    give(g, b, c, "x", [&] { return *c.gradient(); });
    give(g, b, c, "y", [&] { return b.negate(*c.gradient()); });
    return g;
}

Gradients mul_backward(Builder& b, Context& c) {
    Gradients g;
    give(g, b, c, "x", [&] { return b.mul(*c.gradient(), c.forward("y")); });
    give(g, b, c, "y", [&] { return b.mul(*c.gradient(), c.forward("x")); });
    return g;
}

// q = x / y:  dx = dq / y,  dy = -dq q / y.
Gradients real_div_backward(Builder& b, Context& c) {
    Gradients g;
    const Value over_y = b.real_div(*c.gradient(), c.forward("y"));
    give(g, b, c, "x", [&] { return over_y; });
    give(g, b, c, "y", [&] { return b.negate(b.mul(over_y, c.forward("result"))); });
    return g;
}

/// 1 where x > y, else 0.
Value greater(Builder& b, const Value& x, const Value& y) {
    return b.unary("relu", b.unary("sign", b.sub(x, y)));
}

// Where both are equal, y gets the whole gradient of maximum and x that of minimum.
Gradients maximum_backward(Builder& b, Context& c) {
    const Value mask = greater(b, c.forward("x"), c.forward("y"));
    const Value to_x = b.mul(*c.gradient(), mask);
    Gradients g;
    give(g, b, c, "x", [&] { return to_x; });
    give(g, b, c, "y", [&] { return b.sub(*c.gradient(), to_x); });
    return g;
}

Gradients minimum_backward(Builder& b, Context& c) {
    const Value mask = greater(b, c.forward("x"), c.forward("y"));
    const Value to_y = b.mul(*c.gradient(), mask);
    Gradients g;
    give(g, b, c, "y", [&] { return to_y; });
    give(g, b, c, "x", [&] { return b.sub(*c.gradient(), to_y); });
    return g;
}

// z = x^p for a constant p:  dx = p x^(p-1) dz.
Gradients pow_backward(Builder& b, Context& c) {
    const Literal* exponent = c.arguments().constant("y");
    if (exponent == nullptr || exponent->is_blob() || exponent->type.shape.elements() != 1) {
        fail(Code::unsupported, "mil.autodiff",
             "pow: gradients are known for a constant scalar exponent only {}",
             where(c.operation()));
    }
    const double p = exponent->numbers().front();
    Gradients g;
    give(g, b, c, "x",
         [&] { return b.mul(*c.gradient(), b.scale(b.pow(c.forward("x"), p - 1.0), p)); });
    return g;
}

// cond decides which of the two the gradient goes to.
Gradients select_backward(Builder& b, Context& c) {
    const Value cond = c.forward("cond"), dy = *c.gradient();
    const Value zero = b.number(dy.type.dtype, 0.0);
    Gradients g;
    give(g, b, c, "a", [&] { return b.call("select", {{"a", dy}, {"b", zero}, {"cond", cond}}); });
    give(g, b, c, "b", [&] { return b.call("select", {{"a", zero}, {"b", dy}, {"cond", cond}}); });
    return g;
}

}  // namespace

std::vector<Rule> binary_rules() {
    return {{"select", select_backward},     {"add", add_backward},
            {"sub", sub_backward},           {"mul", mul_backward},
            {"real_div", real_div_backward}, {"maximum", maximum_backward},
            {"minimum", minimum_backward},   {"pow", pow_backward}};
}

}  // namespace pome::mil::autodiff
