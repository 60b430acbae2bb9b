#include "mil/ops/families.h"
#include "reference/ops.h"

namespace pome::mil::ops {
namespace {

Type filled_type(const Arguments& in, const Shape& shape) {
    constexpr std::int64_t most = std::int64_t{1} << 31;
    std::int64_t elements = 1;
    for (const std::int64_t size : shape) {
        if (size < 0 || (size > 0 && elements > most / size)) {
            in.fail("shape {} has a negative size or more than 2^31 elements", shape.text());
        }
        elements *= size;
    }
    in.number("value");
    return Type::tensor(in.type("value").dtype, shape);
}

std::vector<Type> infer_fill(const Arguments& in) {
    return {filled_type(in, Shape(in.integers("shape")))};
}

std::vector<Type> infer_fill_like(const Arguments& in) {
    return {filled_type(in, in.type("ref_tensor").shape)};
}

template <std::vector<Type> (*infer)(const Arguments&)>
std::vector<reference::Tensor> evaluate(const Arguments& in) {
    return {reference::Tensor(infer(in).front().shape, in.number("value"))};
}

}  // namespace

std::vector<Schema> filling() {
    const Parameter value = constant("value", Literal::number(DType::fp32, 0.0));
    return {
        {"fill", "value everywhere", {constant("shape"), value}, infer_fill, evaluate<infer_fill>},
        {"fill_like",
         "value everywhere, in the shape of ref_tensor",
         {tensor("ref_tensor"), value},
         infer_fill_like,
         evaluate<infer_fill_like>},
    };
}

}  // namespace pome::mil::ops
