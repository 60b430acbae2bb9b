#include <algorithm>
#include <cmath>

#include "mil/ops/families.h"
#include "reference/ops.h"

namespace pome::mil::ops {
namespace {

std::vector<Type> infer_binary(const Arguments& in) {
    const Type &x = in.type("x"), &y = in.type("y");
    if (x.dtype != y.dtype) {
        in.fail("x is {} and y is {}; cast one", x.text(), y.text());
    }
    return {Type::tensor(x.dtype, broadcast_shape(in, x, y))};
}

std::vector<Type> infer_comparison(const Arguments& in) {
    return {Type::tensor(DType::boolean, infer_binary(in).front().shape)};
}

template <double (*f)(double, double)>
std::vector<reference::Tensor> evaluate_binary(const Arguments& in) {
    return {reference::binary(in.tensor("x"), in.tensor("y"), f)};
}

double add(double x, double y) {
    return x + y;
}
double sub(double x, double y) {
    return x - y;
}
double mul(double x, double y) {
    return x * y;
}
double real_div(double x, double y) {
    return x / y;
}
double floor_div(double x, double y) {
    return std::floor(x / y);
}
double maximum(double x, double y) {
    return std::max(x, y);
}
double minimum(double x, double y) {
    return std::min(x, y);
}
double power(double x, double y) {
    return std::pow(x, y);
}
double equal(double x, double y) {
    return x == y ? 1.0 : 0.0;
}
double not_equal(double x, double y) {
    return x != y ? 1.0 : 0.0;
}
double greater(double x, double y) {
    return x > y ? 1.0 : 0.0;
}
double greater_equal(double x, double y) {
    return x >= y ? 1.0 : 0.0;
}
double less(double x, double y) {
    return x < y ? 1.0 : 0.0;
}
double less_equal(double x, double y) {
    return x <= y ? 1.0 : 0.0;
}

std::vector<Type> infer_select(const Arguments& in) {
    const Type &cond = in.type("cond"), &a = in.type("a"), &b = in.type("b");
    if (a.dtype != b.dtype) {
        in.fail("a is {} and b is {}; cast one", a.text(), b.text());
    }
    const Type both = Type::tensor(a.dtype, broadcast_shape(in, a, b));
    return {Type::tensor(a.dtype, broadcast_shape(in, cond, both))};
}

std::vector<reference::Tensor> evaluate_select(const Arguments& in) {
    // cond * a + !cond * b would turn 0 * inf into NaN, so a is taken first and b where cond is 0.
    const auto chosen = reference::binary(in.tensor("cond"), in.tensor("a"),
                                          [](double c, double a) { return c != 0.0 ? a : 0.0; });
    const auto other = reference::binary(in.tensor("cond"), in.tensor("b"),
                                         [](double c, double b) { return c != 0.0 ? 0.0 : b; });
    return {reference::binary(chosen, other, add)};
}

}  // namespace

std::vector<Schema> elementwise_binary() {
    const std::vector<Parameter> two{tensor("x", numbers), tensor("y", numbers)};
    return {
        {"add", "x + y, broadcast", two, infer_binary, evaluate_binary<add>},
        {"sub", "x - y, broadcast", two, infer_binary, evaluate_binary<sub>},
        {"mul", "x * y, broadcast", two, infer_binary, evaluate_binary<mul>},
        {"real_div", "x / y, broadcast", two, infer_binary, evaluate_binary<real_div>},
        {"floor_div", "floor(x / y), broadcast", two, infer_binary, evaluate_binary<floor_div>},
        {"maximum", "max(x, y), broadcast", two, infer_binary, evaluate_binary<maximum>},
        {"minimum", "min(x, y), broadcast", two, infer_binary, evaluate_binary<minimum>},
        {"pow", "x to the power y, broadcast", two, infer_binary, evaluate_binary<power>},
        {"equal", "x == y", two, infer_comparison, evaluate_binary<equal>},
        {"not_equal", "x != y", two, infer_comparison, evaluate_binary<not_equal>},
        {"greater", "x > y", two, infer_comparison, evaluate_binary<greater>},
        {"greater_equal", "x >= y", two, infer_comparison, evaluate_binary<greater_equal>},
        {"less", "x < y", two, infer_comparison, evaluate_binary<less>},
        {"less_equal", "x <= y", two, infer_comparison, evaluate_binary<less_equal>},
        {"select",
         "a where cond, else b, broadcast",
         {tensor("cond", {DType::boolean}), tensor("a", numbers), tensor("b", numbers)},
         infer_select,
         evaluate_select},
    };
}

}  // namespace pome::mil::ops
