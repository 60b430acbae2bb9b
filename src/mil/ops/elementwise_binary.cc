#include "mil/ops/families.h"
#include "reference/ops.h"

namespace pome::mil::ops {
namespace {

std::vector<Type> infer_binary(const Arguments& in) {
    expect_same_dtype(in, "x", "y");
    return {Type::tensor(in.type("x").dtype, broadcast_shape(in, in.type("x"), in.type("y")))};
}

std::vector<Type> infer_comparison(const Arguments& in) {
    return {Type::tensor(DType::boolean, infer_binary(in).front().shape)};
}

template <double (*f)(double, double)>
std::vector<reference::Tensor> evaluate(const Arguments& in) {
    return {reference::binary(in.tensor("x"), in.tensor("y"), f)};
}

std::vector<Type> infer_select(const Arguments& in) {
    expect_same_dtype(in, "a", "b");
    const Type &cond = in.type("cond"), &a = in.type("a"), &b = in.type("b");
    Shape both, shape;
    if (!broadcast(a.shape, b.shape, both) || !broadcast(cond.shape, both, shape)) {
        in.fail("cond {}, a {} and b {} do not broadcast: sizes must be equal or 1",
                cond.shape.text(), a.shape.text(), b.shape.text());
    }
    return {Type::tensor(a.dtype, shape)};
}

std::vector<reference::Tensor> evaluate_select(const Arguments& in) {
    return {reference::select(in.tensor("cond"), in.tensor("a"), in.tensor("b"))};
}

}  // namespace

std::vector<Schema> elementwise_binary() {
    const std::vector<Parameter> two{tensor("x", numbers), tensor("y", numbers)};
    const std::vector<Parameter> any_two{tensor("x", numbers_and_bool),
                                         tensor("y", numbers_and_bool)};
    const std::vector<Parameter> bools{tensor("x", {DType::boolean}),
                                       tensor("y", {DType::boolean})};
    return {
        {"add", "x + y, broadcast", two, infer_binary, evaluate<reference::add>},
        {"sub", "x - y, broadcast", two, infer_binary, evaluate<reference::sub>},
        {"mul", "x * y, broadcast", two, infer_binary, evaluate<reference::mul>},
        {"real_div", "x / y, broadcast", two, infer_binary, evaluate<reference::real_div>},
        {"floor_div", "floor(x / y), broadcast", two, infer_binary, evaluate<reference::floor_div>},
        {"mod", "x - y * floor(x / y), broadcast", two, infer_binary, evaluate<reference::mod>},
        {"maximum", "max(x, y), broadcast", two, infer_binary, evaluate<reference::maximum>},
        {"minimum", "min(x, y), broadcast", two, infer_binary, evaluate<reference::minimum>},
        {"pow", "x to the power y, broadcast", two, infer_binary, evaluate<reference::pow>},
        {"equal", "x == y, broadcast", any_two, infer_comparison, evaluate<reference::equal>},
        {"not_equal", "x != y, broadcast", any_two, infer_comparison,
         evaluate<reference::not_equal>},
        {"greater", "x > y, broadcast", two, infer_comparison, evaluate<reference::greater>},
        {"greater_equal", "x >= y, broadcast", two, infer_comparison,
         evaluate<reference::greater_equal>},
        {"less", "x < y, broadcast", two, infer_comparison, evaluate<reference::less>},
        {"less_equal", "x <= y, broadcast", two, infer_comparison, evaluate<reference::less_equal>},
        {"logical_and", "x and y, broadcast", bools, infer_comparison,
         evaluate<reference::logical_and>},
        {"logical_or", "x or y, broadcast", bools, infer_comparison,
         evaluate<reference::logical_or>},
        {"logical_xor", "either x or y, broadcast", bools, infer_comparison,
         evaluate<reference::logical_xor>},
        {"select",
         "a where cond, else b, broadcast",
         {tensor("cond", {DType::boolean}), tensor("a", numbers_and_bool),
          tensor("b", numbers_and_bool)},
         infer_select,
         evaluate_select},
    };
}

}  // namespace pome::mil::ops
